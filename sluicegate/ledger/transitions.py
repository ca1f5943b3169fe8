"""Moving orders: compare-and-set, with the event row in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from sluicegate.domain.lifecycle import END_STATES, OPEN_STATES, Event, next_state
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.records import Change, ChangeState, DeadLetter
from sluicegate.ledger.changes import set_change
from sluicegate.ledger.dead_letters import store_dead_letter
from sluicegate.ledger.evidence import FILLS_GRACE
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import ORDER_EVENTS, ORDERS
from sluicegate.ports import ChangePatch, Patch


class Transitions(Store):
    """Moves orders through their life."""

    def transition(
        self,
        order: Order,
        event: Event,
        patch: Patch,
        detail: Mapping[str, Any],
        *,
        dead_letter: DeadLetter | None = None,
        done: Change | None = None,
    ) -> Order | None:
        """Move an order by compare-and-set; see the port. An order that ends keeps no `wake_at` and no lease."""
        state = next_state(order.state, event)
        changes: dict[str, Any] = {**patch, "state": state, "version": order.version + 1}
        changes["updated_at"] = self._clock.now()
        if state in END_STATES:
            changes.update(wake_at=None, lease_until=None)
        columns = dict(changes)
        if changes.get("cum_exec_qty", order.cum_exec_qty) != order.cum_exec_qty:
            columns["fills_due_at"] = changes["updated_at"] + FILLS_GRACE  # someone sees to it that all are there
        with self._writing() as connection:
            # the change first: until both rows are ours nothing is written that a rollback must undo
            if done is not None and not self._finish(connection, done):
                return None
            if not _set(connection, order, columns):
                connection.rollback()
                return None
            connection.execute(insert(ORDER_EVENTS).inline(), self._event_row(order, event, changes, detail))
            if dead_letter is not None:
                store_dead_letter(connection, dead_letter)
            if "wake_at" not in changes:  # the scheduler moves it without a version
                changes["wake_at"] = connection.execute(
                    select(ORDERS.c.wake_at).where(ORDERS.c.order_id == order.order_id)
                ).scalar_one()
        return replace(order, **changes)

    def _event_row(
        self, order: Order, event: Event, changes: Mapping[str, Any], detail: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "order_id": order.order_id,
            "version": changes["version"],
            "at": changes["updated_at"],
            "event": event.value,
            "from_state": order.state.value,
            "to_state": changes["state"].value,
            "actor": self._actor,
            "detail": dict(detail),
        }

    def _finish(self, connection: Connection, change: Change) -> bool:
        finished: ChangePatch = {"wake_at": None, "last_code": "0", "last_message": "acknowledged"}
        columns = {**finished, "state": ChangeState.DONE, "version": change.version + 1}
        if not set_change(connection, change, columns):
            return False
        facts = {"change_id": change.change_id}
        self._note(connection, change.order_id, f"{change.kind.value}_done", facts, self._clock.now())
        return True

    def wake(self, order_id: OrderId, at: datetime) -> None:
        """Let the scheduler look at an open order at `at`, if that is sooner than planned."""
        o = ORDERS.c
        sooner = or_(o.wake_at.is_(None), o.wake_at > at)
        is_open = o.state.in_([state.value for state in OPEN_STATES])
        with self._writing() as connection:
            connection.execute(update(ORDERS).where(o.order_id == order_id, is_open, sooner).values(wake_at=at))


def _set(connection: Connection, order: Order, changes: Mapping[str, Any]) -> bool:
    """Write the new columns if nobody moved the order since the snapshot was taken."""
    columns = {**changes, "state": changes["state"].value}
    if "request" in columns:
        columns["request"] = columns["request"].to_json()
    o = ORDERS.c
    guard = (o.order_id == order.order_id, o.version == order.version, o.state == order.state.value)
    return connection.execute(update(ORDERS).where(*guard).values(columns)).rowcount == 1
