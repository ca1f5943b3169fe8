"""Unpark: no order stays parked for want of a halt that would ever be lifted."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from sluicegate.ports import Clock, Ledger
from sluicegate.services.faults import Faults
from sluicegate.services.halts import Halts

log = structlog.get_logger(__name__)

LOOK_S = 2.0
GRACE_S = 5.0
"""`accounts resume` releases orders itself, and counts them; this takes what it left."""


@dataclass
class Unparker:
    """Releases parked orders of accounts that nothing halts.

    Whoever parks an order has read the halt before, and in between a person may lift it; or lifting it is as far
    as a process comes that is killed. Then no halt is left to resume and no incident tells of the order.
    """

    ledger: Ledger
    halts: Halts
    clock: Clock
    _look_at: float = 0.0
    _free_since: dict[str, float] = field(default_factory=dict)

    def unpark(self, faults: Faults) -> int:
        """Look for such orders every `LOOK_S`; some of many at a time.

        Returns:
            How many may go out.
        """
        now = self.clock.monotonic()
        if now < self._look_at:
            return 0
        self._look_at = now + LOOK_S
        free = [account for account in self.ledger.parked_accounts() if self.halts.on(account) is None]
        self._free_since = {account: self._free_since.get(account, now) for account in free}
        released = 0
        for account in free:
            if now - self._free_since[account] >= GRACE_S:
                with faults.apart("unpark", account=account):
                    released += self._release(account)
        return released

    def _release(self, account: str) -> int:
        released, moved = self.halts.unpark_some(account)
        if moved:
            log.warning("parked_without_a_halt", account=account, released=released, expired=moved - released)
        return released
