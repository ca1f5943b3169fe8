"""Holdings: what an account has, as the exchange showed it last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sluicegate.domain.numbers import plain


@dataclass(frozen=True, slots=True)
class Position:
    """One position.

    Attributes:
        position_idx: 0 one-way, 1 the long and 2 the short side in hedge mode.
        side: `Buy`, `Sell`, or empty for none.
        size: not negative, in the instrument's unit.
        updated_ms: when it last changed, exchange clock; 0: not told.
    """

    category: str
    symbol: str
    position_idx: int
    side: str
    size: Decimal
    entry_price: Decimal | None = None
    unrealised_pnl: Decimal = Decimal(0)
    updated_ms: int = 0

    @property
    def net(self) -> Decimal:
        """Return the size, negative for a short position."""
        return -self.size if self.side == "Sell" else self.size

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what makes it one position of its account."""
        return self.category, self.symbol, self.position_idx

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "category": self.category,
            "symbol": self.symbol,
            "position_idx": self.position_idx,
            "side": self.side,
            "size": plain(self.size),
            "entry_price": None if self.entry_price is None else plain(self.entry_price),
            "unrealised_pnl": plain(self.unrealised_pnl),
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """One coin of an account's wallet."""

    coin: str
    wallet: Decimal
    equity: Decimal
    locked: Decimal = Decimal(0)
    unrealised_pnl: Decimal = Decimal(0)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "coin": self.coin,
            "wallet": plain(self.wallet),
            "equity": plain(self.equity),
            "locked": plain(self.locked),
            "unrealised_pnl": plain(self.unrealised_pnl),
        }


@dataclass(frozen=True, slots=True)
class ForeignOrder:
    """An order on an account of ours that Sluicegate did not place.

    Attributes:
        parent_order_id: the order of ours that it came with, as take profit or stop loss; None for none.
        stop_order_type: Bybit's word, e.g. `TakeProfit`.
    """

    account: str
    exchange_order_id: str
    link_id: str
    parent_order_id: str | None
    category: str
    symbol: str
    side: str
    stop_order_type: str
    status: str
    is_open: bool
    qty: Decimal
    price: Decimal | None
    cum_exec_qty: Decimal
    avg_price: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "account": self.account,
            "exchange_order_id": self.exchange_order_id,
            "order_link_id": self.link_id,
            "parent_order_id": self.parent_order_id,
            "category": self.category,
            "symbol": self.symbol,
            "side": self.side,
            "stop_order_type": self.stop_order_type,
            "status": self.status,
            "qty": plain(self.qty),
            "price": None if self.price is None else plain(self.price),
            "cum_exec_qty": plain(self.cum_exec_qty),
            "avg_price": None if self.avg_price is None else plain(self.avg_price),
        }


@dataclass(frozen=True, slots=True)
class AccountView:
    """How well the ledger knows an account.

    Attributes:
        fence: grows with each holder of the account's stream; what an older one writes later is dropped.
        stream_at: the stream was connected, subscribed, and had filled its gap at this time; None: never.
        event_ms: exchange clock, ms: everything that happened before was seen.
        positions_at: the positions were complete and current at this time; None: they are not known.
        balances_at: the same for the balances.
        reconcile_at: when ledger and exchange are compared next.
    """

    account: str
    fence: int = 0
    stream_at: datetime | None = None
    event_ms: int | None = None
    positions_at: datetime | None = None
    balances_at: datetime | None = None
    reconcile_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Something that happened to an account and belongs to no one order.

    Attributes:
        event: one of a closed set of words; `difference`: ledger and exchange differed.
        detail: what, for people and programs.
    """

    account: str
    at: datetime
    event: str
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {
            "account": self.account,
            "at": self.at.isoformat(),
            "event": self.event,
            "detail": dict(self.detail),
        }
