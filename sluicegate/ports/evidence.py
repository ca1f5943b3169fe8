"""What streams and lists show, taken into the ledger in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sluicegate.domain.holdings import AccountEvent, AccountView, Balance, ForeignOrder, Position
from sluicegate.domain.orders import (
    Category,
    Order,
    OrderId,
    OrderLinkId,
)
from sluicegate.domain.records import (
    Fill,
    Sighting,
)
from sluicegate.ports.ledger import OrderUpdate


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a batch of evidence came to.

    Attributes:
        moved: orders that it changed, before and after.
        fills: how many of the fills are new fills of our orders.
        foreign: how many of the others were new, or changed what was known of a foreign order.
        strangers: what carries a link id of ours and cannot be that order; kept as foreign.
    """

    moved: tuple[tuple[Order, Order], ...] = ()
    fills: int = 0
    foreign: int = 0
    strangers: tuple[Sighting | Fill, ...] = ()


class EvidenceLedger(Protocol):
    """What the ledger learns from streams and lists. Every method raises `LedgerUnavailable` as `Ledger` does."""

    def witness(
        self,
        account: str,
        sightings: Sequence[Sighting],
        fills: Sequence[Fill],
        *,
        at: datetime,
        look_at: datetime,
    ) -> Witnessed:
        """Write down what the exchange shows of an account's orders, in one transaction.

        It may be shown in any order, twice, late, or before the acknowledgement. Orders and fills that are not
        ours are kept apart.

        Args:
            account: whose stream or list it was.
            sightings: orders as shown, oldest first.
            fills: executions as shown.
            at: local time.
            look_at: orders that stay open are looked at by themselves not before; those whose quantity or price
                is not what the ledger knows at once.
        """

    def take_missing_fills(self, now: datetime, *, limit: int) -> list[Order]:
        """Take orders of which more was executed than fills are known, and let them rest for a while."""

    def view(self, account: str) -> AccountView:
        """Return how well an account is known."""

    def update_view(self, view: AccountView) -> bool:
        """Store how well an account is known; False when a younger holder of its stream has written (by fence)."""

    def take_reconcile(self, now: datetime, *, account: str, again_at: datetime) -> bool:
        """Take an account's comparison that is due; False when none is, or someone else took it."""

    def ask_reconcile(self, account: str, at: datetime) -> None:
        """Let an account be compared at `at`, if that is sooner than planned."""

    def doubts(self, account: str) -> dict[str, Any]:
        """Return the differences that the last comparison could not explain."""

    def set_doubts(self, account: str, doubts: Mapping[str, Any]) -> None:
        """Store the differences that a comparison could not explain."""

    def note_account(self, event: AccountEvent) -> None:
        """Write down an event of an account that belongs to no one order."""

    def account_events(self, account: str | None = None, *, limit: int = 100) -> list[AccountEvent]:
        """Return the newest events of accounts, oldest first.

        Args:
            account: only of this one.
            limit: at most so many.
        """

    def positions(self, account: str | None = None) -> list[tuple[str, Position]]:
        """Return the positions that were seen last, with their accounts; flat ones are left out."""

    def set_positions(self, account: str, positions: Sequence[Position], *, complete_ms: int | None = None) -> int:
        """Store positions; older ones (by `updated_ms`) are dropped.

        Args:
            account: whose.
            positions: as shown.
            complete_ms: these were all at that instant, exchange clock: the others are flat, unless they changed
                later.

        Returns:
            How many differ from what was stored in side or size.
        """

    def balances(self, account: str | None = None) -> list[tuple[str, Balance]]:
        """Return the balances that were seen last, with their accounts."""

    def set_balances(self, account: str, balances: Sequence[Balance], *, at_ms: int, complete: bool) -> None:
        """Store balances as of `at_ms`, exchange clock; older ones are dropped."""

    def exposure(
        self, account: str, category: Category, symbol: str, *, before: OrderId
    ) -> tuple[Decimal, Decimal]:
        """Return what orders may still buy and sell: on the exchange, perhaps on it, or due and older than one."""

    def traded_after(self, position: int, account: str, category: Category, symbol: str) -> bool:
        """Tell whether the ledger has learned, behind a position of `last_position`, of what moves a position.

        That is: of an order of this symbol that has fills, or that ended after it may have been on the exchange.
        """

    def last_acknowledged(self, account: str, *, since: datetime, until: datetime) -> OrderLinkId | None:
        """Return the link id of the newest order acknowledged within that time; None: there is none."""

    def children(self, order_id: OrderId) -> list[ForeignOrder]:
        """Return the take-profit and stop-loss orders that came with an order."""

    def foreign_open(self, account: str) -> list[ForeignOrder]:
        """Return the open orders of an account that Sluicegate did not place."""

    def close_foreign(
        self, account: str, exchange_order_ids: Sequence[str], *, before_ms: int, at: datetime
    ) -> None:
        """Mark open foreign orders as ended with status `Unknown`; those that changed since `before_ms` stay."""

    def events_after(self, position: int, *, limit: int) -> list[OrderUpdate]:
        """Return events of all orders behind a position, oldest first."""

    def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""
