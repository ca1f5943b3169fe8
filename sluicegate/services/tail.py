"""Tail: events of orders in the ledger, read on from a position, none twice and none left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sluicegate.ports import Clock, EvidenceLedger, OrderUpdate

MOST: Final = 500
PATIENCE_S: Final = 5.0
"""How long a gap in the positions is waited for. PostgreSQL numbers events when they are written and shows them
when their transaction commits, so a later number may be there first; one whose transaction failed never comes."""
LONG_AGO: Final = timedelta(minutes=1)
"""A gap before an event that old is not waited for: longer than a writer may wait for locks, and more."""


@dataclass
class Tail:
    """Reads events behind a position.

    A writer that takes longer than `PATIENCE_S` between an event and its commit, on PostgreSQL, would be
    overtaken, and its event left out: transactions here take milliseconds.

    Args:
        position: of the last event that was read.
    """

    ledger: EvidenceLedger
    clock: Clock
    position: int
    _gap_since_s: float | None = None

    def read(self) -> list[OrderUpdate]:
        """Return the next events, oldest first; none while there are none, or one is on its way.

        Raises:
            LedgerUnavailable: read again.
        """
        ready: list[OrderUpdate] = []
        for update in self.ledger.events_after(self.position, limit=MOST):
            if update.position != self.position + 1 and self._may_still_come(update):
                break
            self.position, self._gap_since_s = update.position, None
            ready.append(update)
        return ready

    def _may_still_come(self, behind: OrderUpdate) -> bool:
        """Tell whether what is missing before an event may be on its way; how long is by our own watch."""
        if self.clock.now() - behind.event.at > LONG_AGO:
            return False
        now_s = self.clock.monotonic()
        if self._gap_since_s is None:
            self._gap_since_s = now_s
        return now_s - self._gap_since_s < PATIENCE_S
