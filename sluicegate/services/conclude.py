"""Conclude: write down what the request for an amend or a cancel came to."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from sluicegate.domain.errors import ExchangeUnavailable, OrderRejected
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, Event, State
from sluicegate.domain.orders import ChangeKind, Order, parse_amend
from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Refused, outcome_code
from sluicegate.domain.policy import Backoff, Rng, Situation, retry_instant
from sluicegate.domain.records import Change, ChangeState, Severity
from sluicegate.ports import Accounts, Answer, ChangePatch, Clock, Ledger, Observer, Patch
from sluicegate.services.halts import Halts

log = structlog.get_logger(__name__)

UNREACHED_MOST_S = 5.0
"""An exchange that cannot be reached is tried so often: an order that must go is not left alone for long."""
CANCEL_ALARM_S = 60.0
"""A cancel that has not reached the exchange for so long pages a person."""


@dataclass(frozen=True)
class Concluder:
    """Settles changes, or lets them wait for another attempt."""

    ledger: Ledger
    accounts: Accounts
    halts: Halts
    clock: Clock
    observer: Observer
    backoff: Backoff
    rng: Rng = random.random

    def conclude(self, order: Order, change: Change, answer: Answer, wanted: Mapping[str, str]) -> str:
        """Decide about the answer to a change's request and write it down.

        Args:
            order: as it stood when the request was sent.
            change: as claimed, state `submitting`.
            answer: what the request came to.
            wanted: the values that an amend asked for.

        Returns:
            A word for the log.
        """
        now = self.clock.now()
        outcome = answer.outcome
        code = outcome_code(outcome)
        match outcome:
            case Acknowledged():
                if change.kind is ChangeKind.CANCEL or not self._write_amended(order, change, wanted):
                    self.settle(change, ChangeState.DONE, "acknowledged", code=code)
                self.ledger.wake(order.order_id, now + timedelta(seconds=0.3))
                return "done"
            case Refused(action=Action.HALT_ACCOUNT | Action.HALT_IP):
                self.halts.obey(order.account, OrderRejected(outcome.message, ret_code=code))
                return self.postpone(change, 1.0, f"halted: {code}", code=code)
            case Refused(action=Action.BACK_OFF | Action.RETRY_SOON | Action.RESYNC_CLOCK) | NeverSent():
                return self._retry(order, change, outcome)
            case InDoubt(is_about_order=True) if change.kind is ChangeKind.CANCEL:
                return self._retry_in_doubt(order, change, outcome)  # after a look at the order: see `changes.py`
            case InDoubt(is_about_order=False):
                self.ledger.wake(order.order_id, now)
                return self._retry_in_doubt(order, change, outcome)
            case _:
                self.ledger.wake(order.order_id, now)  # one look at the order, never a loop
                return self.settle(change, ChangeState.REFUSED, outcome.message, code=code)

    def _retry(self, order: Order, change: Change, outcome: Refused | NeverSent) -> str:
        if outcome.action is Action.RESYNC_CLOCK:
            try:
                self.accounts.resync_clock(order.account)
            except ExchangeUnavailable as e:
                log.warning("clock_not_measured", account=order.account, error=str(e))
        if isinstance(outcome, NeverSent) and outcome.is_unreached:
            return self._unreached(order, change, outcome)
        if self.is_exhausted(change):
            return self.give_up(order, change, outcome.message, code=outcome.code)
        self.observer.retried(outcome.code)
        return self.postpone(change, self._wait_s(change), outcome.message, code=outcome.code)

    def _unreached(self, order: Order, change: Change, outcome: NeverSent) -> str:
        """Wait for a connection: nothing was sent, so it costs no attempt; a cancel that waits for long pages."""
        age_s = (self.clock.now() - change.created_at).total_seconds()
        if change.kind is ChangeKind.CANCEL and age_s >= CANCEL_ALARM_S:
            self._page_cancel(
                order, f"its cancel has not reached the exchange for {age_s:.0f} s. {outcome.message}"
            )
        self.observer.retried(outcome.code)
        wait_s = self.rng() * min(UNREACHED_MOST_S, max(self.backoff.base_s, age_s))
        uncounted = replace(change, attempts=change.attempts - 1)
        return self.postpone(uncounted, wait_s, outcome.message, code=outcome.code)

    def _retry_in_doubt(self, order: Order, change: Change, outcome: InDoubt) -> str:
        """Send it again: a cancel soon, for two do no harm; an amend when its first copy can no longer arrive."""
        if self.is_exhausted(change):
            return self.give_up(order, change, outcome.message, code=outcome.code)
        self.observer.retried(outcome.code)
        why = f"in doubt: {outcome.code}"
        if change.kind is ChangeKind.CANCEL:
            return self.postpone(change, self._wait_s(change), why, code=outcome.code)
        account = self.accounts.get(order.account)
        horizon_ms = outcome.horizon_ms if outcome.horizon_ms is not None else change.horizon_ms
        wait_s = account.reach_ms / 1000
        return self.postpone(change, wait_s, why, code=outcome.code, horizon_ms=horizon_ms)

    def _wait_s(self, change: Change) -> float:
        now = self.clock.now()
        due_at = retry_instant(Situation(now, change.attempts), self.backoff, self.rng)
        return 1.0 if due_at is None else (due_at - now).total_seconds()

    def _write_amended(self, order: Order, change: Change, wanted: Mapping[str, str]) -> bool:
        """Write order and change together; False: the order has ended, or another settled the change."""
        current = order
        amend = parse_amend(dict(wanted))
        update = {name: getattr(amend, name) for name in amend.model_fields_set}
        for _try in range(5):
            if current.state not in ON_EXCHANGE_STATES:
                return False
            patch: Patch = {"request": current.request.model_copy(update=update)}
            if self.ledger.transition(current, Event.AMENDED, patch, dict(wanted), done=change) is not None:
                return True
            current = self.ledger.get(order.order_id)
        return False

    # --- ends and waits ---------------------------------------------------------------------------------------

    def is_exhausted(self, change: Change) -> bool:
        """Tell whether a change had all the requests that it may have."""
        return change.attempts >= self.backoff.max_attempts

    def give_up(self, order: Order, change: Change, why: str, *, code: str = "") -> str:
        """Give a change up after its last attempt. A cancel that was never carried out pages a person."""
        self.ledger.wake(order.order_id, self.clock.now())
        if change.kind is ChangeKind.CANCEL:
            said = f"its cancel was tried {change.attempts} times and given up. Last answer: {code} {why}"
            self._page_cancel(order, said.strip())
        return self.settle(
            change, ChangeState.REFUSED, f"given up after {change.attempts} attempts: {why}", code=code
        )

    def _page_cancel(self, order: Order, said: str) -> None:
        self.ledger.open_incident(
            f"cancel_failed:{order.account}",
            severity=Severity.CRITICAL,
            title=f"Cancels of account {order.account} fail",
            detail=f"Order {order.order_id} ({order.describe()}) may still be live: {said}",
            fix=f"Cancel it on the exchange, or again with: sluicegate orders cancel {order.order_id}",
            at=self.clock.now(),
        )

    def close(self, order: Order, change: Change) -> str:
        """Settle a change whose order has ended: done if it asked for that end, else void."""
        is_as_wanted = change.kind is ChangeKind.CANCEL and order.state is State.CANCELLED
        state = ChangeState.DONE if is_as_wanted else ChangeState.VOID
        return self.settle(change, state, f"the order is {order.state}")

    def postpone(
        self, change: Change, wait_s: float, why: str, *, code: str = "", horizon_ms: int | None = None
    ) -> str:
        """Let a change wait; the same reason as before leaves no further line in the audit trail.

        Args:
            change: to be tried again, with the attempts that count.
            wait_s: how long, seconds.
            why: for people.
            code: the exchange's.
            horizon_ms: exchange clock; until then its last request may still arrive. None: there is none left.
        """
        wake_at = self.clock.now() + timedelta(seconds=max(wait_s, 0.05))
        is_old_news = (change.state, change.last_message) == (ChangeState.PENDING, why)
        if is_old_news and change.horizon_ms == horizon_ms:
            self.ledger.rest_change(change, wake_at)
            return why
        patch: ChangePatch = {
            "attempts": change.attempts,
            "wake_at": wake_at,
            "horizon_ms": horizon_ms,
            "last_code": code,
            "last_message": why,
        }
        self.ledger.move_change(change, ChangeState.PENDING, patch, {"why": why, "code": code})
        return why

    def settle(self, change: Change, state: ChangeState, why: str, *, code: str = "") -> str:
        """Write down how a change ended."""
        patch: ChangePatch = {"wake_at": None, "last_code": code, "last_message": why}
        self.ledger.move_change(change, state, patch, {"why": why, "code": code})
        return state.value
