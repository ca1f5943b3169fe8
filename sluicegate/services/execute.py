"""Execute: orders of one message, from the message to the decision about each outcome."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderDenied,
    OrderRejected,
    SluicegateError,
)
from sluicegate.domain.lifecycle import END_STATES, Event, State
from sluicegate.domain.likeness import as_sent
from sluicegate.domain.orders import OnStep, Order, OrderId
from sluicegate.domain.policy import Rng
from sluicegate.domain.records import DeadLetter
from sluicegate.ports import Account, Accounts, Clock, Ledger, Move, Observer, Patch
from sluicegate.services.faults import Faults
from sluicegate.services.gates import Gates
from sluicegate.services.halts import Halts
from sluicegate.services.lanes import Lanes, Ready, by_category
from sluicegate.services.passage import Crossing
from sluicegate.services.perform import Performer
from sluicegate.services.valve import Valve

log = structlog.get_logger(__name__)

CONFIGURATION_WAIT_S = 15.0
OUTAGE_WAIT_S = 2.0
HALT_HOLDS_S = 0.01
"""So long an answer about halts counts: no longer than a request is on its way."""

Results = dict[OrderId, str]
"""What became of each order: its state, or why nothing was done; for the log and for Flower."""


@dataclass(frozen=True)
class Executor:
    """Puts orders on the exchange.

    The claim is the last step before the request: until then nothing has happened that a crash could leave open,
    and from then on the order counts as possibly sent. Orders of one account and category that came in one message
    go together: as many as a lane has tokens for are claimed in one transaction, sent, and written down in one.

    Args:
        max_wait_s: longest sleep for tokens, over all orders of a message.
        lease_s: how long a claim lasts.
    """

    ledger: Ledger
    accounts: Accounts
    valve: Valve
    lanes: Lanes
    gates: Gates
    halts: Halts
    performer: Performer
    clock: Clock
    observer: Observer
    max_wait_s: float
    lease_s: float
    rng: Rng = random.random

    def execute(self, order_ids: Sequence[OrderId]) -> Results:
        """Take orders as far as they go now.

        Args:
            order_ids: from the message. The message is a hint: it may be late, doubled, or about orders that are
                done; then nothing happens.

        Returns:
            A word for each order.

        Raises:
            LedgerUnavailable: what was not claimed is not sent; what is `submitting` waits for its lease's end.
        """
        known = {order.order_id: order for order in self.ledger.get_many(order_ids)}
        results: Results = {}
        due: list[Order] = []
        for order_id in order_ids:
            order = known.get(order_id)
            if order is None:
                log.error("message_without_order", order_id=order_id)
                results[order_id] = "unknown order"
            elif (reason := self._is_not_due(order)) is not None:
                results[order_id] = reason
            else:
                due.append(order)
        faults = Faults()
        for company in by_category(due):
            with faults.apart("execute", account=company[0].account):  # its orders come back by themselves
                results |= self._execute_due(company)
        return results

    def _is_not_due(self, order: Order) -> str | None:
        """Return why an order is not sent now; one whose deadline has passed expires."""
        if order.state is not State.ACCEPTED:
            return f"nothing to do: {order.state}"
        now = self.clock.now()
        if order.due_at is not None and order.due_at > now:
            return "not due yet"
        if order.deadline_at is not None and order.deadline_at <= now:
            detail = {"why": "its deadline passed before it was sent"}
            return self._move([Move(order, Event.EXPIRED, {}, detail)])[order.order_id]
        was_tried = bool(order.attempts or order.last_code)  # an attempt without a connection is not counted
        if was_tried and self.ledger.open_changes(order.order_id):
            return "its changes come first"  # asked for while it was being sent, and it came back unsent
        return None

    def _execute_due(self, orders: Sequence[Order]) -> Results:
        """Execute orders of one account and category."""
        name = orders[0].account
        asked_at_s = self.clock.monotonic()
        halt = self.halts.on(name)
        if halt is not None:
            return {order.order_id: self.performer.hold(order, halt) for order in orders}
        try:
            account = self.accounts.get(name)
        except (ConfigurationError, ExchangeUnavailable) as e:
            return self._stopped(orders, e)
        results: Results = {}
        waiting: list[Ready] = []
        for order in orders:
            try:
                waiting.append((order, self.gates.check(order, account)))
            except OrderDenied as denial:
                results |= self._deny(order, denial)
            except ExchangeUnavailable as e:
                results |= self._stopped([order], e)
        return results | self._send_all(waiting, account, asked_at_s)

    def _send_all(self, waiting: Sequence[Ready], account: Account, asked_at_s: float) -> Results:
        """Send what there are tokens for within `max_wait_s`; the rest goes back to the ledger.

        Args:
            waiting: orders of one account and category.
            account: theirs.
            asked_at_s: when the account was seen not to be halted, monotonic.
        """
        give_up_at_s = self.clock.monotonic() + self.max_wait_s
        results: Results = {}
        while waiting:
            company = self.lanes.next_company(waiting)
            try:
                patience_s = max(0.0, give_up_at_s - self.clock.monotonic())
                went = self._send(company, account, patience_s, asked_at_s)
            except (
                BucketDenied,
                BucketUnavailable,
                ConfigurationError,
                ExchangeUnavailable,
                OrderRejected,
            ) as e:
                return results | self._stopped([order for order, _prepared in waiting], e)
            results |= went
            waiting = [ready for ready in waiting if ready[0].order_id not in went]
        return results

    def _send(self, company: Sequence[Ready], account: Account, max_wait_s: float, asked_at_s: float) -> Results:
        """Send the first orders of a company, as many as a lane has tokens for."""
        paths = self.lanes.paths(account, company)
        category = company[0][0].category
        with self.valve.open_lane(
            account.name, paths, category, orders=len(company), max_wait_s=max_wait_s
        ) as crossing:
            if self.clock.monotonic() - asked_at_s > HALT_HOLDS_S:  # it may have come while the orders waited
                halt = self.halts.on(account.name)
                if halt is not None:
                    return {order.order_id: self.performer.hold(order, halt) for order, _prepared in company}
            crossing.passages[0].check(self.clock.monotonic())
            going = company[: crossing.orders]
            results = {order.order_id: "someone else was faster" for order, _prepared in going}
            claimed = self._claim(going, account, crossing)
            if not claimed:
                return results
            answers = self.lanes.send(account, crossing, claimed)
        for answer in answers:
            self.observer.stage("exchange", answer.elapsed_s)
        outcomes = [(order, answer) for (order, _prepared), answer in zip(claimed, answers, strict=True)]
        return results | self.performer.perform_many(outcomes)

    def _claim(self, company: Sequence[Ready], account: Account, crossing: Crossing) -> list[Ready]:
        """Claim orders in one transaction; those that someone else took, or whose time is over, drop out."""
        now = self.clock.now()
        lease_until = now + timedelta(seconds=self.lease_s)
        horizon_ms = account.clock.to_exchange_ms(lease_until) + account.reach_ms
        timely = [
            (order, prepared)
            for order, prepared in company
            if order.deadline_at is None or order.deadline_at > now  # the scheduler lets the others expire
        ]
        moves = []
        for order, prepared in timely:
            attempts = order.attempts + 1
            patch: Patch = {
                "attempts": attempts,
                "lease_until": lease_until,
                "wake_at": lease_until,
                "horizon_ms": horizon_ms,
            }
            detail: dict[str, object] = {"attempt": attempts, "lane": crossing.lane.path}
            if order.request.on_step is OnStep.ROUND_DOWN:  # by it we know our order again
                detail["sent"] = as_sent(prepared)
            moves.append(Move(order, Event.CLAIMED, patch, detail))
        moved = self.ledger.transition_many(moves)
        claimed = [(mine, prepared) for mine, (_, prepared) in zip(moved, timely, strict=True) if mine is not None]
        waited_s = crossing.passages[0].waited_s
        for order, _prepared in claimed:
            self.observer.stage("token", waited_s)
            if order.attempts == 1:
                since = order.due_at or order.created_at
                self.observer.stage("queue", max(0.0, (now - since).total_seconds() - waited_s))
        return claimed

    # --- not sent ---------------------------------------------------------------------------------------------

    def _stopped(self, orders: Sequence[Order], error: SluicegateError) -> Results:
        """Put orders back that could not be sent, for the reason that concerns them all."""
        name = orders[0].account
        match error:
            case BucketDenied():
                return self._back_in_line(orders)
            case BucketUnavailable():
                log.error("bucket_unavailable", account=name, orders=len(orders), error=str(error))
                return self._defer(orders, self._jittered(OUTAGE_WAIT_S), "bucket_unavailable")
            case ConfigurationError():
                self.performer.report_configuration(name, error)
                return self._defer(orders, CONFIGURATION_WAIT_S, "configuration")
            case OrderRejected():
                standing = self.halts.obey(name, error)
                if standing is not None:
                    return {order.order_id: self.performer.hold(order, standing) for order in orders}
                return self._defer(orders, self._jittered(OUTAGE_WAIT_S), f"refused {error.ret_code}")
            case _:
                log.warning("exchange_unavailable", account=name, orders=len(orders), error=str(error))
                return self._defer(orders, self._jittered(OUTAGE_WAIT_S), "exchange_unavailable")

    def _deny(self, order: Order, denial: OrderDenied) -> Results:
        halt = self.halts.before_dead_letter(order.account)
        if halt is not None:
            return {order.order_id: self.performer.hold(order, halt)}
        letter = DeadLetter(
            order.order_id,
            order.account,
            reason=denial.reason,
            code="gate",
            message=str(denial),
            cause="A gate stopped the order before it was sent.",
            fix=denial.fix,
            created_at=self.clock.now(),
        )
        log.warning(
            "order_denied",
            order_id=order.order_id,
            order_link_id=order.link_id,
            account=order.account,
            symbol=order.symbol,
            side=order.request.side.value,
            qty=format(order.request.qty, "f"),
            reason=denial.reason,
            message=str(denial),
        )
        detail = {"reason": denial.reason, "message": str(denial)}
        return self._move([Move(order, Event.DEAD_LETTERED, {}, detail, letter)])

    def _back_in_line(self, orders: Sequence[Order]) -> Results:
        """Put orders that found no token at the head of their line: its pace brings them back (`pace.py`)."""
        for _order in orders:
            self.observer.retried("quota")
        why = {"why": "quota"}
        return self._move([Move(order, Event.DEFERRED, {"wake_at": order.created_at}, why) for order in orders])

    def _defer(self, orders: Sequence[Order], wait_s: float, reason: str) -> Results:
        soonest = self.clock.now() + timedelta(seconds=max(0.0, wait_s))
        moves = []
        for order in orders:
            self.observer.retried(reason)
            due_at = soonest if order.deadline_at is None else min(soonest, order.deadline_at)
            moves.append(Move(order, Event.DEFERRED, {"due_at": due_at, "wake_at": due_at}, {"why": reason}))
        return self._move(moves)

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.5 + self.rng())

    def _move(self, moves: Sequence[Move]) -> Results:
        results: Results = {}
        for move, moved in zip(moves, self.ledger.transition_many(moves), strict=True):
            if moved is not None and moved.state in END_STATES:
                self.observer.moved(moved.account, moved.state.value)
            results[move.order.order_id] = "someone else was faster" if moved is None else moved.state.value
        return results
