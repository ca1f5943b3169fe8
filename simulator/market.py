"""Prices: an endlessly deep synthetic book, one tick wide, around the last price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from simulator.instruments import Instrument, Instruments

ONE = Decimal(1)
_DOLLARS = frozenset({"USDT", "USDC", "USD"})


class Touch(NamedTuple):
    """The best prices: a trade can always be done at them."""

    bid: Decimal
    ask: Decimal


class Market:
    """The last price of every instrument.

    The last price is the bid; the ask is one tick above. A market that is given a `depth` shows each incoming
    order only that much at the touch, which is how partial fills come about; otherwise the depth is endless.
    With a depth of zero there is no price to be had, and market orders are rejected after their acknowledgement.

    Args:
        instruments: All instruments; their opening prices count until a price is set.
        prices: Other opening prices by symbol.
    """

    def __init__(self, instruments: Instruments, prices: Mapping[str, Decimal]) -> None:
        self.instruments = instruments
        self._last: dict[Instrument, Decimal] = {}
        self._depth: dict[Instrument, Decimal] = {}
        self.on_change: Callable[[Instrument], None] = lambda _instrument: None
        for symbol, price in prices.items():
            for instrument in instruments.named(symbol):
                self._last[instrument] = price

    def last(self, instrument: Instrument) -> Decimal:
        """Return the last traded price, which is also mark and index price here."""
        return self._last.get(instrument, instrument.opening_price)

    def move(self, instrument: Instrument, price: Decimal) -> None:
        """Set the last price."""
        self._last[instrument] = price
        self.on_change(instrument)

    def touch(self, instrument: Instrument) -> Touch:
        """Return the best bid and ask."""
        last = self.last(instrument)
        return Touch(last, last + instrument.tick)

    def depth(self, instrument: Instrument) -> Decimal | None:
        """Return what one incoming order finds at the touch, None for endless."""
        return self._depth.get(instrument)

    def set_depth(self, instrument: Instrument, depth: Decimal | None) -> None:
        """Limit what one incoming order finds at the touch; None lifts the limit."""
        if depth is None:
            self._depth.pop(instrument, None)
        else:
            self._depth[instrument] = depth
        self.on_change(instrument)

    def highest_buy(self, instrument: Instrument) -> Decimal:
        """Return the edge of the price band for buys, on the tick."""
        return _on_tick(self.last(instrument) * (ONE + instrument.band), instrument)

    def lowest_sell(self, instrument: Instrument) -> Decimal:
        """Return the edge of the price band for sells, on the tick."""
        return _on_tick(self.last(instrument) * (ONE - instrument.band), instrument) + instrument.tick

    def dollars(self, coin: str) -> Decimal:
        """Return what one coin is worth in USD; zero for a coin without a market."""
        if coin in _DOLLARS:
            return ONE
        for category in ("spot", "linear"):
            instrument = self.instruments.find(category, f"{coin}USDT")
            if instrument is not None:
                return self.last(instrument)
        return Decimal(0)


def _on_tick(price: Decimal, instrument: Instrument) -> Decimal:
    return price // instrument.tick * instrument.tick
