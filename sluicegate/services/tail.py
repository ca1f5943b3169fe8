"""Tail: events of orders in the ledger, read on from a position, none twice and none left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sluicegate.ports import Clock, EvidenceLedger, OrderUpdate

MOST: Final = 500
PATIENCE: Final = timedelta(seconds=3)
"""How long a gap in the positions is waited for. PostgreSQL numbers events when they are written and shows them
when their transaction commits, so a later number may be there first; one whose transaction failed never comes."""


@dataclass
class Tail:
    """Reads events behind a position.

    A writer that takes longer than `PATIENCE` between an event and its commit, on PostgreSQL, would be overtaken,
    and its event left out: transactions here take milliseconds.

    Args:
        position: of the last event that was read.
    """

    ledger: EvidenceLedger
    clock: Clock
    position: int

    def read(self) -> list[OrderUpdate]:
        """Return the next events, oldest first; none while there are none, or one is on its way.

        Raises:
            LedgerUnavailable: read again.
        """
        ready: list[OrderUpdate] = []
        now = self.clock.now()
        for update in self.ledger.events_after(self.position, limit=MOST):
            is_next = update.position == self.position + 1
            if not is_next and now - update.event.at < PATIENCE:
                break
            self.position = update.position
            ready.append(update)
        return ready
