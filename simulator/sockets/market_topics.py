"""The topics of the public sockets, each as one subscriber sees it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from simulator.exchange import Exchange
from simulator.instruments import Instrument
from simulator.market_calls import book_view, ticker_view
from simulator.orders import Execution, text
from simulator.wire import Json

_IDLE_S = 3.0
_SPOT_LEAVES_OUT = frozenset({"bid1Price", "bid1Size", "ask1Price", "ask1Size"})
_OPTION_NAMES = {
    "bid1Price": "bidPrice",
    "bid1Size": "bidSize",
    "bid1Iv": "bidIv",
    "ask1Price": "askPrice",
    "ask1Size": "askSize",
    "ask1Iv": "askIv",
    "markIv": "markPriceIv",
}

Levels = dict[str, str]


class Topic(Protocol):
    """One subscription of one connection."""

    instrument: Instrument | None

    def snapshot(self) -> Json | None:
        """Return what a new subscriber gets at once."""

    def moved(self) -> Json | None:
        """Return what a move of the market makes to be told."""


class TickerTopic:
    """`tickers.{symbol}`: linear and inverse send what changed, spot and options all of it again."""

    def __init__(self, exchange: Exchange, name: str, instrument: Instrument) -> None:
        self._exchange = exchange
        self._name = name
        self.instrument: Instrument | None = instrument
        self._view = ticker_view(exchange, instrument)

    def snapshot(self) -> Json:
        """Return the whole ticker."""
        return self._message("snapshot", self._view)

    def moved(self) -> Json | None:
        """Return what changed, None if nothing did."""
        assert self.instrument is not None  # noqa: S101 - set on construction
        before, self._view = self._view, ticker_view(self._exchange, self.instrument)
        changed = {name: value for name, value in self._view.items() if before.get(name) != value}
        if not changed:
            return None
        if self.instrument.category in ("spot", "option"):
            return self.snapshot()
        return self._message("delta", {"symbol": self.instrument.symbol, **changed})

    def _message(self, kind: str, data: Json) -> Json:
        assert self.instrument is not None  # noqa: S101 - set on construction
        now_ms = self._exchange.clock.now_ms()
        category = self.instrument.category
        if category == "spot":
            data = {name: value for name, value in data.items() if name not in _SPOT_LEAVES_OUT}
        elif category == "option":
            data = {_OPTION_NAMES.get(name, name): value for name, value in data.items()}
        message: Json = {"topic": self._name, "type": kind, "data": data, "ts": now_ms}
        if category == "option":
            return {"id": f"{self._name}-{now_ms}", **message}
        return {**message, "cs": now_ms}


class BookTopic:
    """`orderbook.{depth}.{symbol}`: a snapshot, then deltas; of depth 1 snapshots only, repeated after 3 s.

    Args:
        push: Sends a message that nothing but the passing of time brought about.
    """

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        instrument: Instrument,
        depth: int,
        push: Callable[[Json | None], None],
    ) -> None:
        self._exchange = exchange
        self._name = name
        self.instrument: Instrument | None = instrument
        self._instrument = instrument
        self._depth = depth
        self._push = weakref.WeakMethod(push)
        self._update = 1
        self._shown: tuple[Levels, Levels] = ({}, {})

    def snapshot(self) -> Json:
        """Return the whole book."""
        self._shown = self._levels()
        self._update += 1
        if self._depth == 1:
            update = self._update
            asyncio.get_running_loop().call_later(_IDLE_S, self._repeat, update)
        bids, asks = self._shown
        return self._message("snapshot", bids, asks)

    def moved(self) -> Json | None:
        """Return the levels that changed; size 0 says that one is gone."""
        if self._depth == 1:
            return self.snapshot() if self._levels() != self._shown else None
        before, self._shown = self._shown, self._levels()
        bids, asks = (_changes(old, new) for old, new in zip(before, self._shown, strict=True))
        if not bids and not asks:
            return None
        self._update += 1
        return self._message("delta", bids, asks)

    def _repeat(self, update: int) -> None:
        push = self._push()
        if update == self._update and push is not None:
            push(self.snapshot())

    def _levels(self) -> tuple[Levels, Levels]:
        book = book_view(self._exchange, self._instrument, self._depth)
        return dict(book["b"]), dict(book["a"])

    def _message(self, kind: str, bids: Levels, asks: Levels) -> Json:
        now_ms = self._exchange.clock.now_ms()
        data = {
            "s": self._instrument.symbol,
            "b": [[price, size] for price, size in bids.items()],
            "a": [[price, size] for price, size in asks.items()],
            "u": self._update,
            "seq": now_ms,
        }
        return {"topic": self._name, "type": kind, "ts": now_ms, "data": data, "cts": now_ms}


class TradeTopic:
    """`publicTrade.{symbol}`, for options `publicTrade.{base coin}`: what the accounts trade."""

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        category: str,
        instrument: Instrument | None = None,
        *,
        base: str = "",
    ) -> None:
        self._exchange = exchange
        self._name = name
        self._category = category
        self.instrument = instrument
        self._base = base

    def snapshot(self) -> None:
        """Return nothing: trades of the past are not told."""

    def moved(self) -> None:
        """Return nothing: only trades are told."""

    def traded(self, execution: Execution) -> Json | None:
        """Return the trade, if it is one of this topic; the side is that of the taker."""
        instrument, order = execution.order.instrument, execution.order
        if instrument.category != self._category:
            return None
        if instrument is not self.instrument and instrument.base != self._base:
            return None
        row: Json = {
            "i": execution.id,
            "T": execution.time_ms,
            "p": text(execution.price),
            "v": text(execution.qty),
            "S": "Buy" if order.is_buy != execution.is_maker else "Sell",
            "s": instrument.symbol,
            "BT": False,
            "seq": execution.seq,
        }
        if self._category in ("linear", "inverse"):
            row["L"] = "ZeroPlusTick"
        elif self._category == "option":
            price = text(self._exchange.market.last(instrument))
            row |= {"mP": price, "iP": text(self._exchange.market.dollars(instrument.base)), "mIv": "0", "iv": "0"}
        now_ms = self._exchange.clock.now_ms()
        return {"topic": self._name, "type": "snapshot", "ts": now_ms, "data": [row]}


def _changes(before: Levels, after: Levels) -> Levels:
    gone = dict.fromkeys(before.keys() - after.keys(), "0")
    return {**gone, **{price: size for price, size in after.items() if before.get(price) != size}}
