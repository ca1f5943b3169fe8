"""Health: whether an account's private stream shows what happens, as its process notes in the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sluicegate.ports import Clock, EvidenceLedger

FRESH: Final = timedelta(seconds=15)
"""A stream that is up says so every two seconds."""
KEEP_S: Final = 2.0


@dataclass(frozen=True)
class StreamHealth:
    """Tells, from what the ledger said at most two seconds ago."""

    ledger: EvidenceLedger
    clock: Clock
    _known: dict[str, tuple[float, bool]] = field(default_factory=dict)

    def is_up(self, account: str) -> bool:
        """Tell whether nothing that happens to an account's orders is missed now.

        Raises:
            LedgerUnavailable: it is not known.
        """
        now_s = self.clock.monotonic()
        told = self._known.get(account)
        if told is None or now_s - told[0] > KEEP_S:
            seen_at = self.ledger.view(account).stream_at
            told = (now_s, seen_at is not None and self.clock.now() - seen_at <= FRESH)
            self._known[account] = told
        return told[1]
