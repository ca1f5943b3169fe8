"""Settle: a person decides what the exchange cannot answer any more."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import structlog

from sluicegate.domain.errors import InvalidOrder, NothingToSettle
from sluicegate.domain.lifecycle import END_STATES, TABLE, Event
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.records import QUESTIONS, DeadLetter, Question
from sluicegate.ports import Clock, Ledger, Observer, Patch

log = structlog.get_logger(__name__)


class Fate(StrEnum):
    """What a person may say of an order."""

    ABSENT = "absent"  # it never came into being: a dead letter, which may be replayed
    LIVE = "live"  # it is ours and open: it is followed again
    CANCELLED = "cancelled"
    FILLED = "filled"
    REJECTED = "rejected"


EVENTS = {
    Fate.ABSENT: Event.SETTLED_ABSENT,
    Fate.LIVE: Event.SETTLED_LIVE,
    Fate.CANCELLED: Event.SETTLED_CANCELLED,
    Fate.FILLED: Event.SETTLED_FILLED,
    Fate.REJECTED: Event.SETTLED_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided.

    Attributes:
        note: why, and who says so; kept in the audit trail.
        filled: what was executed in all; None: what is known, or for `filled` all that was asked.
        exchange_order_id: Bybit's id, where the person found one.
    """

    fate: Fate
    note: str
    filled: Decimal | None = None
    exchange_order_id: str = ""


@dataclass(frozen=True)
class Settler:
    """Ends orders by a person's word; what the exchange shows later corrects it like any other end."""

    ledger: Ledger
    clock: Clock
    observer: Observer

    def settle(self, order_id: OrderId, decision: Decision) -> Order:
        """Write down what a person decided about an order.

        Args:
            order_id: of an order about which the exchange was asked in vain (its code is a `Question`).
            decision: the person's.

        Returns:
            The order as it stands now.

        Raises:
            OrderNotFound: there is no such order.
            NothingToSettle: the exchange can still tell, or the order has ended; nothing was written.
            InvalidOrder: the decision contradicts what is known; nothing was written.
        """
        order = self.ledger.get(order_id)
        if order.last_code not in QUESTIONS or order.state in END_STATES:
            raise NothingToSettle(
                f"order {order_id} is {order.state} and does not wait for a person: the exchange can tell"
            )
        event = EVENTS[decision.fate]
        if (order.state, event) not in TABLE:
            raise InvalidOrder(f"order {order_id} is {order.state}; it cannot be settled as {decision.fate}")
        patch: Patch = {
            "cum_exec_qty": _filled(order, decision),
            "exchange_order_id": decision.exchange_order_id or order.exchange_order_id,
            "acked_at": order.acked_at or (None if decision.fate is Fate.ABSENT else self.clock.now()),
            "lease_until": None,
            "horizon_ms": None,
            "wake_at": self.clock.now(),
            "last_code": event.value,
            "last_message": decision.note,
        }
        detail = {
            "note": decision.note,
            "question": order.last_code,
            "filled": plain(patch["cum_exec_qty"]),
            "exchange_order_id": patch["exchange_order_id"],
        }
        letter = self._letter(order, decision) if decision.fate is Fate.ABSENT else None
        moved = self.ledger.transition(order, event, patch, detail, dead_letter=letter)
        if moved is None:
            raise NothingToSettle(f"order {order_id} moved a moment ago; look at it again")
        if order.last_code == Question.FOREIGN:
            self.ledger.resolve_incident(f"foreign:{order_id}", self.clock.now())
        self.observer.moved(order.account, moved.state.value)
        log.warning("order_settled", order_id=order_id, fate=decision.fate.value, note=decision.note)
        return moved

    def _letter(self, order: Order, decision: Decision) -> DeadLetter:
        return DeadLetter(
            order.order_id,
            order.account,
            reason="settled_absent",
            code=order.last_code,
            message=decision.note,
            cause="A person decided that it never came into being.",
            fix="Replay it if it is still wanted: it goes out under a link id of its own.",
            created_at=self.clock.now(),
        )


def _filled(order: Order, decision: Decision) -> Decimal:
    filled = decision.filled
    if filled is None and decision.fate is Fate.FILLED:
        if order.request.is_quote_amount:
            raise InvalidOrder("its quantity is an amount of the quote coin: say how much was filled")
        filled = order.request.qty
    if filled is None:
        return order.cum_exec_qty
    if decision.fate in {Fate.ABSENT, Fate.REJECTED} and filled:
        raise InvalidOrder(f"an order that is {decision.fate} has no fills")
    if filled < order.cum_exec_qty:
        raise InvalidOrder(f"{plain(order.cum_exec_qty)} are known to be filled; it cannot be {plain(filled)}")
    if decision.fate is Fate.FILLED and not filled:
        raise InvalidOrder("a filled order has a filled quantity")
    return filled
