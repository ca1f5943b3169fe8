"""`/v5/public/{category}`: tickers, order books and trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.instruments import Instrument
from simulator.orders import Execution
from simulator.sockets.connection import Connection
from simulator.sockets.market_topics import BookTopic, TickerTopic, Topic, TradeTopic
from simulator.wire import Json, encode

if TYPE_CHECKING:
    from simulator.sockets.hub import Hub

# Source: Bybit V5 docs, WebSocket connect and orderbook pages (read 2026-07-24).
_DEPTHS = {
    "spot": ("1", "50", "200", "1000"),
    "linear": ("1", "50", "200", "1000"),
    "inverse": ("1", "50", "200", "1000"),
    "option": ("25", "100"),
}
_MOST_CHARACTERS = 21_000
_MOST_SPOT_ARGS = 10
_MOST_OPTION_TOPICS = 2000


class PublicSocket:
    """Speak with one client of `/v5/public/{category}`."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection
        self._category = connection.path.rpartition("/")[2]
        self._topics: dict[str, Topic] = {}

    def hear(self, message: Json) -> None:
        """Answer one message."""
        op = message.get("op")
        if op == "ping":
            self._pong(message)
        elif op in ("subscribe", "unsubscribe"):
            self._change(message, is_subscribe=op == "subscribe")
        else:
            self._answer(message, "error:invalid op")

    def market_moved(self, instrument: Instrument) -> None:
        """Push what a move of the market changed."""
        for topic in self._topics.values():
            if topic.instrument is instrument:
                self._push(topic.moved())

    def traded(self, execution: Execution) -> None:
        """Push a trade to the topics that show it."""
        for topic in self._topics.values():
            if isinstance(topic, TradeTopic):
                self._push(topic.traded(execution))

    def _change(self, message: Json, *, is_subscribe: bool) -> None:
        args = message.get("args")
        names = [str(name) for name in args] if isinstance(args, list) else []
        if not names:
            self._answer(message, "Params Error")
        elif self._category == "spot" and len(names) > _MOST_SPOT_ARGS:
            self._answer(message, f"error:args size >{_MOST_SPOT_ARGS}")
        elif len(encode(names)) > _MOST_CHARACTERS:
            self._answer(message, f"error:args length >{_MOST_CHARACTERS}")
        elif is_subscribe:
            self._subscribe(message, names)
        else:
            for name in names:
                self._topics.pop(name, None)
                self._connection.topics.pop(name, None)
            self._answer(message, succeeded=names)

    def _subscribe(self, message: Json, names: list[str]) -> None:
        """Add topics; options take what exists of a request, the others all of it or nothing."""
        found = {name: topic for name in names if (topic := self._find(name)) is not None}
        failed = [name for name in names if name not in found]
        is_option = self._category == "option"
        if is_option and len(self._topics) + len(found) > _MOST_OPTION_TOPICS:
            found, failed = {}, names
        if failed and not is_option:
            self._answer(message, f"error:handler not found,topic:{failed[0]}")
            return
        self._answer(message, succeeded=list(found), failed=failed)
        for name, topic in found.items():
            self._topics[name] = topic
            self._connection.topics[name] = None
            self._push(topic.snapshot())

    def _find(self, name: str) -> Topic | None:
        exchange = self._hub.exchange
        kind, _, rest = name.partition(".")
        if kind == "publicTrade" and self._category == "option":
            bases = {item.base for item in exchange.instruments.of(self._category)}
            return TradeTopic(exchange, name, self._category, base=rest) if rest in bases else None
        depth, _, symbol = rest.partition(".") if kind == "orderbook" else ("", "", rest)
        instrument = exchange.instruments.find(self._category, symbol)
        if instrument is None:
            return None
        if kind == "orderbook" and depth in _DEPTHS[self._category]:
            return BookTopic(exchange, name, instrument, int(depth), self._push)
        if kind == "tickers":
            return TickerTopic(exchange, name, instrument)
        return TradeTopic(exchange, name, self._category, instrument) if kind == "publicTrade" else None

    def _push(self, message: Json | None) -> None:
        if message is not None:
            self._connection.push(encode(message))

    def _pong(self, message: Json) -> None:
        if self._category == "option":
            self._connection.say({"args": [str(self._hub.exchange.clock.now_ms())], "op": "pong"})
        else:
            self._connection.say({"success": True, "ret_msg": "pong", **self._ids(message), "op": "ping"})

    def _answer(
        self,
        message: Json,
        error: str = "",
        *,
        succeeded: list[str] | None = None,
        failed: list[str] | None = None,
    ) -> None:
        """Answer in the form of the category."""
        if self._category == "option":
            self._connection.say(
                {
                    "success": not error and not failed,
                    **self._ids(message),
                    "data": {"failTopics": failed or [], "successTopics": succeeded or []},
                    "type": "COMMAND_RESP",
                }
            )
            return
        said = error or (str(message.get("op")) if self._category == "spot" else "")
        self._connection.say(
            {
                "success": not error,
                "ret_msg": said,
                **self._ids(message),
                "op": message.get("op", ""),
            }
        )

    def _ids(self, message: Json) -> Json:
        req_id = {"req_id": message["req_id"]} if "req_id" in message else {}
        return {"conn_id": self._connection.id, **req_id}
