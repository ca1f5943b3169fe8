"""Glance: ask cheaply whether the exchange's open orders are those of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sluicegate.domain.comparison import Difference, Kind, compare_orders
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES
from sluicegate.ports import Account, Clock, OrderFilter
from sluicegate.services.backfill import Backfill
from sluicegate.services.witness import Evidence

YOUNG: Final = timedelta(seconds=5)
"""An order that the ledger changed since then may not be listed yet."""
MOST_ORDERS: Final = 20_000


@dataclass(frozen=True)
class Glance:
    """Looks at the open orders alone, of the categories that have some, and writes nothing."""

    ledger: Evidence
    backfill: Backfill
    clock: Clock

    def unseen(self, account: Account) -> list[Difference]:
        """Return what became of the ledger's open orders without the ledger; nothing is asked when it has none.

        Raises:
            BucketDenied, BucketUnavailable, ExchangeUnavailable, OrderRejected, LedgerUnavailable: nothing was
                concluded.
        """
        away = self.ledger.list_orders(
            OrderFilter(account=account.name, states=ON_EXCHANGE_STATES, limit=MOST_ORDERS)
        )
        if not away:
            return []
        orders = {str(order.link_id): order for order in away}
        settled_at = self.clock.now() - YOUNG
        opened = self.backfill.list_open(account, frozenset(order.category for order in away))
        found = compare_orders(orders, opened.sightings, settled_at=settled_at, settled_ms=opened.asked_at_ms)
        return [difference for difference in found if difference.kind in {Kind.MISSING, Kind.BEHIND}]
