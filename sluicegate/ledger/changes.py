"""Amend and cancel requests of orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from sluicegate.domain.orders import OrderId
from sluicegate.domain.records import OPEN_CHANGES, Change, ChangeState
from sluicegate.ledger.rows import from_change, to_change
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import ORDER_CHANGES, ORDERS
from sluicegate.ports import ChangePatch

_OPEN = sorted(state.value for state in OPEN_CHANGES)


class Requests(Store):
    """Stores changes within a transaction that does more."""

    def _request(self, connection: Connection, change: Change) -> Change:
        """Store a change with an event row; sets its sequence. Whoever calls holds its order."""
        c = ORDER_CHANGES.c
        last = select(func.coalesce(func.max(c.sequence), 0)).where(c.order_id == change.order_id)
        numbered = replace(change, sequence=int(connection.execute(last).scalar_one()) + 1)
        detail = {"change_id": change.change_id, **change.fields}
        self._note(connection, change.order_id, f"{change.kind.value}_requested", detail, change.created_at)
        connection.execute(insert(ORDER_CHANGES).inline(), from_change(numbered))
        return numbered


class Changes(Requests):
    """Stores and moves changes."""

    def add_change(self, change: Change) -> Change:
        """Store an amend or cancel request with an event row; sets its sequence.

        Raises:
            OrderNotFound: there is no such order.
        """
        o = ORDERS.c
        # Whoever asks for another change of this order waits here, so that the numbers have no gap and no twin.
        its_order = select(o.order_id).where(o.order_id == change.order_id).with_for_update(key_share=True)
        with self._writing() as connection:
            connection.execute(its_order)
            return self._request(connection, change)

    def open_changes(self, order_id: OrderId) -> list[Change]:
        """Return the pending and submitting changes of an order, oldest first."""
        return [change for change in self.changes(order_id) if change.state in OPEN_CHANGES]

    def changes(self, order_id: OrderId) -> list[Change]:
        """Return all changes of an order, oldest first."""
        c = ORDER_CHANGES.c
        query = select(ORDER_CHANGES).where(c.order_id == order_id).order_by(c.sequence)
        with self._reading() as connection:
            return [to_change(row) for row in connection.execute(query)]

    def move_change(
        self, change: Change, state: ChangeState, patch: ChangePatch, detail: Mapping[str, Any]
    ) -> Change | None:
        """Move a change by compare-and-set; see the port. A settled change keeps no `wake_at`."""
        changes: dict[str, Any] = {**patch, "state": state, "version": change.version + 1}
        if state not in OPEN_CHANGES:
            changes["wake_at"] = None
        c = ORDER_CHANGES.c
        facts = {"change_id": change.change_id, **detail}
        with self._writing() as connection:
            if not set_change(connection, change, changes):
                return None
            event = f"{change.kind.value}_{state.value}"
            self._note(connection, change.order_id, event, facts, self._clock.now())
            if "wake_at" not in changes:  # the scheduler moves it without a version
                changes["wake_at"] = connection.execute(
                    select(c.wake_at).where(c.change_id == change.change_id)
                ).scalar_one()
        return replace(change, **changes)

    def rest_change(self, change: Change, at: datetime) -> None:
        """Let an open change sleep until `at`, unless someone moved it meanwhile; no event, no version."""
        c = ORDER_CHANGES.c
        guard = (c.change_id == change.change_id, c.version == change.version, c.state.in_(_OPEN))
        with self._writing() as connection:
            connection.execute(update(ORDER_CHANGES).where(*guard).values(wake_at=at))


def set_change(connection: Connection, change: Change, changes: Mapping[str, Any]) -> bool:
    """Write the new columns of an open change if nobody moved it since the snapshot was taken."""
    c = ORDER_CHANGES.c
    guard = (c.change_id == change.change_id, c.version == change.version, c.state.in_(_OPEN))
    columns = {**changes, "state": changes["state"].value}
    return connection.execute(update(ORDER_CHANGES).where(*guard).values(columns)).rowcount == 1
