"""Release: what the scheduler does with everything whose time has come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from sluicegate.domain.batches import MOST, Line, companies
from sluicegate.domain.errors import BrokerUnavailable
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import Order
from sluicegate.domain.records import Halt
from sluicegate.ports import Clock, Ledger, Move, Observer, Patch, Publisher
from sluicegate.services.faults import Faults
from sluicegate.services.halts import Halts
from sluicegate.services.pace import Pace, Shares
from sluicegate.services.perform import Performer
from sluicegate.services.submit import FULL_QUEUE, describe
from sluicegate.services.unpark import Unparker

log = structlog.get_logger(__name__)

BATCH = 500
MOST_BATCHES = 10
"""So many batches of orders past their deadline end in one round; it has other work."""
DOUBT_SNOOZE = timedelta(seconds=10)
"""A look sets the next one itself, sooner; this counts when the look was lost."""
CHANGE_SNOOZE = timedelta(seconds=1)
OVERDUE = {
    State.ACCEPTED: "its deadline passed before it was sent",
    State.PARKED: "its deadline passed while the account was halted",
}
WAITING_FOR_S = 2.0
"""Producers believe so long that a line waits; a scheduler that runs says so again before."""


@dataclass(frozen=True)
class Releaser:
    """Wakes orders: publishes what is due, takes over lapsed leases, has orders in doubt looked at.

    Every order carries the instant at which someone must look at it next (`wake_at`), whatever its state; this is
    the one who looks. Taking an order lets it sleep for a while, so that two schedulers share the work and one
    that dies loses nothing.

    Args:
        republish_s: an order that nobody claimed within it is published again.
    """

    ledger: Ledger
    publisher: Publisher
    halts: Halts
    unparker: Unparker
    performer: Performer
    pace: Pace
    clock: Clock
    observer: Observer
    republish_s: float
    _waiting: set[Line] = field(default_factory=set)

    def release(self) -> dict[str, int]:
        """Do one round; a fault about one order, line or step stops no other.

        Returns:
            How many orders were unparked, published, taken over, looked at, expired, and the faults; for the log.
        """
        faults = Faults()
        with faults.apart("release", step="halts"):
            self.halts.lift_expired()
        due = self.ledger.due_states(self.clock.now())
        steps: dict[str, tuple[Callable[[Faults], int], bool]] = {
            "unparked": (self.unparker.unpark, True),
            "taken_over": (self._take_over, State.SUBMITTING in due),
            "expired": (self._expire_overdue, True),
            "published": (self._publish_due, State.ACCEPTED in due or bool(self._waiting)),
            "looks": (self._publish_looks, State.IN_DOUBT in due),
            "changes": (self._publish_changes, True),
        }
        done = dict.fromkeys(steps, 0)
        for step, (act, is_due) in steps.items():
            if is_due:
                with faults.apart("release", step=step):
                    done[step] = act(faults)
        return {**done, "faults": faults.count}

    def _publish_due(self, faults: Faults) -> int:
        """Hand out of each line what its quota carries; the rest of the line costs nothing."""
        now = self.clock.now()
        free = FULL_QUEUE - self._backlog()
        lines = self.ledger.due_lines(now)
        shares = self.pace.share(lines)
        most = math.ceil(max(0, free) / max(1, len(lines)))  # messages; a long line leaves room for others
        waiting: set[Line] = set()
        published = 0
        for line in lines:
            with faults.apart("release", account=line[0], category=line[1]):
                halt = self.halts.on(line[0])
                room = self._room(line, shares, most, halt)
                taken = self.ledger.take_due_of(line, now, limit=room, snooze=timedelta(seconds=self.republish_s))
                if len(taken) == room:
                    waiting.add(line)
                due = self._sendable(taken, halt, faults)
                if due:
                    self.pace.handed_out(line, len(due))
                    published += self._publish(due)
        self._note_waiting(waiting)
        return published

    def _room(self, line: Line, shares: Shares, most: int, halt: Halt | None) -> int:
        """Return how many orders of a line to take; what a halt stops is held back or expires without quota."""
        if halt is not None:
            return BATCH
        return min(self.pace.room(line, shares), BATCH, most * MOST[line[1]])

    def _sendable(self, taken: Sequence[Order], halt: Halt | None, faults: Faults) -> list[Order]:
        """Return orders of one account without those that a halt stops."""
        due = []
        for order in taken:
            with faults.apart("release", account=order.account, order_id=order.order_id):
                if halt is not None:
                    self.performer.hold(order, halt)
                else:
                    due.append(order)
        return due

    def _note_waiting(self, waiting: set[Line]) -> None:
        changed = {line: line in waiting for line in waiting | self._waiting}
        self._waiting.clear()
        self._waiting.update(waiting)
        if not changed:
            return
        try:
            self.publisher.note_waiting(changed, WAITING_FOR_S)
        except BrokerUnavailable as e:  # producers may publish orders that go before those that wait
            log.warning("broker_unavailable", error=str(e))

    def _publish(self, due: Sequence[Order]) -> int:
        if not due:
            return 0
        requests = {order.order_id: order.request for order in due}
        formed = companies(requests)
        try:
            self.publisher.publish_orders(
                [{order_id: describe(requests[order_id]) for order_id in company} for company in formed]
            )
        except BrokerUnavailable as e:
            log.warning("publish_failed", orders=len(due), error=str(e), then="published again later")
            self._wake_again(due, self.clock.now())
            return 0
        return len(due)

    def _wake_again(self, orders: Sequence[Order], now: datetime) -> None:
        for order in orders:
            self.ledger.wake(order.order_id, now + timedelta(seconds=1))

    def _take_over(self, faults: Faults) -> int:
        """Take orders whose claimant let its lease run out: they may have been sent."""
        now = self.clock.now()
        lapsed = self.ledger.take_due(now, states=[State.SUBMITTING], limit=BATCH, snooze=timedelta(seconds=5))
        for order in lapsed:
            with faults.apart("release", account=order.account, order_id=order.order_id):
                self._doubt(order)
        return len(lapsed)

    def _doubt(self, order: Order) -> None:
        detail = {"code": "lease_lost", "why": "its worker died or hangs"}
        patch: Patch = {"wake_at": self.clock.now(), "last_code": "lease_lost"}
        moved = self.ledger.transition(order, Event.DOUBTED, patch, detail)
        if moved is not None:
            log.warning("lease_lost", order_id=order.order_id, account=order.account)
            self.observer.moved(order.account, moved.state.value)

    def _publish_looks(self, faults: Faults) -> int:
        now = self.clock.now()
        taken = self.ledger.take_due(now, states=[State.IN_DOUBT], limit=200, snooze=DOUBT_SNOOZE)
        try:
            for order in taken:
                with faults.apart("release", account=order.account, order_id=order.order_id):
                    self.publisher.publish_look(order.order_id, f"{order.state} {order.describe()}")
        except BrokerUnavailable as e:
            log.warning("publish_failed", looks=len(taken), error=str(e), then="published again later")
        return len(taken)

    def _publish_changes(self, faults: Faults) -> int:
        taken = self.ledger.take_due_changes(self.clock.now(), limit=BATCH, snooze=CHANGE_SNOOZE)
        try:
            for change in taken:
                with faults.apart("release", order_id=change.order_id):
                    self.publisher.publish_change(change.order_id, f"{change.kind} {change.order_id}")
        except BrokerUnavailable as e:
            log.warning("publish_failed", changes=len(taken), error=str(e), then="published again later")
        return len(taken)

    def _expire_overdue(self, _faults: Faults) -> int:
        """End the orders whose deadline has passed before they were sent, wherever they stand in their lines."""
        expired = 0
        for _ in range(MOST_BATCHES):
            late = self.ledger.overdue(self.clock.now(), limit=BATCH)
            moves = [Move(order, Event.EXPIRED, {}, {"why": OVERDUE[order.state]}) for order in late]
            moved = [order for order in self.ledger.transition_many(moves) if order is not None]
            for order in moved:
                self.observer.moved(order.account, order.state.value)
            expired += len(moved)
            if len(late) < BATCH:
                break
        return expired

    def _backlog(self) -> int:
        try:
            return self.publisher.standing(()).messages
        except BrokerUnavailable as e:
            log.warning("broker_unavailable", error=str(e))
            return FULL_QUEUE
