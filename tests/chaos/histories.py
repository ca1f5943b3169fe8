"""Sound histories of one order, and the parts from which broken ones are made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import (
    ChangeKind,
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderId,
    OrderRequest,
    Receipt,
    parse_order,
)
from sluicegate.domain.records import Change, ChangeState, DeadLetter
from tests.chaos.evidence import Evidence, Promises

NOW = datetime(2026, 7, 24, 12, 0, tzinfo=UTC)
ID = OrderId("01ORDER")
_REQUEST = parse_order(
    {
        "account": "a1",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": "0.02",
        "price": "59000",
        "client_order_id": "c-1",
    }
)
_NEW = NewOrder(ID, _REQUEST, NOW)


def order(state: State, *, version: int, **columns: Any) -> Order:
    """Return the order in some state."""
    base = Order(
        order_id=ID,
        link_id=_NEW.link_id,
        account="a1",
        request=_REQUEST,
        state=state,
        version=version,
        created_at=NOW,
        updated_at=NOW,
        client_order_id="c-1",
        fingerprint=_REQUEST.fingerprint(),
        attempts=1,
        exchange_order_id="x-1",
        last_code="0",
    )
    return replace(base, **columns)


def event(name: str, version: int, before: str, after: str, **detail: Any) -> OrderEvent:
    """Return a line of its trail."""
    return OrderEvent(ID, version, NOW, name, before, after, "test", detail)


ACCEPTED = event("accepted", 1, "", "accepted")
CLAIMED = event("claimed", 2, "accepted", "submitting")
LIVE = event("acknowledged", 3, "submitting", "live")
FILLED = event("seen_filled", 4, "live", "filled")


def row(status: str, *, fills: tuple[tuple[str, str], ...] = (), **fields: Any) -> dict[str, Any]:
    """Return the order as the exchange records it."""
    executions = [{"execId": name, "execQty": qty, "execPrice": "59000", "execFee": "0.1"} for name, qty in fills]
    return {
        "orderLinkId": _NEW.link_id,
        "orderId": "x-1",
        "uid": 1001,
        "timeInForce": "GTC",
        "triggerDirection": 0,
        "triggerPrice": "",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.02",
        "price": "59000",
        "orderStatus": status,
        "executions": executions,
        **fields,
    }


def fill(exec_id: str, qty: str) -> Execution:
    """Return a fill as the ledger holds it."""
    return Execution(exec_id, ID, Decimal(qty), Decimal(59000), Decimal("0.1"), "USDT", False, NOW)


def change(kind: ChangeKind, state: ChangeState, **fields: Any) -> Change:
    """Return a change that ended in a state."""
    return Change("ch-1", ID, 1, kind, fields, state, 2, NOW, last_message="acknowledged")


def changed(**fields: Any) -> OrderRequest:
    """Return the request with other fields."""
    return parse_order(_REQUEST.to_json() | fields)


RECEIPT = Receipt(ID, _NEW.link_id, "a1", "c-1", State.ACCEPTED)
LIVE_ONE = Evidence(
    orders={ID: order(State.LIVE, version=3)},
    exchange=[row("New")],
    events={ID: [ACCEPTED, CLAIMED, LIVE]},
    promises=Promises([RECEIPT]),
    uids={"a1": 1001},
)
FILLED_ONE = Evidence(
    orders={ID: order(State.FILLED, version=4, cum_exec_qty=Decimal("0.02"))},
    exchange=[row("Filled", fills=(("e1", "0.005"), ("e2", "0.015")))],
    events={ID: [ACCEPTED, CLAIMED, LIVE, FILLED]},
    executions={ID: [fill("e1", "0.005"), fill("e2", "0.015")]},
    promises=Promises([RECEIPT]),
)
DEAD_ONE = Evidence(
    orders={ID: order(State.DEAD, version=2, attempts=0)},
    exchange=[],
    events={ID: [ACCEPTED, event("dead_lettered", 2, "accepted", "dead")]},
    dead_letters={ID: DeadLetter(ID, "a1", "risk_limit", "gate", "m", "c", "f", NOW)},
)
CANCELLED_ONE = Evidence(
    orders={ID: order(State.CANCELLED, version=2, attempts=0)},
    exchange=[],
    events={ID: [ACCEPTED, event("cancelled_unsent", 2, "accepted", "cancelled")]},
    promises=Promises([RECEIPT], cancelled=[ID]),
)
