"""Perform: carry out what the policy decided about an outcome."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from sluicegate.domain.batches import REFUSED
from sluicegate.domain.errors import ConfigurationError, ExchangeUnavailable
from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.outcomes import Acknowledged, NeverSent, Refused, outcome_code
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
from sluicegate.ports import Accounts, Answer, Clock, Ledger, Move, Observer, Patch
from sluicegate.services.halts import Halts
from sluicegate.services.insist import insist, note_total

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

    def perform_many(self, outcomes: Sequence[tuple[Order, Answer]]) -> dict[OrderId, str]:
        """Decide about the outcomes of placing requests and write them down in one transaction.

        Args:
            outcomes: orders as claimed, state `submitting`, and what their requests came to.

        Returns:
            Each order's new state, or why another writer was faster.
        """
        moves: list[Move] = []
        met: set[tuple[type[Decision], str]] = set()
        for order, answer in outcomes:
            decision = self._decide(order, answer)
            code = outcome_code(answer.outcome)
            if (type(decision), code) not in met:  # what befell a whole batch halts and pages once
                met.add((type(decision), code))
                self._react(order, decision)
            halt = None
            if isinstance(decision, Bury):
                halt = self.halts.before_dead_letter(order.account, **_unwritten(order.account, moves, outcomes))
            moves.append(self._plan(order, decision, _facts(answer), halt))
        return self._write(moves)

    def _decide(self, order: Order, answer: Answer) -> Decision:
        offset_s = self.accounts.get(order.account).clock.offset_s
        now = self.clock.now()
        is_repeated = order.last_code == outcome_code(answer.outcome)
        unreached_s = (now - order.created_at).total_seconds() if is_repeated else 0.0
        situation = Situation(now, order.attempts, order.deadline_at, offset_s, unreached_s)
        return decide(answer.outcome, situation, self.backoff, self.rng)

    def _react(self, order: Order, decision: Decision) -> None:
        """Do what a decision asks for besides the order's own move."""
        match decision:
            case RetryAt(resync_clock=True):
                self._resync_clock(order, decision.reason)
            case Bury(reason="unknown_code"):
                self._report_code(order, decision)
            case HaltAccount():
                self.halts.halt_account(
                    order.account,
                    code=decision.code,
                    message=decision.message,
                    cause=decision.cause,
                    fix=decision.fix,
                )
            case HaltIp():
                self.halts.halt_egress(
                    until=decision.until,
                    code=decision.code,
                    message=decision.message,
                    cause=decision.cause,
                    fix=decision.fix,
                )

    def _plan(self, order: Order, decision: Decision, detail: dict[str, Any], halt: Halt | None) -> Move:
        """Return the move that a decision leads to; `halt` stops a dead letter."""
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
                return Move(order, Event.DOUBTED, patch, detail)
            case Bury():
                return self._bury(order, decision, last, detail, halt)
            case HaltAccount():
                return Move(order, Event.PARKED, {**last, "wake_at": order.deadline_at}, detail)
            case HaltIp(until=until):
                due_at = self._after(until, order)
                postponed: Patch = {**last, "due_at": due_at, "wake_at": due_at, "horizon_ms": None}
                return Move(order, Event.BACKED_OFF, postponed, detail)
            case Expire(reason=reason):
                return Move(order, Event.EXPIRED, last, {**detail, "why": reason})

    def _go_live(self, order: Order, exchange_order_id: str, detail: Mapping[str, Any]) -> Move:
        now = self.clock.now()
        patch: Patch = {
            "exchange_order_id": exchange_order_id,
            "acked_at": now,
            "wake_at": now + FIRST_LOOK,
            "lease_until": None,
            "last_code": "0",
            "last_message": "",
        }
        return Move(order, Event.ACKNOWLEDGED, patch, detail)

    def _write(self, moves: Sequence[Move]) -> dict[OrderId, str]:
        results: dict[OrderId, str] = {}
        overtaken: list[Move] = []
        for move, moved in zip(moves, self.ledger.transition_many(moves), strict=True):
            order = move.order
            if moved is not None:
                if moved.state is not order.state:
                    self.observer.moved(order.account, moved.state.value)
                if move.event is Event.ACKNOWLEDGED:
                    note_total(self.observer, moved)
                results[order.order_id] = moved.state.value
            elif move.event is Event.ACKNOWLEDGED:
                overtaken.append(move)
            else:
                results[order.order_id] = self._lost(move)
        return results | insist(overtaken, self.ledger, self.clock, self.observer)

    def _lost(self, move: Move) -> str:
        order_id, detail = move.order.order_id, dict(move.detail)
        log.warning("lost_the_race", order_id=order_id, wanted=move.event.value, detail=detail)
        self.ledger.note(order_id, "late_outcome", {**detail, "wanted": move.event.value})
        return "someone else was faster"

    def _retry(self, order: Order, decision: RetryAt, last: Patch, detail: Mapping[str, Any]) -> Move:
        self.observer.retried(decision.reason)
        patch: Patch = {**last, "due_at": decision.due_at, "wake_at": decision.due_at, "horizon_ms": None}
        if decision.goes_alone:
            patch["last_code"] = REFUSED
        if not decision.costs_attempt:
            patch["attempts"] = order.attempts - 1
        return Move(order, Event.BACKED_OFF, patch, {**detail, "due_at": decision.due_at.isoformat()})

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
        """Make an order a dead letter; the breaker parks it where too many have become one."""
        self._react(order, decision)
        halt = self.halts.before_dead_letter(order.account)
        return self._write([self._bury(order, decision, last, detail, halt)])[order.order_id]

    def _bury(
        self, order: Order, decision: Bury, last: Patch, detail: Mapping[str, Any], halt: Halt | None
    ) -> Move:
        if halt is not None:
            held: Patch = {**last, "wake_at": order.deadline_at, "horizon_ms": None}
            return Move(order, Event.PARKED, held, {**detail, "why": f"halted: {halt.code}"})
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
        return Move(order, Event.DEAD_LETTERED, last, {**detail, "reason": decision.reason}, letter)

    def _report_code(self, order: Order, decision: Bury) -> None:
        self.ledger.open_incident(
            f"unknown_code:{decision.code}",
            severity=Severity.WARNING,
            title=f"Bybit answered a code that we do not know: {decision.code}",
            detail=f"{decision.message} (order {order.order_id}, {order.symbol})",
            fix="Look the code up in Bybit's error page and add it to sluicegate/bybit/retcodes.csv.",
            at=self.clock.now(),
        )

    def hold(self, order: Order, halt: Halt) -> str:
        """Hold back an order that a halt stops: parked for a person, deferred for a timer."""
        detail = {"why": f"halted: {halt.code}", "scope": halt.scope}
        if halt.until is None:
            move = Move(order, Event.PARKED, {"wake_at": order.deadline_at}, detail)
        else:
            due_at = self._after(halt.until, order)
            move = Move(order, Event.DEFERRED, {"due_at": due_at, "wake_at": due_at}, detail)
        return self._write([move])[order.order_id]

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


def _unwritten(account: str, moves: Sequence[Move], outcomes: Sequence[tuple[Order, Answer]]) -> dict[str, int]:
    """Count the fates that the ledger does not know of yet."""
    dying = sum(move.dead_letter is not None and move.order.account == account for move in moves)
    is_placed = [
        isinstance(answer.outcome, Acknowledged) for order, answer in outcomes if order.account == account
    ]
    return {"dying": dying, "placed": sum(is_placed)}


def _facts(answer: Answer) -> dict[str, Any]:
    """Return what the audit trail keeps of an answer."""
    facts: dict[str, Any] = {"code": outcome_code(answer.outcome), "elapsed_ms": round(answer.elapsed_s * 1000, 1)}
    if answer.signed_at_ms is not None:
        facts["signed_at_ms"] = answer.signed_at_ms
    if isinstance(answer.outcome, Refused | NeverSent):
        facts["message"] = answer.outcome.message
    return facts
