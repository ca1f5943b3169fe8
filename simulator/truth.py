"""The paths under `/simulator/`: the truth about the exchange, and the levers that change it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import parse_qs

from simulator.exchange import Exchange
from simulator.faults import BadFault
from simulator.instruments import CATEGORIES
from simulator.orders import Order, execution_view, order_view, text
from simulator.quotas import QUOTAS, Line
from simulator.wire import Json, Request, Response, encode


class BadRequest(ValueError):
    """A call under `/simulator/` cannot be understood; the message says how to fix it."""


class Truth:
    """Answer the paths under `/simulator/`; no signature, no limit, no fault applies to them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._calls: dict[tuple[str, str], Callable[[Request], Json]] = {
            ("GET", "/simulator/health"): self._health,
            ("GET", "/simulator/orders"): self._orders,
            ("GET", "/simulator/stats"): self._stats,
            ("GET", "/simulator/faults"): self._list_faults,
            ("POST", "/simulator/faults"): self._add_fault,
            ("DELETE", "/simulator/faults"): self._clear_faults,
            ("POST", "/simulator/clock"): self._clock,
            ("POST", "/simulator/network"): self._network,
            ("POST", "/simulator/market"): self._market,
            ("POST", "/simulator/limits"): self._limits,
            ("POST", "/simulator/matching"): self._matching,
            ("POST", "/simulator/restart"): self._restart,
            ("POST", "/simulator/reset"): self._reset,
        }

    def answer(self, request: Request) -> Response:
        """Answer a call."""
        call = self._calls.get((request.method, request.path))
        if call is None:
            known = sorted(f"{method} {path}" for method, path in self._calls)
            return _json(404, {"error": f"no {request.method} {request.path} here; there are {', '.join(known)}"})
        try:
            return _json(200, call(request))
        except (BadRequest, BadFault) as error:
            return _json(400, {"error": str(error)})

    def _health(self, _request: Request) -> Json:
        exchange = self._exchange
        return {
            "status": "ok",
            "time_ms": exchange.clock.now_ms(),
            "orders": sum(len(orders) for item in exchange.accounts.values() for orders in item.orders.values()),
        }

    def _orders(self, request: Request) -> Json:
        asked = {name: values[-1] for name, values in parse_qs(request.query.decode("latin-1")).items()}
        unknown = set(asked) - {"uid", "symbol", "orderLinkId", "category", "after", "limit"}
        if unknown:
            raise BadRequest(
                f"unknown filters {sorted(unknown)}; use uid, category, symbol, orderLinkId, after, limit"
            )
        for name in ("after", "limit"):
            if not asked.get(name, "0").isdecimal():
                raise BadRequest(f"{name} must be a whole number")
        uid = asked.get("uid")
        if uid is not None and not (uid.isdigit() and int(uid) in self._exchange.accounts):
            raise BadRequest(f"uid {uid} is no account; there are {sorted(self._exchange.accounts)}")
        accounts = [self._exchange.accounts[int(uid)]] if uid else list(self._exchange.accounts.values())
        if "orderLinkId" in asked:
            found = [account.links.get(asked["orderLinkId"]) for account in accounts]
            orders = [order for order in found if order is not None]
        else:
            orders = [order for account in accounts for listed in account.orders.values() for order in listed]
        orders = [
            order
            for order in orders
            if asked.get("symbol") in (None, order.instrument.symbol)
            and asked.get("category") in (None, order.category)
        ]
        orders.sort(key=lambda order: order.number)
        start = bisect_right(orders, int(asked.get("after", 0)), key=lambda order: order.number)
        page = orders[start : start + int(asked["limit"])] if "limit" in asked else orders[start:]
        return {"count": len(orders), "list": [_true_view(order) for order in page]}

    def _stats(self, _request: Request) -> Json:
        exchange = self._exchange
        return {
            "uids": exchange.stats.report(exchange.uid_limits),
            "ips": exchange.ip_limit.report(exchange.clock.elapsed_ns()),
        }

    def _list_faults(self, _request: Request) -> Json:
        return {"list": [fault.view() for fault in self._exchange.faults.active]}

    def _add_fault(self, request: Request) -> Json:
        return self._exchange.faults.add(_body_of(request)).view()

    def _clear_faults(self, _request: Request) -> Json:
        self._exchange.faults.clear()
        return {"list": []}

    def _clock(self, request: Request) -> Json:
        body = _body_of(request, "offset_ms")
        self._exchange.clock.offset_ms = int(_number(body, "offset_ms", least=None))
        return {"offset_ms": self._exchange.clock.offset_ms, "time_ms": self._exchange.clock.now_ms()}

    def _network(self, request: Request) -> Json:
        body = _body_of(request, "delay_ms", "jitter_ms", "seed")
        network = self._exchange.network
        self._exchange.network = type(network)(
            float(_number(body, "delay_ms", 0)),
            float(_number(body, "jitter_ms", 0)),
            int(_number(body, "seed", 1)),
        )
        network = self._exchange.network
        return {"delay_ms": network.delay_ms, "jitter_ms": network.jitter_ms, "seed": network.seed}

    def _matching(self, request: Request) -> Json:
        body = _body_of(request, "delay_ms")
        self._exchange.match_delay_ms = float(_number(body, "delay_ms"))
        return {"delay_ms": self._exchange.match_delay_ms}

    def _market(self, request: Request) -> Json:
        body = _body_of(request, "symbol", "category", "price", "qty", "depth")
        symbol, category = body.get("symbol"), body.get("category")
        if category is not None and category not in CATEGORIES:
            raise BadRequest(f"category must be one of {', '.join(CATEGORIES)}")
        named = self._exchange.instruments.named(str(symbol))
        instruments = [item for item in named if category in (None, item.category)]
        if not instruments:
            raise BadRequest(f"symbol {symbol!r} is unknown; GET /v5/market/instruments-info lists the symbols")
        price = _amount(body, "price")
        volume = _amount(body, "qty")
        if price is None and "depth" not in body:
            raise BadRequest('give a price, as in {"symbol": "BTCUSDT", "price": "59000"}, or a depth')
        for instrument in instruments:
            if price is not None and price % instrument.tick:
                raise BadRequest(
                    f"price must be a multiple of the tick size {instrument.tick} of {instrument.category}"
                )
        for instrument in instruments:
            if "depth" in body:
                self._exchange.market.set_depth(instrument, _amount(body, "depth", may_be_zero=True))
            if price is not None:
                self._exchange.market.move(instrument, price)
                self._exchange.matching.market_moved(instrument, volume)
        return {
            "list": [
                {"category": item.category, "symbol": item.symbol, "price": text(self._exchange.market.last(item))}
                for item in instruments
            ]
        }

    def _limits(self, request: Request) -> Json:
        names = ("uid", "endpoint", "category", "limit", "window", "ip_limit", "ip_window_s", "ip_ban_s")
        body = _body_of(request, *names)
        if not body:
            raise BadRequest(f"give some of {', '.join(names)}")
        if "window" in body:
            if body["window"] not in ("rolling", "fixed"):
                raise BadRequest("window must be rolling or fixed")
            self._exchange.uid_limits.switch(body["window"])
        if {"uid", "endpoint", "category", "limit"} & set(body):
            self._override(body)
        if {"ip_limit", "ip_window_s", "ip_ban_s"} & set(body):
            self._limit_ips(body)
        limits, ip = self._exchange.uid_limits, self._exchange.ip_limit
        return {
            "window": limits.mode,
            "overrides": limits.overrides(),
            "ip_limit": ip.limit,
            "ip_window_s": ip.window_s,
            "ip_ban_s": ip.ban_s,
        }

    def _override(self, body: Json) -> None:
        endpoint, category, uid = body.get("endpoint"), body.get("category"), body.get("uid")
        if endpoint not in QUOTAS:
            raise BadRequest(f"endpoint must be one of {', '.join(QUOTAS)}")
        if uid is not None and uid not in self._exchange.accounts:
            raise BadRequest(f"uid {uid} is no account; there are {sorted(self._exchange.accounts)}")
        if "limit" not in body:
            raise BadRequest("limit is required: requests per second, or null for the default")
        line: Line | None = cast("Line", "linear" if category == "inverse" else category) if category else None
        lines = QUOTAS[endpoint]
        if "all" in lines:
            line = None  # one bucket serves all categories
        elif line is not None and line not in lines:
            raise BadRequest(f"category must be one of {', '.join(lines)}")
        limit = None if body["limit"] is None else int(_number(body, "limit"))
        self._exchange.uid_limits.override(uid, endpoint, line, limit)

    def _limit_ips(self, body: Json) -> None:
        ip = self._exchange.ip_limit
        limit = ip.limit
        if "ip_limit" in body:
            limit = None if body["ip_limit"] is None else int(_number(body, "ip_limit", least=1))
        window_s = float(_number(body, "ip_window_s", ip.window_s))
        if not window_s:
            raise BadRequest("ip_window_s must be above 0")
        ip.configure(limit, window_s, float(_number(body, "ip_ban_s", ip.ban_s)))

    def _restart(self, _request: Request) -> Json:
        for account in self._exchange.accounts.values():
            account.forget_recent()
        return {"status": "restarted"}

    def _reset(self, _request: Request) -> Json:
        self._exchange.reset()
        return {"status": "reset"}


def _true_view(order: Order) -> Json:
    fills = [execution_view(fill) for fill in order.executions or []]
    return {
        "number": order.number,
        "uid": order.uid,
        "category": order.category,
        **order_view(order),
        "executions": fills,
    }


def _json(status: int, body: Json) -> Response:
    return Response(status, encode(body).encode(), [])


def _body_of(request: Request, *known: str) -> Json:
    try:
        body: Any = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    unknown = set(body) - set(known)
    if known and unknown:
        raise BadRequest(f"unknown fields {sorted(unknown)}; known are {', '.join(known)}")
    return body


def _number(body: Json, name: str, default: float | None = None, *, least: float | None = 0) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{name} must be a number")
    if least is not None and value < least:
        raise BadRequest(f"{name} must be at least {least}")
    return value


def _amount(body: Json, name: str, *, may_be_zero: bool = False) -> Decimal | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise BadRequest(f'{name} must be a number, best as a string such as "59000.5"') from error
    if isinstance(value, bool) or not amount.is_finite() or amount < 0 or (not amount and not may_be_zero):
        raise BadRequest(f"{name} must be above zero")
    return amount
