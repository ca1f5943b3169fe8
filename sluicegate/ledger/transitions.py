"""Moving orders: compare-and-set, with the event row in the same transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select, update

from sluicegate.domain.lifecycle import END_STATES, OPEN_STATES, Event, next_state
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.records import Change, ChangeState, DeadLetter
from sluicegate.ledger.changes import set_change
from sluicegate.ledger.dead_letters import store_dead_letter
from sluicegate.ledger.evidence import FILLS_GRACE
from sluicegate.ledger.statements import LOCKED_STANDING, NEW_EVENT, set_locked, set_unmoved
from sluicegate.ledger.store import Store, batches
from sluicegate.ledger.tables import ORDERS
from sluicegate.ports import ChangePatch, Move, Patch


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
        """Move an order by compare-and-set; see the port."""
        changes = self._changes(Move(order, event, patch, detail))
        with self._writing() as connection:
            # the change first: until both rows are ours nothing is written that a rollback must undo
            if done is not None and not self._finish(connection, done):
                return None
            if not _set(connection, order, changes):
                connection.rollback()
                return None
            connection.execute(NEW_EVENT, self._event_row(order, event, changes, detail))
            if dead_letter is not None:
                store_dead_letter(connection, dead_letter)
            if "wake_at" not in changes:  # the scheduler moves it without a version
                changes["wake_at"] = connection.execute(
                    select(ORDERS.c.wake_at).where(ORDERS.c.order_id == order.order_id)
                ).scalar_one()
        return replace(order, **changes)

    def transition_many(self, moves: Sequence[Move]) -> list[Order | None]:
        """Move several orders in one transaction; see the port.

        The rows are locked and compared first, in the order of their ids, so that the writes that follow hit them
        all: one statement for all moves that set the same columns.
        """
        if len(moves) == 1:
            [move] = moves
            return [self.transition(move.order, move.event, move.patch, move.detail, dead_letter=move.dead_letter)]
        planned = {move.order.order_id: (move, self._changes(move)) for move in moves}
        if len(planned) != len(moves):
            raise ValueError("an order is moved twice in one call")
        if not planned:
            return []
        with self._writing() as connection:
            standing = _lock(connection, sorted(planned))
            won = {
                order_id: (move, {"wake_at": standing[order_id][2], **changes})
                for order_id, (move, changes) in planned.items()
                if standing.get(order_id, ())[:2] == (move.order.version, move.order.state.value)
            }
            _set_many(connection, [(move.order, changes) for move, changes in won.values()])
            rows = [
                self._event_row(move.order, move.event, changes, move.detail) for move, changes in won.values()
            ]
            if rows:
                connection.execute(NEW_EVENT, rows)
            for move, _changes in won.values():
                if move.dead_letter is not None:
                    store_dead_letter(connection, move.dead_letter)
        return [
            replace(move.order, **won[move.order.order_id][1]) if move.order.order_id in won else None
            for move in moves
        ]

    def _changes(self, move: Move) -> dict[str, Any]:
        """Return what a move sets. An order that ends keeps no `wake_at` and no lease."""
        state = next_state(move.order.state, move.event)
        changes: dict[str, Any] = {**move.patch, "state": state, "version": move.order.version + 1}
        changes["updated_at"] = self._clock.now()
        if state in END_STATES:
            changes.update(wake_at=None, lease_until=None)
        return changes

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
    columns = _columns(order, changes)
    guard = {"is_id": order.order_id, "is_version": order.version, "is_state": order.state.value}
    return connection.execute(set_unmoved(tuple(sorted(columns))), {**columns, **guard}).rowcount == 1


def _columns(order: Order, changes: Mapping[str, Any]) -> dict[str, Any]:
    columns = {**changes, "state": changes["state"].value}
    if changes.get("cum_exec_qty", order.cum_exec_qty) != order.cum_exec_qty:
        columns["fills_due_at"] = changes["updated_at"] + FILLS_GRACE  # someone sees to it that all are there
    if "request" in columns:
        columns["request"] = columns["request"].to_json()
    return columns


def _lock(connection: Connection, order_ids: Sequence[str]) -> dict[str, tuple[int, str, datetime | None]]:
    """Keep every other writer off these orders and return how they stand: version, state, `wake_at`."""
    standing: dict[str, tuple[int, str, datetime | None]] = {}
    for some in batches(order_ids):
        for row in connection.execute(LOCKED_STANDING, {"order_ids": some}):
            standing[row.order_id] = (row.version, row.state, row.wake_at)
    return standing


def _set_many(connection: Connection, moved: Sequence[tuple[Order, Mapping[str, Any]]]) -> None:
    """Write the new columns of orders that are locked."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for order, changes in moved:
        columns = _columns(order, changes)
        alike[tuple(sorted(columns))].append({**columns, "is_id": order.order_id})
    for names, rows in alike.items():
        connection.execute(set_locked(names), rows)
