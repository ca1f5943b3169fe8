"""All WebSockets of the exchange: who is connected, for how long, and what is done to them on purpose."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from simulator.exchange import Exchange
from simulator.feed import Step
from simulator.gateway import Gateway
from simulator.instruments import CATEGORIES, Instrument
from simulator.limits import SECOND_NS
from simulator.orders import Execution
from simulator.sockets.connection import Channel, Connection
from simulator.sockets.private import PrivateSocket
from simulator.sockets.public import PublicSocket
from simulator.sockets.publisher import Publisher
from simulator.sockets.trade import TradeSocket
from simulator.sockets.visits import Visits
from simulator.windows import RollingWindow
from simulator.wire import Json

_CHANNELS: dict[str, Channel] = {
    "/v5/private": "private",
    "/v5/trade": "trade",
    **{f"/v5/public/{category}": "public" for category in CATEGORIES},
}
_LIFE = re.compile(r"(\d{1,3})([sm])", re.ASCII)
_LIFE_S = range(30, 601)
_INVALID_PAYLOAD = 1007
_TRADES_PER_IP = 3000  # Source: Bybit V5 docs, WebSocket trade page, code 10403 (read 2026-07-24)
_NOTHING: Json = {
    "connections": 0,
    "events_sent": 0,
    "events_lost": 0,
    "events_duplicated": 0,
    "events_reordered": 0,
}


class Conversation(Protocol):
    """One kind of socket, speaking with one client."""

    def hear(self, message: Json) -> None:
        """Answer one message."""


class _Refusal(NamedTuple):
    until: float
    uid: int | None
    channel: str | None


class Hub:
    """Hold the WebSockets of an exchange.

    Args:
        exchange: Whose events are told here.
        gateway: Performs the requests of trade sockets.
    """

    def __init__(self, exchange: Exchange, gateway: Gateway) -> None:
        self.exchange = exchange
        self.gateway = gateway
        self._publisher = Publisher(self)
        self._connections: dict[Connection, None] = {}
        self._public: dict[Connection, PublicSocket] = {}
        self._scanner: asyncio.TimerHandle | None = None
        self._start()
        exchange.feed.listener = self
        exchange.on_reset = self._reset

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak with one client until the connection ends."""
        await receive()  # websocket.connect
        channel = _CHANNELS.get(scope["path"])
        ip = _ip_of(scope, trusts_forwarded=self.exchange.config.trust_forwarded)
        life_s = _life_of(scope)
        if channel is None or life_s == 0:
            await _turn_away(send, 404 if channel is None else 400)
            return
        if not self.visits.admits(ip, self.exchange.clock.elapsed_ns()):
            await _turn_away(send, 403)
            return
        if self.refuses(channel, None):
            await _turn_away(send, 503)
            return
        loop = asyncio.get_running_loop()
        lives_until = None if life_s is None else loop.time() + life_s
        connection = Connection(self.exchange, channel, scope, ip, lives_until)
        await send({"type": "websocket.accept"})
        self._connections[connection] = None
        self._keep_scanning()
        writer = asyncio.create_task(connection.write(send))
        try:
            await self._listen(connection, self._conversation(connection), receive)
        finally:
            writer.cancel()
            self._forget(connection)

    def belongs(self, connection: Connection, uid: int) -> None:
        """Note whose connection it is, now that the client has proved it."""
        connection.uid = uid
        if connection.channel == "private":
            self.exchange.feed.followers[uid] += 1

    def told(self, step: Step) -> None:
        """Push what a step changed for an account to its private connections."""
        self._publisher.tell(step)

    def traded(self, execution: Execution) -> None:
        """Push a trade to the public connections."""
        for public in self._public.values():
            public.traded(execution)

    def market_moved(self, instrument: Instrument) -> None:
        """Push a move of the market to the public connections."""
        for public in self._public.values():
            public.market_moved(instrument)

    def followers(self, uid: int) -> list[Connection]:
        """Return the private connections of an account."""
        return list(self._chosen(uid, "private"))

    def refuses(self, channel: str, uid: int | None) -> bool:
        """Say whether new connections of this kind, or of this account, are turned away at present."""
        now = asyncio.get_running_loop().time()
        return any(
            rule.until > now and rule.channel in (None, channel) and rule.uid == uid for rule in self._refusals
        )

    def silence(self, uid: int | None, channel: str | None, seconds: float | None, *, answers: bool) -> int:
        """Make the connections send nothing while they stay open; return how many there were."""
        chosen = list(self._chosen(uid, channel))
        for connection in chosen:
            connection.silence(seconds, answers=answers)
        return len(chosen)

    def close(self, uid: int | None, channel: str | None, code: int | None) -> int:
        """End the connections: with a close code, or without a word; return how many there were."""
        chosen = list(self._chosen(uid, channel))
        for connection in chosen:
            if code is None:
                connection.abort()
            else:
                connection.close(code)
        return len(chosen)

    def refuse(self, uid: int | None, channel: str | None, seconds: float) -> None:
        """Turn new connections away; those that exist stay."""
        self._refusals.append(_Refusal(asyncio.get_running_loop().time() + seconds, uid, channel))

    def pace(self, *, idle_s: float, scan_s: float) -> None:
        """Set after how much silence a connection is dropped, and how often that is looked at."""
        self.idle_s, self.scan_s = idle_s, scan_s
        self._scan()

    def report(self) -> Json:
        """Describe the connections: who holds how many, what they follow, what was sent and what was lost."""
        uids: dict[str, Json] = {}
        for uid, counts in self._publisher.counts.items():
            uids[str(uid)] = {**_NOTHING, "topics": {}, **counts}
        for connection in self._connections:
            if connection.uid is not None:
                shown = uids.setdefault(str(connection.uid), {**_NOTHING, "topics": {}})
                shown["connections"] += 1
                shown["topics"] = dict(Counter(shown["topics"]) + Counter(connection.topics.keys()))
        channels = Counter(connection.channel for connection in self._connections)
        return {"connections": dict(channels), "uids": uids, "ips": self.visits.report()}

    def admits_trade(self, ip: str, now_ns: int) -> bool:
        """Count a request of a trade socket against the limit of its IP."""
        if ip not in self._trade_windows:
            self._trade_windows[ip] = RollingWindow(_TRADES_PER_IP, SECOND_NS)
        return self._trade_windows[ip].take(now_ns, 1) > 0

    def _conversation(self, connection: Connection) -> Conversation:
        match connection.channel:
            case "private":
                return PrivateSocket(self, connection)
            case "trade":
                return TradeSocket(self, connection)
            case "public":
                self._public[connection] = PublicSocket(self, connection)
                return self._public[connection]

    async def _listen(self, connection: Connection, conversation: Conversation, receive: Receive) -> None:
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return
            message = _parsed(received.get("text") or received.get("bytes") or "")
            if message is None:
                connection.close(_INVALID_PAYLOAD)
            else:
                connection.receive(partial(conversation.hear, message))

    def _chosen(self, uid: int | None, channel: str | None) -> Iterable[Connection]:
        return (
            connection
            for connection in self._connections
            if uid in (None, connection.uid) and channel in (None, connection.channel)
        )

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._public.pop(connection, None)
        if connection.uid is not None and connection.channel == "private":
            self.exchange.feed.followers[connection.uid] -= 1

    def _keep_scanning(self) -> None:
        if self._scanner is None:
            self._scanner = asyncio.get_running_loop().call_later(self.scan_s, self._scan)

    def _scan(self) -> None:
        """End the connections that have been silent, or have lived, for too long."""
        if self._scanner is not None:
            self._scanner.cancel()
            self._scanner = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            is_idle = now - connection.active_at >= self.idle_s
            if is_idle or (connection.lives_until is not None and now >= connection.lives_until):
                connection.close()
        if self._connections:
            self._keep_scanning()

    def _reset(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        self._publisher.counts.clear()
        self._start()

    def _start(self) -> None:
        config = self.exchange.config
        self.visits = Visits(config.connect_limit)
        self.idle_s = config.socket_idle_s
        self.scan_s = config.socket_scan_s
        self._trade_windows: dict[str, RollingWindow] = {}
        self._refusals: list[_Refusal] = []


def _parsed(text: str | bytes) -> Json | None:
    """Return a message, None if it is no JSON object."""
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _life_of(scope: Scope) -> float | None:
    """Return the seconds that `max_active_time` allows; None if it is not given, 0 if it makes no sense."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("max_active_time")
    if not given:
        return None
    found = _LIFE.fullmatch(given[-1])
    life_s = int(found[1]) * (60 if found[2] == "m" else 1) if found else 0
    return life_s if life_s in _LIFE_S else 0


def _ip_of(scope: Scope, *, trusts_forwarded: bool) -> str:
    client = scope.get("client")
    ip: str = client[0] if client else "unknown"
    if trusts_forwarded:
        forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
        return forwarded.partition(",")[0].strip() or ip
    return ip


async def _turn_away(send: Send, status: int) -> None:
    """Refuse the upgrade."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})
