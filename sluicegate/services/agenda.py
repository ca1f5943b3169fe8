"""Agenda: when to look at an order on the exchange again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluicegate.domain.absence import LAG_MS
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, State
from sluicegate.domain.orders import Order
from sluicegate.domain.records import QUESTIONS
from sluicegate.ports import Accounts, Clock, Ledger

OLD_DOUBT_S = 600.0


@dataclass(frozen=True)
class Looks:
    """How long until the next look at an order: its age, half its age while in doubt, within bounds.

    Attributes:
        least_s: lower bound.
        doubt_most_s: upper bound while in doubt; an order older than ten minutes has the bound of live ones.
        live_most_s: upper bound while live, or while a person is asked about it.
        streamed_s: the wait while live and streamed: the stream tells, a look is the net under it.
    """

    least_s: float = 0.5
    doubt_most_s: float = 10.0
    live_most_s: float = 60.0
    streamed_s: float = 120.0


def never(_account: str) -> bool:
    """Tell of no account that its stream is up."""
    return False


@dataclass(frozen=True)
class Agenda:
    """Plans looks.

    Args:
        is_streamed: tells whether an account's stream is up.
    """

    ledger: Ledger
    accounts: Accounts
    clock: Clock
    looks: Looks = Looks()
    is_streamed: Callable[[str], bool] = never

    def later(self, order: Order, why: str) -> str:
        """Look again in its time; nothing is written in the audit trail. Returns why, for the log."""
        self.ledger.wake(order.order_id, self.next_look(order))
        return why

    def soon(self) -> datetime:
        """Return the earliest instant of another look."""
        return self.clock.now() + timedelta(seconds=self.looks.least_s)

    def next_look(self, order: Order) -> datetime:
        """Return when to look at an order again: soon while young, and when its absence counts while in doubt."""
        now = self.clock.now()
        is_doubt = order.state is State.IN_DOUBT
        age_s = (now - (order.acked_at or order.created_at)).total_seconds()
        if order.state in ON_EXCHANGE_STATES and order.exchange_status and self.is_streamed(order.account):
            return now + timedelta(seconds=self.looks.streamed_s)
        is_urgent = is_doubt and age_s < OLD_DOUBT_S and order.last_code not in QUESTIONS
        most_s = self.looks.doubt_most_s if is_urgent else self.looks.live_most_s
        wait_s = min(max(age_s * (0.5 if is_doubt else 1.0), self.looks.least_s), most_s)
        wake_at = now + timedelta(seconds=wait_s)
        if not is_doubt or order.horizon_ms is None:
            return wake_at
        horizon = self._horizon(order, order.horizon_ms + LAG_MS)
        if now < horizon < wake_at + timedelta(seconds=self.looks.least_s):
            return horizon + timedelta(seconds=0.1)
        return wake_at

    def _horizon(self, order: Order, horizon_ms: int) -> datetime:
        try:
            return self.accounts.get(order.account).clock.to_local(horizon_ms)
        except ConfigurationError:
            return self.clock.now()
