"""`/v5/private`: the topics of one account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.instruments import CATEGORIES
from simulator.sockets.connection import Connection
from simulator.sockets.login import log_in
from simulator.wire import Json, Refusal

if TYPE_CHECKING:
    from simulator.sockets.hub import Hub

# Source: Bybit V5 docs, private WebSocket pages (read 2026-07-24). A position has no spot.
_BY_CATEGORY = {
    "order": CATEGORIES,
    "execution": CATEGORIES,
    "execution.fast": CATEGORIES,
    "position": ("linear", "inverse", "option"),
}
_ALL_IN_ONE = frozenset({*_BY_CATEGORY})
_CATEGORISED = frozenset(f"{kind}.{name}" for kind, names in _BY_CATEGORY.items() for name in names)
_OTHERS = frozenset({"wallet", "greeks", "dcp.future", "dcp.spot", "dcp.option"})


class PrivateSocket:
    """Speak with one client of `/v5/private`."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection

    def hear(self, message: Json) -> None:
        """Answer one message."""
        match message.get("op"):
            case "ping":
                now_ms = self._hub.exchange.clock.now_ms()
                self._connection.say(
                    {
                        **_req_id(message),
                        "op": "pong",
                        "args": [str(now_ms)],
                        "conn_id": self._connection.id,
                    }
                )
            case "auth":
                self._authenticate(message)
            case "subscribe":
                self._change(message, is_subscribe=True)
            case "unsubscribe":
                self._change(message, is_subscribe=False)
            case _:
                self._answer(message, "error:invalid op")

    def _authenticate(self, message: Json) -> None:
        exchange, connection = self._hub.exchange, self._connection
        try:
            key = log_in(exchange.keys, exchange.clock, connection.ip, message)
        except Refusal as refusal:
            self._answer(message, refusal.ret_msg)
            return
        if self._hub.refuses("private", key.uid):
            connection.abort()
            return
        if connection.uid is not None:
            self._answer(message, "error:repeat auth")
            return
        self._hub.belongs(connection, key.uid)
        self._answer(message)

    def _change(self, message: Json, *, is_subscribe: bool) -> None:
        args = message.get("args")
        topics = [str(topic) for topic in args] if isinstance(args, list) else []
        error = self._error_in(topics)
        if error:
            self._answer(message, error)
            return
        for topic in topics:
            if is_subscribe:
                self._connection.topics[topic] = None
            else:
                self._connection.topics.pop(topic, None)
        self._answer(message)

    def _error_in(self, topics: list[str]) -> str:
        if not topics:
            return "Params Error"
        for topic in topics:
            if topic not in _ALL_IN_ONE | _CATEGORISED | _OTHERS:
                return f"error:handler not found,topic:{topic}"
            if self._connection.uid is None:
                return f"error:topic:{topic} needs auth first."
        for kind in _ALL_IN_ONE & set(topics):
            if any(f"{kind}.{name}" in topics for name in CATEGORIES):
                return f"error:topic:{kind} and its categories cannot be subscribed in one request"
        return ""

    def _answer(self, message: Json, error: str = "") -> None:
        self._connection.say(
            {
                **_req_id(message),
                "success": not error,
                "ret_msg": error,
                "op": message.get("op", ""),
                "conn_id": self._connection.id,
            }
        )


def _req_id(message: Json) -> Json:
    return {"req_id": message["req_id"]} if "req_id" in message else {}
