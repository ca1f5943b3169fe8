"""Perform: carry out what the policy decided about an outcome."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from sluicegate.domain.errors import ConfigurationError, ExchangeUnavailable
from sluicegate.domain.lifecycle import ENDED_ON_EXCHANGE, Event, State
from sluicegate.domain.orders import Order
from sluicegate.domain.outcomes import NeverSent, Refused, outcome_code
from sluicegate.domain.policy import (
    Backoff,
    Bury,
    Decision,
    Expire,
    GoLive,
    HaltAccount,
    HaltIp,
    Resolve,
    RetryAt,
    Rng,
    Situation,
    decide,
)
from sluicegate.domain.records import DeadLetter, Halt, Severity
from sluicegate.ports import Accounts, Answer, Clock, Ledger, Observer, Patch
from sluicegate.services.halts import Halts

log = structlog.get_logger(__name__)

FIRST_LOOK = timedelta(seconds=1)
CLOCK_ALARM_ATTEMPTS = 3
"""So many clock refusals of one order page a person."""


@dataclass(frozen=True)
class Performer:
    """Writes decisions into the ledger."""

    ledger: Ledger
    accounts: Accounts
    halts: Halts
    clock: Clock
    observer: Observer
    backoff: Backoff
    rng: Rng = random.random

    def perform(self, order: Order, answer: Answer) -> str:
        """Decide about the outcome of a placing request and write it down.

        Args:
            order: as claimed, state `submitting`.
            answer: what the request came to.

        Returns:
            The order's new state, or why another writer was faster.
        """
        offset_s = self.accounts.get(order.account).clock.offset_s
        situation = Situation(self.clock.now(), order.attempts, order.deadline_at, offset_s)
        decision = decide(answer.outcome, situation, self.backoff, self.rng)
        detail = {"code": outcome_code(answer.outcome), "elapsed_ms": round(answer.elapsed_s * 1000, 1)}
        if answer.signed_at_ms is not None:
            detail["signed_at_ms"] = answer.signed_at_ms
        if isinstance(answer.outcome, Refused | NeverSent):
            detail["message"] = answer.outcome.message
        return self._carry_out(order, decision, detail)

    def _carry_out(self, order: Order, decision: Decision, detail: dict[str, Any]) -> str:
        code = str(detail.get("code", ""))
        last: Patch = {"last_code": code, "last_message": str(detail.get("message", "")), "lease_until": None}
        match decision:
            case GoLive(exchange_order_id=exchange_order_id):
                return self._go_live(order, exchange_order_id, detail)
            case RetryAt():
                return self._retry(order, decision, last, detail)
            case Resolve(horizon_ms=horizon_ms):
                patch: Patch = {**last, "wake_at": self.clock.now()}
                if horizon_ms is not None:
                    patch["horizon_ms"] = horizon_ms
                return self._move(order, Event.DOUBTED, patch, detail)
            case Bury():
                return self.bury(order, decision, last, detail)
            case HaltAccount():
                self.halts.halt_account(
                    order.account,
                    code=decision.code,
                    message=decision.message,
                    cause=decision.cause,
                    fix=decision.fix,
                )
                return self._move(order, Event.PARKED, {**last, "wake_at": order.deadline_at}, detail)
            case HaltIp():
                return self._halt_ip(order, decision, last, detail)
            case Expire(reason=reason):
                return self._move(order, Event.EXPIRED, last, {**detail, "why": reason})

    def _go_live(self, order: Order, exchange_order_id: str, detail: Mapping[str, Any]) -> str:
        now = self.clock.now()
        patch: Patch = {
            "exchange_order_id": exchange_order_id,
            "acked_at": now,
            "wake_at": now + FIRST_LOOK,
            "lease_until": None,
            "last_code": "0",
            "last_message": "",
        }
        current: Order = order
        for _try in range(5):  # positive evidence is never dropped: if someone moved the order, decide anew
            moved = self.ledger.transition(current, Event.ACKNOWLEDGED, patch, detail)
            if moved is not None:
                if current.state is State.DEAD:  # given up as absent, and there after all: it must not be replayed
                    self.ledger.close_dead_letter(order.order_id, at=now, note="the exchange has it after all")
                self.observer.moved(order.account, moved.state.value)
                self.observer.stage("total", max(0.0, (now - order.created_at).total_seconds()))
                return moved.state.value
            current = self.ledger.get(order.order_id)
            if current.state in ENDED_ON_EXCHANGE:  # what it ended with stays
                patch = {"exchange_order_id": exchange_order_id, "acked_at": now}
        log.error("acknowledgement_not_written", order_id=order.order_id, order_link_id=order.link_id)
        return "someone else was faster"

    def _retry(self, order: Order, decision: RetryAt, last: Patch, detail: Mapping[str, Any]) -> str:
        self.observer.retried(decision.reason)
        if decision.resync_clock:
            self._resync_clock(order, decision.reason)
        patch: Patch = {**last, "due_at": decision.due_at, "wake_at": decision.due_at, "horizon_ms": None}
        return self._move(order, Event.BACKED_OFF, patch, {**detail, "due_at": decision.due_at.isoformat()})

    def _resync_clock(self, order: Order, code: str) -> None:
        try:
            offset_s = self.accounts.resync_clock(order.account)
            self.observer.clock_offset(order.account, offset_s)
        except ExchangeUnavailable as e:
            log.warning("clock_not_measured", account=order.account, error=str(e))
        if order.attempts >= CLOCK_ALARM_ATTEMPTS:
            self.ledger.open_incident(
                f"clock:{order.account}",
                severity=Severity.WARNING,
                title=f"The exchange refuses our timestamps for {order.account}: {code}",
                detail=f"Order {order.order_id} was refused {order.attempts} times; the clock was measured anew.",
                fix="Check NTP on the worker hosts (chronyc tracking), and the network's delay against "
                "recv_window_ms.",
                at=self.clock.now(),
            )

    def bury(self, order: Order, decision: Bury, last: Patch, detail: Mapping[str, Any]) -> str:
        """Make an order a dead letter."""
        letter = DeadLetter(
            order.order_id,
            order.account,
            reason=decision.reason,
            code=decision.code,
            message=decision.message,
            cause=decision.cause,
            fix=decision.fix,
            created_at=self.clock.now(),
        )
        if decision.reason == "unknown_code":
            self.ledger.open_incident(
                f"unknown_code:{decision.code}",
                severity=Severity.WARNING,
                title=f"Bybit answered a code that we do not know: {decision.code}",
                detail=f"{decision.message} (order {order.order_id}, {order.symbol})",
                fix="Look the code up in Bybit's error page and add it to sluicegate/bybit/retcodes.csv.",
                at=self.clock.now(),
            )
        return self._move(order, Event.DEAD_LETTERED, last, {**detail, "reason": decision.reason}, letter)

    def _halt_ip(self, order: Order, decision: HaltIp, last: Patch, detail: Mapping[str, Any]) -> str:
        self.halts.halt_egress(
            until=decision.until,
            code=decision.code,
            message=decision.message,
            cause=decision.cause,
            fix=decision.fix,
        )
        due_at = self._after(decision.until, order)
        patch: Patch = {**last, "due_at": due_at, "wake_at": due_at, "horizon_ms": None}
        return self._move(order, Event.BACKED_OFF, patch, detail)

    def hold(self, order: Order, halt: Halt) -> str:
        """Hold back an order that a halt stops: parked for a person, deferred for a timer."""
        detail = {"why": f"halted: {halt.code}", "scope": halt.scope}
        if halt.until is None:
            return self._move(order, Event.PARKED, {"wake_at": order.deadline_at}, detail)
        due_at = self._after(halt.until, order)
        return self._move(order, Event.DEFERRED, {"due_at": due_at, "wake_at": due_at}, detail)

    def _after(self, until: datetime, order: Order) -> datetime:
        """Return an instant shortly after a halt; the order's deadline, at which it expires, if that is sooner."""
        due_at = until + timedelta(seconds=self.rng() * 5)
        return due_at if order.deadline_at is None else min(due_at, order.deadline_at)

    def report_configuration(self, account: str, error: ConfigurationError) -> None:
        """Open an incident about an account that this host cannot serve."""
        log.error("account_misconfigured", account=account, error=str(error))
        self.ledger.open_incident(
            f"configuration:{account}",
            severity=Severity.CRITICAL,
            title=f"A worker cannot serve account {account}",
            detail=str(error),
            fix="Correct the settings of the worker hosts and restart them; the orders wait.",
            at=self.clock.now(),
        )

    def _move(
        self,
        order: Order,
        event: Event,
        patch: Patch,
        detail: Mapping[str, Any],
        letter: DeadLetter | None = None,
    ) -> str:
        moved = self.ledger.transition(order, event, patch, detail, dead_letter=letter)
        if moved is None:
            log.warning("lost_the_race", order_id=order.order_id, wanted=event.value, detail=dict(detail))
            self.ledger.note(order.order_id, "late_outcome", {**detail, "wanted": event.value})
            return "someone else was faster"
        self.observer.moved(order.account, moved.state.value)
        return moved.state.value
