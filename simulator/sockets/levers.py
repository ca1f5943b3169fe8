"""The calls under `/simulator/` that concern WebSockets, and what only they can show."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import get_args

from simulator.bodies import BadRequest, body_of, number_in, uid_in
from simulator.exchange import Exchange
from simulator.orders import execution_view
from simulator.sockets.connection import Channel
from simulator.sockets.hub import Hub
from simulator.wire import Json, Request

_FIELDS = {
    "silence": {"seconds", "answers"},
    "close": {"seconds", "code"},
    "refuse": {"seconds"},
}


def stream_calls(exchange: Exchange, hub: Hub) -> dict[tuple[str, str], Callable[[Request], Json]]:
    """Return the calls by method and path."""
    return {
        ("POST", "/simulator/stream"): lambda request: _stream(exchange, hub, request),
        ("POST", "/simulator/sockets"): lambda request: _sockets(hub, request),
        ("POST", "/simulator/funding"): lambda request: _funding(exchange, request),
    }


def _stream(exchange: Exchange, hub: Hub, request: Request) -> Json:
    """Silence, close or refuse connections."""
    body = body_of(request)
    action = str(body.get("action"))
    fields = _FIELDS.get(action)
    if fields is None:
        raise BadRequest(f"action must be one of {', '.join(_FIELDS)}")
    unknown = set(body) - fields - {"action", "uid", "channel"}
    if unknown:
        raise BadRequest(
            f"unknown fields {sorted(unknown)}; {action} takes uid, channel, {', '.join(sorted(fields))}"
        )
    uid, channel = uid_in(body, exchange.accounts), body.get("channel")
    if channel not in (None, *get_args(Channel)):
        raise BadRequest(f"channel must be one of {', '.join(get_args(Channel))}")
    seconds = number_in(body, "seconds") if body.get("seconds") is not None else None
    struck = 0
    if action == "silence":
        struck = hub.silence(uid, channel, seconds, answers=body.get("answers") is True)
    elif action == "close":
        struck = hub.close(uid, channel, int(number_in(body, "code")) if "code" in body else None)
    elif seconds is None:
        raise BadRequest("refuse needs seconds: how long new connections are turned away")
    if seconds is not None and action != "silence":
        hub.refuse(uid, channel, seconds)
    return {"action": action, "connections": struck}


def _sockets(hub: Hub, request: Request) -> Json:
    """Change how many connections are admitted and when silent ones are dropped."""
    body = body_of(request, "connect_limit", "idle_s", "scan_s")
    if "connect_limit" in body:
        limit = body["connect_limit"]
        hub.visits.change(None if limit is None else int(number_in(body, "connect_limit", least=1)))
    hub.pace(
        idle_s=float(number_in(body, "idle_s", hub.idle_s)), scan_s=float(number_in(body, "scan_s", hub.scan_s))
    )
    return {"connect_limit": hub.visits.limit, "idle_s": hub.idle_s, "scan_s": hub.scan_s}


def _funding(exchange: Exchange, request: Request) -> Json:
    """Let every open position of a perpetual pay, or receive, the funding fee."""
    body = body_of(request, "symbol", "rate", "uid")
    named = exchange.instruments.named(str(body.get("symbol")))
    instruments = [item for item in named if item.category in ("linear", "inverse") and item.is_perpetual]
    if not instruments:
        raise BadRequest(f"symbol {body.get('symbol')!r} is no perpetual contract")
    rate = Decimal(str(number_in(body, "rate", least=None)))
    uid = uid_in(body, exchange.accounts)
    accounts = [exchange.accounts[uid]] if uid is not None else list(exchange.accounts.values())
    paid = [
        execution_view(execution)
        for account in accounts
        for position in account.open_positions()
        if position.instrument in instruments
        for execution in [exchange.matching.charge_funding(account, position, rate)]
    ]
    return {"list": paid}
