"""Record: write down what the exchange shows of an order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from sluicegate.domain.evidence import average_after, is_as_asked, is_news, status_after, weigh_fills
from sluicegate.domain.lifecycle import END_STATES, TABLE, Event, State
from sluicegate.domain.likeness import NUMBERS, differences
from sluicegate.domain.orders import ChangeKind, Execution, OnStep, Order, OrderEvent
from sluicegate.domain.records import (
    EVENT_OF_STATUS,
    QUESTIONS,
    Change,
    ChangeState,
    Fill,
    Question,
    Severity,
    Sighting,
)
from sluicegate.ports import Account, Clock, Ledger, Observer, Patch
from sluicegate.services.agenda import Agenda
from sluicegate.services.lookout import Lookout

log = structlog.get_logger(__name__)

AMENDABLE = ("qty", "price", "trigger_price")
_SENDING = frozenset({Event.CLAIMED.value, f"{ChangeKind.AMEND.value}_{ChangeState.SUBMITTING.value}"})


@dataclass(frozen=True)
class Recorder:
    """Holds what is shown against what was asked, and moves the order."""

    ledger: Ledger
    lookout: Lookout
    agenda: Agenda
    clock: Clock
    observer: Observer

    def record(self, order: Order, account: Account, seen: Sighting) -> str:
        """Write down a sighting of an order.

        Args:
            order: as it stood before the look.
            account: whose order it is.
            seen: what the exchange shows under the order's link id.

        Returns:
            A word for the log.
        """
        strange = self._strange(order, seen)
        if strange:
            return self._foreign(order, seen, strange)
        event = EVENT_OF_STATUS.get(seen.status)
        if event is None:
            log.warning("unknown_order_status", order_id=order.order_id, status=seen.status)
            return self.agenda.later(order, f"unknown status {seen.status}")
        if seen.cum_exec_qty > order.cum_exec_qty:
            self.add_fills(order, account)
        if (order.state, event) not in TABLE:  # a late answer about the past
            return self.agenda.later(order, f"older than what is known: {seen.status}")
        amended = {} if is_as_asked(order, seen) else self._amended(order, seen)
        try:
            request = order.request.amended(amended)
        except ValueError:  # written down, the order could never be read again
            said = [f"{name} {value}, which no order may have" for name, value in amended.items()]
            return self._foreign(order, seen, said)
        if not is_news(order, seen) and not amended:
            return self.agenda.later(order, seen.status)
        patch: Patch = {
            "request": request,
            "exchange_order_id": seen.exchange_order_id,
            "exchange_status": status_after(order, seen),
            "cum_exec_qty": max(seen.cum_exec_qty, order.cum_exec_qty),
            "avg_price": average_after(order, seen),
            "last_message": "" if seen.reject_reason == "EC_NoError" else seen.reject_reason,
        }
        detail = {name: format(value, "f") for name, value in amended.items()}
        return self._move_on(order, event, patch, {**seen.raw, **detail})

    def add_fills(self, order: Order, account: Account) -> None:
        """Fetch the fills of an order and store those that are new; raises what the query raises."""
        self._store(order, self.lookout.fills(account, order))

    def record_fills(self, order: Order, account: Account) -> str | None:
        """Ask for the fills of an order that no list shows: they prove that it was there, and how much was done.

        Returns:
            A word for the log; None when there is no fill that the ledger does not know of.
        """
        fills = self.lookout.fills(account, order)
        if not fills:
            return None
        self._store(order, fills)
        step = weigh_fills(order, fills, sum((fill.qty for fill in fills), Decimal(0)))
        if step is None:
            return None
        patch: Patch = {
            "exchange_order_id": step.exchange_order_id,
            "cum_exec_qty": step.cum_exec_qty,
            "avg_price": step.avg_price,
        }
        return self._move_on(order, step.event, patch, step.detail)

    def _move_on(self, order: Order, event: Event, patch: Patch, detail: Mapping[str, object]) -> str:
        """Move an order by evidence: whatever was asked about it is answered."""
        known: Patch = {
            **patch,
            "acked_at": order.acked_at or self.clock.now(),
            "lease_until": None,
            "horizon_ms": None,
            "wake_at": self.agenda.soon(),
        }
        if order.last_code in QUESTIONS:
            known["last_code"] = ""
        said = self.move(order, event, known, detail)
        if order.last_code == Question.FOREIGN:
            self.ledger.resolve_incident(f"foreign:{order.order_id}", self.clock.now())
        return said

    def move(self, order: Order, event: Event, patch: Patch, detail: Mapping[str, object]) -> str:
        """Move an order and count it; returns a word for the log."""
        moved = self.ledger.transition(order, event, patch, detail)
        if moved is None:
            return "someone else was faster"
        if moved.state is not order.state:
            self.observer.moved(order.account, moved.state.value)
        if moved.state in END_STATES:
            log.info("order_ended", order_id=order.order_id, state=moved.state.value)
        return moved.state.value

    # --- is it ours? ------------------------------------------------------------------------------------------

    def _strange(self, order: Order, seen: Sighting) -> list[str]:
        """Return how a sighting differs from the order; an order that was acknowledged is known by Bybit's id."""
        if order.exchange_order_id:
            is_same = order.exchange_order_id == seen.exchange_order_id
            return [] if is_same else [f"orderId {order.exchange_order_id}, shown {seen.exchange_order_id}"]
        if not differences(order.request, seen, {}, is_sent_known=True):
            return []
        events = self.ledger.events(order.order_id)
        requests = [event for event in events if event.event in _SENDING]
        is_sent_known = bool(requests) and all("sent" in event.detail for event in requests)  # older ones lack it
        return differences(order.request, seen, self._ever(order, events), is_sent_known=is_sent_known)

    def _ever(self, order: Order, events: Sequence[OrderEvent]) -> Mapping[str, set[Decimal]]:
        """Return every value that the order had, or may have had on the exchange."""
        asked = [change.fields for change in self._amends(order) if change.attempts]
        for event in events:
            if event.event == "accepted":
                asked.append(event.detail["request"])
            elif event.event in {Event.AMENDED.value, Event.AMENDED_UNSENT.value}:
                asked.append(event.detail)
            asked.append(event.detail.get("sent", {}))
        values: dict[str, set[Decimal]] = defaultdict(set)
        for fields in asked:
            for name in NUMBERS:
                if fields.get(name) is not None:
                    values[name].add(Decimal(fields[name]))
        return values

    def _foreign(self, order: Order, seen: Sighting, strange: Sequence[str]) -> str:
        """Tell a person, once; the order neither takes over what is shown nor is it sent again."""
        said = "; ".join(strange)
        if order.last_code == Question.FOREIGN:
            return self.agenda.later(order, said)
        self.ledger.open_incident(
            f"foreign:{order.order_id}",
            severity=Severity.CRITICAL,
            title=f"Another order lives under our link id {order.link_id}",
            detail=f"Asked: {order.describe()}. The exchange shows order {seen.exchange_order_id}: {said}.",
            fix="Find out who placed it: Sluicegate neither adopts it nor sends its own. Then decide with: "
            f"sluicegate orders settle {order.order_id} --as absent",
            at=self.clock.now(),
        )
        event = Event.DOUBTED if order.state is State.IN_DOUBT else Event.MISSED
        patch: Patch = {"last_code": Question.FOREIGN, "last_message": said, "wake_at": self.agenda.soon()}
        return self.move(order, event, patch, {"code": Question.FOREIGN, "why": said, **seen.raw})

    # --- amends and fills -------------------------------------------------------------------------------------

    def _amends(self, order: Order) -> list[Change]:
        return [change for change in self.ledger.changes(order.order_id) if change.kind is ChangeKind.AMEND]

    def _amended(self, order: Order, seen: Sighting) -> dict[str, Decimal]:
        """Return the values that an amendment of ours has changed, though its answer never came."""
        unsure = [c for c in self._amends(order) if c.attempts and c.state is not ChangeState.DONE]
        shown = {name: getattr(seen, name) for name in AMENDABLE}
        return {
            name: value
            for name, value in shown.items()
            if value is not None
            and value != getattr(order.request, name)
            and any(_asks(change, name, value, order) for change in unsure)
        }

    def _store(self, order: Order, fills: Sequence[Fill]) -> None:
        self.ledger.add_executions(
            [
                Execution(
                    exec_id=fill.exec_id,
                    order_id=order.order_id,
                    qty=fill.qty,
                    price=fill.price,
                    fee=fill.fee,
                    fee_coin=fill.fee_coin,
                    is_maker=fill.is_maker,
                    executed_at=fill.executed_at,
                )
                for fill in fills
            ]
        )


def _asks(change: Change, name: str, value: Decimal, order: Order) -> bool:
    asked = change.fields.get(name)
    if asked is None:
        return False
    is_rounded = order.request.on_step is OnStep.ROUND_DOWN and value < Decimal(asked)
    return is_rounded or value == Decimal(asked)
