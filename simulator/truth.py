"""The paths under `/simulator/`: the truth about the exchange, and the levers that change it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import cast
from urllib.parse import parse_qs

from simulator.bodies import BadRequest, amount_in, body_of, number_in, uid_in
from simulator.exchange import Exchange
from simulator.faults import BadFault
from simulator.instruments import CATEGORIES
from simulator.orders import Order, execution_view, order_view, text
from simulator.quotas import QUOTAS, Line
from simulator.sockets.hub import Hub
from simulator.sockets.levers import stream_calls
from simulator.wire import Json, Request, Response, encode


class Truth:
    """Answer the paths under `/simulator/`; no signature, no limit, no fault applies to them.

    Args:
        exchange: The exchange.
        hub: Its WebSockets.
    """

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange = exchange
        self._hub = hub
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
            **stream_calls(exchange, hub),
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
            "streams": self._hub.report(),
        }

    def _list_faults(self, _request: Request) -> Json:
        return {"list": [fault.view() for fault in self._exchange.faults.active]}

    def _add_fault(self, request: Request) -> Json:
        return self._exchange.faults.add(body_of(request)).view()

    def _clear_faults(self, _request: Request) -> Json:
        self._exchange.faults.clear()
        return {"list": []}

    def _clock(self, request: Request) -> Json:
        body = body_of(request, "offset_ms")
        self._exchange.clock.offset_ms = int(number_in(body, "offset_ms", least=None))
        return {"offset_ms": self._exchange.clock.offset_ms, "time_ms": self._exchange.clock.now_ms()}

    def _network(self, request: Request) -> Json:
        body = body_of(request, "delay_ms", "jitter_ms", "seed")
        network = self._exchange.network
        self._exchange.network = type(network)(
            float(number_in(body, "delay_ms", 0)),
            float(number_in(body, "jitter_ms", 0)),
            int(number_in(body, "seed", 1)),
        )
        network = self._exchange.network
        return {"delay_ms": network.delay_ms, "jitter_ms": network.jitter_ms, "seed": network.seed}

    def _matching(self, request: Request) -> Json:
        body = body_of(request, "delay_ms")
        self._exchange.match_delay_ms = float(number_in(body, "delay_ms"))
        return {"delay_ms": self._exchange.match_delay_ms}

    def _market(self, request: Request) -> Json:
        body = body_of(request, "symbol", "category", "price", "qty", "depth")
        symbol, category = body.get("symbol"), body.get("category")
        if category is not None and category not in CATEGORIES:
            raise BadRequest(f"category must be one of {', '.join(CATEGORIES)}")
        named = self._exchange.instruments.named(str(symbol))
        instruments = [item for item in named if category in (None, item.category)]
        if not instruments:
            raise BadRequest(f"symbol {symbol!r} is unknown; GET /v5/market/instruments-info lists the symbols")
        price = amount_in(body, "price")
        volume = amount_in(body, "qty")
        if price is None and "depth" not in body:
            raise BadRequest('give a price, as in {"symbol": "BTCUSDT", "price": "59000"}, or a depth')
        for instrument in instruments:
            if price is not None and price % instrument.tick:
                raise BadRequest(
                    f"price must be a multiple of the tick size {instrument.tick} of {instrument.category}"
                )
        for instrument in instruments:
            if "depth" in body:
                self._exchange.market.set_depth(instrument, amount_in(body, "depth", may_be_zero=True))
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
        body = body_of(request, *names)
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
        endpoint, category = body.get("endpoint"), body.get("category")
        if endpoint not in QUOTAS:
            raise BadRequest(f"endpoint must be one of {', '.join(QUOTAS)}")
        uid = uid_in(body, self._exchange.accounts)
        if "limit" not in body:
            raise BadRequest("limit is required: requests per second, or null for the default")
        line: Line | None = cast("Line", "linear" if category == "inverse" else category) if category else None
        lines = QUOTAS[endpoint]
        if "all" in lines:
            line = None  # one bucket serves all categories
        elif line is not None and line not in lines:
            raise BadRequest(f"category must be one of {', '.join(lines)}")
        limit = None if body["limit"] is None else int(number_in(body, "limit"))
        self._exchange.uid_limits.override(uid, endpoint, line, limit)

    def _limit_ips(self, body: Json) -> None:
        ip = self._exchange.ip_limit
        limit = ip.limit
        if "ip_limit" in body:
            limit = None if body["ip_limit"] is None else int(number_in(body, "ip_limit", least=1))
        window_s = float(number_in(body, "ip_window_s", ip.window_s))
        if not window_s:
            raise BadRequest("ip_window_s must be above 0")
        ip.configure(limit, window_s, float(number_in(body, "ip_ban_s", ip.ban_s)))

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
