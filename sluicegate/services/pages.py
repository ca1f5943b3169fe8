"""Pages: every unpaged incident reaches a person; the ledger is the outbox."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.ports import Clock, Ledger, Pager


@dataclass(frozen=True)
class Pages:
    """Delivers pages, once an incident."""

    ledger: Ledger
    pager: Pager
    clock: Clock

    def deliver(self) -> int:
        """Page for each open incident that nobody was told about; returns how many were delivered."""
        delivered = 0
        for incident in self.ledger.incidents(only_open=True, limit=500):
            if incident.paged_at is None and incident.acked_at is None and self.pager.page(incident):
                self.ledger.mark_paged(incident.incident_id, self.clock.now())
                delivered += 1
        return delivered
