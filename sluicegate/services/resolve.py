"""Resolve: find out from the exchange what became of an order. Only evidence moves an order out of doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from sluicegate.domain.absence import Proof, proof_of_absence
from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderNotFound,
    OrderRejected,
)
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, Event, State
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.policy import Backoff, Bury
from sluicegate.domain.records import QUESTIONS, Question
from sluicegate.ports import Account, Accounts, Clock, CodeBook, Ledger, Observer, Patch
from sluicegate.services.agenda import Agenda
from sluicegate.services.halts import Halts
from sluicegate.services.lookout import Lookout
from sluicegate.services.perform import Performer
from sluicegate.services.record import Recorder

log = structlog.get_logger(__name__)

YOUNG = timedelta(seconds=10)
"""A live order younger than this may not be listed yet."""


@dataclass(frozen=True)
class Resolver:
    """Looks at orders on the exchange, by link id."""

    ledger: Ledger
    accounts: Accounts
    halts: Halts
    lookout: Lookout
    recorder: Recorder
    agenda: Agenda
    performer: Performer
    codes: CodeBook
    clock: Clock
    observer: Observer
    backoff: Backoff

    def look(self, order_id: OrderId) -> str:
        """Look at one order and write down what is seen.

        Args:
            order_id: an order in doubt, live or partially filled; any other is left alone.

        Returns:
            A word for the log.

        Raises:
            LedgerUnavailable: nothing was written; the scheduler comes back to it.
        """
        try:
            order = self.ledger.get(order_id)
        except OrderNotFound:
            log.error("message_without_order", order_id=order_id)
            return "unknown order"
        if order.state is not State.IN_DOUBT and order.state not in ON_EXCHANGE_STATES:
            return f"nothing to do: {order.state}"
        if self.halts.silencing(order.account) is not None:
            return self.agenda.later(order, "the account is halted")
        try:
            return self._look(order, self.accounts.get(order.account))
        except (BucketDenied, BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
            return self.agenda.later(order, str(e))
        except OrderRejected as e:
            self.halts.obey(order.account, e)
            return self.agenda.later(order, str(e))

    def _look(self, order: Order, account: Account) -> str:
        found = self.lookout.find(account, order)
        if found.sighting is not None:
            return self.recorder.record(order, account, found.sighting)
        if order.state is State.IN_DOUBT:
            return self._absent(order, account, found.answered_at_ms)
        return self._missing(order, account)

    # --- in doubt, and shown nowhere --------------------------------------------------------------------------

    def _absent(self, order: Order, account: Account, answered_at_ms: int) -> str:
        proof = proof_of_absence(order, answered_at_ms, is_taken=self.codes.is_taken(order.last_code))
        if proof is Proof.NOTHING_YET:
            why = "not seen yet; it may still arrive"
            self.recorder.move(order, Event.DOUBTED, {"wake_at": self.agenda.next_look(order)}, {"why": why})
            return why
        by_fills = self.recorder.record_fills(order, account)
        if by_fills is not None:
            return by_fills
        if proof is Proof.ABSENT:
            return self._proved_absent(order, answered_at_ms)
        return self._ask_a_person(order, answered_at_ms)

    def _proved_absent(self, order: Order, answered_at_ms: int) -> str:
        """Past the horizon and nowhere to be seen: it never came into being, and cannot any more."""
        now = self.clock.now()
        detail = {"answered_at_ms": answered_at_ms, "horizon_ms": order.horizon_ms}
        burial = self.codes.burial(order.last_code)
        if order.attempts >= self.backoff.max_attempts and burial is None:
            burial = ("attempts_exhausted", "Every attempt ended without an answer.", "Replay it later.")
        is_late = order.deadline_at is not None and order.deadline_at <= now
        if burial is not None:
            reason, cause, fix = burial
            bury = Bury(reason, order.last_code, order.last_message, cause, fix)
            return self.performer.bury(order, bury, {"lease_until": None}, detail)
        if is_late:
            why = "proved absent after its deadline"
            return self.recorder.move(order, Event.EXPIRED, {}, {**detail, "why": why})
        patch: Patch = {"due_at": now, "wake_at": now, "horizon_ms": None, "lease_until": None}
        self.observer.retried("proved_absent")
        return self.recorder.move(order, Event.PROVED_ABSENT, patch, detail)

    def _ask_a_person(self, order: Order, answered_at_ms: int) -> str:
        """Say once that nothing can be proved any more. Looks go on, more rarely: what shows up still counts."""
        if order.last_code in QUESTIONS:
            return self.agenda.later(order, order.last_message)
        if self.codes.is_taken(order.last_code):
            why = f"the exchange says that its link id is taken ({order.last_code}), and shows it nowhere"
        else:
            why = "it was looked for too late: the exchange may have had it, and forgets within a day"
        detail = {
            "code": Question.UNPROVABLE,
            "why": why,
            "answered_at_ms": answered_at_ms,
            "horizon_ms": order.horizon_ms,
        }
        patch: Patch = {"last_code": Question.UNPROVABLE, "last_message": why, "wake_at": self.agenda.soon()}
        return self.recorder.move(order, Event.DOUBTED, patch, detail)

    # --- live, and shown nowhere ------------------------------------------------------------------------------

    def _missing(self, order: Order, account: Account) -> str:
        """An order that was live is listed nowhere: the lists lag, or the exchange has forgotten how it ended."""
        by_fills = self.recorder.record_fills(order, account)
        if by_fills is not None:
            return by_fills
        why = "the exchange shows it nowhere"
        is_young = order.acked_at is not None and self.clock.now() - order.acked_at < YOUNG
        if is_young or order.last_code in QUESTIONS:
            return self.agenda.later(order, why)
        patch: Patch = {"last_code": Question.NOT_SHOWN, "last_message": why, "wake_at": self.agenda.soon()}
        return self.recorder.move(order, Event.MISSED, patch, {"code": Question.NOT_SHOWN, "why": why})
