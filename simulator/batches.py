"""Batch calls: every item on its own, the whole always acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.accounts import Account
from simulator.codes import bad_parameter
from simulator.exchange import Call, Exchange
from simulator.orders import Order
from simulator.parameters import category_of
from simulator.trading import accept_amend, accept_cancel, accept_order
from simulator.wire import Json, Refusal, Reply

# Source: Bybit V5 docs, batch pages (read 2026-07-24).
_MOST = {"linear": 20, "inverse": 20, "option": 20, "spot": 10}

_Step = Callable[[Exchange, Account, Json], Order]


def units_of(params: Json) -> int:
    """Return what a batch costs of its rate limit: one per item, for options one per request."""
    items = params.get("request")
    if params.get("category") == "option" or not isinstance(items, list):
        return 1
    return max(len(items), 1)


def create_batch(call: Call) -> Reply:
    """Acknowledge several new orders."""
    return _each(call, accept_order, is_create=True)


def amend_batch(call: Call) -> Reply:
    """Acknowledge several amends."""
    return _each(call, accept_amend, is_create=False)


def cancel_batch(call: Call) -> Reply:
    """Acknowledge several cancels."""
    return _each(call, accept_cancel, is_create=False)


def _each(call: Call, step: _Step, *, is_create: bool) -> Reply:
    category = category_of(call.params)
    items = call.params.get("request")
    most = _MOST[category]
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        raise bad_parameter(f"request must be a list of 1 to {most} orders")
    admitted = len(items) if category == "option" else call.admitted
    rows: list[Json] = []
    verdicts: list[Json] = []
    for position, item in enumerate(items):
        row, verdict = _one(call, step, category, item, is_admitted=position < admitted)
        if is_create:
            row["createAt"] = str(call.exchange.clock.now_ms()) if row["orderId"] else ""
        rows.append(row)
        verdicts.append(verdict)
        if verdict["code"]:
            call.item_codes.append(verdict["code"])
    if is_create:
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict["code"]:
                row["orderId"] = ""
                row["createAt"] = ""
    return Reply({"list": rows}, {"list": verdicts})


def _one(call: Call, step: _Step, category: str, item: Any, *, is_admitted: bool) -> tuple[Json, Json]:
    params: Json = {**item, "category": category} if isinstance(item, dict) else {}
    row = {
        "category": category,
        "symbol": _shown(params, "symbol"),
        "orderId": _shown(params, "orderId"),
        "orderLinkId": _shown(params, "orderLinkId"),
    }
    try:
        if not is_admitted:
            raise Refusal(10006, "Too many visits. Exceeded the API Rate Limit.")
        if not params:
            raise bad_parameter("every item of request must be an object")
        order = step(call.exchange, call.account, params)
    except Refusal as refusal:
        return row, {"code": refusal.ret_code, "msg": refusal.ret_msg}
    row["orderId"], row["orderLinkId"] = order.id, order.link_id
    return row, {"code": 0, "msg": "OK"}


def _shown(params: Json, name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""
