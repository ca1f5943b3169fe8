"""Accounts: wallets, positions, margin, and the orders of one UID."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from simulator.instruments import CATEGORIES, ZERO, Category, Instrument
from simulator.market import Market
from simulator.orders import Execution, Order

RECENT_CLOSED = 500
DEFAULT_LEVERAGE = Decimal(10)
_GRAIN = Decimal("1E-12")

# Source: Bybit V5 docs, fee-rate examples and the non-VIP tier (read 2026-07-24).
TAKER_FEE = {
    "spot": Decimal("0.001"),
    "linear": Decimal("0.00055"),
    "inverse": Decimal("0.00055"),
    "option": Decimal("0.0003"),
}
MAKER_FEE = {
    "spot": Decimal("0.001"),
    "linear": Decimal("0.0002"),
    "inverse": Decimal("0.0002"),
    "option": Decimal("0.0002"),
}

# A short option binds this share of its underlying beside the premium: a stand-in for Bybit's option margin.
SHORT_OPTION_MARGIN = Decimal("0.15")


@dataclass(slots=True)
class Wallet:
    """One coin of an account; `locked` is the part that open spot orders hold."""

    balance: Decimal = ZERO
    locked: Decimal = ZERO
    realised: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        """Return what spot orders may still use."""
        return self.balance - self.locked


@dataclass(slots=True)
class Position:
    """What an account holds of one contract; `net` is negative when short.

    Args:
        stops_parent: The orderLinkId of the order that brought the full take profit or stop loss along.
        seq: Of the execution that changed it last.
    """

    instrument: Instrument
    idx: int
    net: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    take_profit: str = ""
    stop_loss: str = ""
    stops_parent: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    seq: int = -1

    @property
    def size(self) -> Decimal:
        """Return the size without direction."""
        return abs(self.net)

    def closable(self, *, is_buy: bool) -> Decimal:
        """Return how much an order of this direction could close."""
        return self.size if (self.net < 0) == is_buy and self.net else ZERO

    def profit_at(self, price: Decimal, size: Decimal | None = None) -> Decimal:
        """Return the profit in the settle coin of closing (a part of) the position at a price."""
        size = self.size if size is None else size
        if not size:
            return ZERO
        direction = 1 if self.net > 0 else -1
        if self.instrument.category == "inverse":
            return (size * (1 / self.entry - 1 / price) * direction).quantize(_GRAIN)
        return (size * (price - self.entry) * direction).quantize(_GRAIN)

    def trade(self, signed_qty: Decimal, price: Decimal, now_ms: int) -> tuple[Decimal, Decimal]:
        """Apply a fill.

        Args:
            signed_qty: Positive for a buy.
            price: What it traded at.
            now_ms: When.

        Returns:
            How much of it closed the position, and the profit realised by that.
        """
        closed = min(abs(signed_qty), self.closable(is_buy=signed_qty > 0))
        profit = self.profit_at(price, closed)
        opened = abs(signed_qty) - closed
        if opened:
            kept = self.size - closed
            self.entry = self._average(kept, opened, price)
        self.net += signed_qty
        if not self.net:
            self.entry = ZERO
        if not self.created_ms:
            self.created_ms = now_ms
        self.updated_ms = now_ms
        self.realised += profit
        return closed, profit

    def _average(self, kept: Decimal, opened: Decimal, price: Decimal) -> Decimal:
        if not kept:
            return price
        if self.instrument.category == "inverse":
            return ((kept + opened) / (kept / self.entry + opened / price)).quantize(_GRAIN)
        return ((kept * self.entry + opened * price) / (kept + opened)).quantize(_GRAIN)


class Account:
    """One UID.

    Args:
        uid: Its number.
        balances: Coins to start with.
        is_unified: False for an account that was never upgraded from the classic kind; it only says so.
    """

    def __init__(self, uid: int, balances: Mapping[str, Decimal], *, is_unified: bool = True) -> None:
        self.uid = uid
        self.is_unified = is_unified
        self.margin_mode = "REGULAR_MARGIN"
        self.wallets: dict[str, Wallet] = {coin: Wallet(amount) for coin, amount in balances.items()}
        self.positions: dict[tuple[Instrument, int], Position] = {}
        self.leverage: dict[Instrument, Decimal] = {}
        self.hedged: set[str] = set()
        self.order_margin = ZERO
        self.moves_price: dict[str, bool] = {"spot": False, "linear": True, "inverse": True, "option": False}
        self.links: dict[str, Order] = {}
        self.by_id: dict[str, Order] = {}
        self.orders: dict[Category, list[Order]] = {category: [] for category in CATEGORIES}
        self.open: dict[Category, dict[str, Order]] = {category: {} for category in CATEGORIES}
        self.recent: dict[Category, deque[Order]] = {
            category: deque(maxlen=RECENT_CLOSED) for category in CATEGORIES
        }
        self.executions: dict[Category, list[Execution]] = {category: [] for category in CATEGORIES}
        self.active: Counter[tuple[Instrument | str, str]] = Counter()
        self._closed: Counter[Category] = Counter()

    def wallet(self, coin: str) -> Wallet:
        """Return the wallet of a coin, an empty one if it is new."""
        return self.wallets.setdefault(coin, Wallet())

    def leverage_of(self, instrument: Instrument) -> Decimal:
        """Return the leverage set for a contract."""
        return self.leverage.get(instrument, min(DEFAULT_LEVERAGE, instrument.max_leverage))

    def is_hedged(self, instrument: Instrument) -> bool:
        """Say whether both sides of this contract are held apart (hedge mode)."""
        return instrument.symbol in self.hedged or (instrument.is_usdt_perpetual and "USDT" in self.hedged)

    def position(self, instrument: Instrument, idx: int) -> Position:
        """Return the position, an empty one if there is none."""
        found = self.positions.get((instrument, idx))
        return found or Position(instrument, idx)

    def keep(self, position: Position) -> None:
        """Remember a position."""
        self.positions[position.instrument, position.idx] = position

    def open_positions(self) -> list[Position]:
        """List the positions that are not empty."""
        return [position for position in self.positions.values() if position.net]

    def accept(self, order: Order) -> None:
        """Take an acknowledged order into the books."""
        category = order.category
        self.orders[category].append(order)
        self.open[category][order.id] = order
        self.by_id[order.id] = order
        if order.link_id:
            self.links[order.link_id] = order
        for key in counting_keys(order):
            self.active[key] += 1

    def triggered(self, order: Order) -> None:
        """Count an order as plain that was counted as conditional; call it before the status changes."""
        for key in counting_keys(order):
            self.active[key] -= 1

    def recount(self, order: Order) -> None:
        """Count an order anew after its kind changed."""
        for key in counting_keys(order):
            self.active[key] += 1

    def close(self, order: Order) -> None:
        """Move an order from the open ones to the recently closed; call it before the status changes."""
        category = order.category
        if self.open[category].pop(order.id, None) is None:
            return
        order.closed_rank = self._closed[category]
        self._closed[category] += 1
        self.recent[category].append(order)
        for key in counting_keys(order):
            self.active[key] -= 1

    def is_recent(self, order: Order) -> bool:
        """Say whether a closed order is still in the cache of the latest 500."""
        recent = self.recent[order.category]
        return bool(recent) and order.closed_rank >= recent[0].closed_rank

    def forget_recent(self) -> None:
        """Empty the caches of closed orders, as a restart of the exchange does."""
        for recent in self.recent.values():
            recent.clear()

    def equity(self, market: Market) -> Decimal:
        """Return everything the account owns, open profit included, in USD."""
        total = sum((wallet.balance * market.dollars(coin) for coin, wallet in self.wallets.items()), ZERO)
        for position in self.open_positions():
            profit = position.profit_at(market.last(position.instrument))
            total += profit * market.dollars(position.instrument.settle)
        return total

    def position_margin(self, position: Position, market: Market) -> Decimal:
        """Return the initial margin a position binds, in its settle coin."""
        instrument = position.instrument
        value = instrument.value(position.size, market.last(instrument))
        if instrument.category == "option":
            if position.net > 0:
                return ZERO
            return value + SHORT_OPTION_MARGIN * position.size * market.dollars(instrument.base)
        return value / self.leverage_of(instrument)

    def available(self, market: Market) -> Decimal:
        """Return what new derivative orders may bind, in USD."""
        total = self.equity(market) - self.order_margin
        for coin, wallet in self.wallets.items():
            if wallet.locked:
                total -= wallet.locked * market.dollars(coin)
        for position in self.open_positions():
            margin = self.position_margin(position, market)
            total -= margin * market.dollars(position.instrument.settle)
        return total


def counting_keys(order: Order) -> list[tuple[Instrument | str, str]]:
    """Name the caps an open order counts against: (symbol or coin or category, kind)."""
    instrument = order.instrument
    if instrument.category == "spot":
        kind = order.sorts_as if order.is_waiting else "Order"
        return [("spot", "all")] if kind == "Order" else [("spot", "all"), (instrument, kind)]
    if instrument.category == "option":
        return [(instrument.base, "option")]
    return [(instrument, "conditional" if order.is_waiting else "active")]
