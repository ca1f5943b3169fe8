"""Positions: what an account holds, from the ledger while it is current, else asked of the exchange."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from sluicegate.domain.errors import BucketDenied, BucketUnavailable, ExchangeUnavailable
from sluicegate.domain.orders import Category, Order
from sluicegate.ports import Account, Clock
from sluicegate.services.backfill import Backfill
from sluicegate.services.witness import Evidence

MAX_AGE: Final = timedelta(seconds=10)
"""Positions older than this are asked for. A stream that is up renews them every two seconds."""


@dataclass(frozen=True)
class Positions:
    """What the risk limits know of an account's positions; it fails closed."""

    ledger: Evidence
    backfill: Backfill
    clock: Clock

    def net(self, account: Account, category: Category, symbol: str) -> Decimal:
        """Return a position's size, negative for short; both sides of hedge mode together.

        Raises:
            ExchangeUnavailable: it is not known now; send nothing that depends on it.
        """
        self._make_current(account)
        return self._known(account, category, symbol)

    def confirmed_net(self, account: Account, category: Category, symbol: str) -> Decimal:
        """Return what the exchange says now, whatever the ledger knows; raises as `net`."""
        self._ask(account)
        return self._known(account, category, symbol)

    def is_current(self, account: str) -> bool:
        """Tell whether the ledger knows the positions of an account now."""
        seen_at = self.ledger.view(account).positions_at
        return seen_at is not None and self.clock.now() - seen_at <= MAX_AGE

    def exposure(self, account: Account, order: Order) -> tuple[Decimal, Decimal]:
        """Return what other orders may still buy and sell of an order's symbol."""
        return self.ledger.exposure(account.name, order.category, order.symbol, before=order.order_id)

    def _make_current(self, account: Account) -> None:
        if not self.is_current(account.name):
            self._ask(account)

    def _ask(self, account: Account) -> None:
        try:
            self.backfill.refresh_positions(account)
        except (BucketDenied, BucketUnavailable) as e:
            raise ExchangeUnavailable(f"positions are not known: {e}") from e
        view = self.ledger.view(account.name)
        self.ledger.update_view(replace(view, positions_at=self.clock.now()))

    def _known(self, account: Account, category: Category, symbol: str) -> Decimal:
        shown = [position for _account, position in self.ledger.positions(account.name)]
        mine = [p.net for p in shown if (p.category, p.symbol) == (category.value, symbol)]
        return sum(mine, Decimal(0))
