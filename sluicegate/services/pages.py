"""Pages: every incident reaches a person, again until somebody acknowledges, and once more when it is over.

The ledger is the outbox, and its claim keeps two schedulers from telling the same twice. A scheduler that dies
between a delivery and writing it down tells twice: better than never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sluicegate.domain.records import Incident, PageKind, Severity
from sluicegate.ports import Clock, Ledger, Pager
from sluicegate.services.faults import Faults

LEASE = timedelta(minutes=3)
"""Longer than trying all receivers takes."""
RETRY_BASE_S, RETRY_CAP_S = 5.0, 300.0
MOST_A_ROUND = 100


@dataclass(frozen=True)
class Pages:
    """Delivers pages.

    Args:
        repeat_s: by severity, after how many seconds an incident that nobody acked is paged again; 0: never.
    """

    ledger: Ledger
    pager: Pager
    clock: Clock
    repeat_s: Mapping[Severity, float]

    def deliver(self) -> int:
        """Deliver every page that is due; returns how many were.

        Raises:
            LedgerUnavailable: the rest is delivered later.
        """
        delivered, faults = 0, Faults()
        for _ in range(MOST_A_ROUND):
            incident = self.ledger.claim_page(self.clock.now(), LEASE)
            if incident is None:
                break
            with faults.apart("pages", incident=incident.key):  # its claim runs out, and then it is tried again
                delivered += self._deliver(incident)
        return delivered

    def _deliver(self, incident: Incident) -> bool:
        is_delivered = self.pager.page(incident)
        now = self.clock.now()
        wait_s = self._repeat_after(incident) if is_delivered else retry_after(incident.page_failures)
        next_at = None if wait_s is None else now + timedelta(seconds=wait_s)
        self.ledger.settle_page(incident, delivered=is_delivered, at=now, next_at=next_at)
        return is_delivered

    def _repeat_after(self, incident: Incident) -> float | None:
        if incident.page_kind is PageKind.RESOLVED:
            return None
        return self.repeat_s[incident.severity] or None


def retry_after(failures: int) -> float:
    """Return how long to wait after a page that reached nobody, seconds: doubled each time, up to five minutes."""
    return float(min(RETRY_CAP_S, RETRY_BASE_S * 2 ** min(failures, 10)))
