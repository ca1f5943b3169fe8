"""Reading orders, their trails and their fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Execution, Order, OrderEvent, OrderId
from sluicegate.ledger.failures import is_orphan
from sluicegate.ledger.rows import from_execution, to_event, to_execution, to_order
from sluicegate.ledger.store import COUNTED, Store
from sluicegate.ledger.tables import ACCEPTED_ROWS, EXECUTIONS, ORDER_EVENTS, ORDERS
from sluicegate.ports import OrderFilter

_FILLS_A_STATEMENT = 500


class Orders(Store):
    """Reads orders; stores what is said about them without moving them."""

    def get(self, order_id: OrderId) -> Order:
        """Return an order; see the port."""
        with self._reading() as connection:
            row = connection.execute(select(ORDERS).where(ORDERS.c.order_id == order_id)).one_or_none()
        if row is None:
            raise OrderNotFound(f"the ledger has no order {order_id}")
        return to_order(row)

    def find(self, account: str, client_order_id: str) -> Order | None:
        """Return the order under a producer's id, or None."""
        o = ORDERS.c
        with self._reading() as connection:
            row = connection.execute(
                select(ORDERS).where(o.account == account, o.client_order_id == client_order_id)
            ).one_or_none()
        return None if row is None else to_order(row)

    def list_orders(self, wanted: OrderFilter) -> list[Order]:
        """Return orders, newest first: by id, which grows with time."""
        o = ORDERS.c
        query = select(ORDERS).order_by(o.order_id.desc()).limit(wanted.limit)
        if wanted.account is not None:
            query = query.where(o.account == wanted.account)
        if wanted.states is not None:
            query = query.where(o.state.in_([state.value for state in wanted.states]))
        if wanted.symbol is not None:
            query = query.where(o.symbol == wanted.symbol)
        if wanted.before is not None:
            query = query.where(o.order_id < wanted.before)
        with self._reading() as connection:
            return [to_order(row) for row in connection.execute(query)]

    def events(self, order_id: OrderId) -> list[OrderEvent]:
        """Return the audit trail of an order, oldest first."""
        e = ORDER_EVENTS.c
        with self._reading() as connection:
            rows = connection.execute(select(ORDER_EVENTS).where(e.order_id == order_id).order_by(e.event_id))
            return [to_event(row) for row in rows]

    def note(self, order_id: OrderId, event: str, detail: Mapping[str, Any]) -> None:
        """Write an event row that changes no state.

        Raises:
            OrderNotFound: there is no such order.
        """
        with self._writing() as connection:
            self._note(connection, order_id, event, detail, self._clock.now())

    def executions(self, order_id: OrderId) -> list[Execution]:
        """Return the fills of an order, oldest first."""
        x = EXECUTIONS.c
        query = select(EXECUTIONS).where(x.order_id == order_id).order_by(x.executed_at, x.exec_id)
        with self._reading() as connection:
            return [to_execution(row) for row in connection.execute(query)]

    def add_executions(self, executions: Sequence[Execution]) -> int:
        """Store fills; those that an order has already are skipped. Returns how many were new.

        Raises:
            OrderNotFound: a fill's order is not in the ledger; none was stored.
        """
        insert = sqlite.insert if self._is_sqlite else postgresql.insert
        # In the order of their keys, so that two calls with the same fills never wait in a circle.
        rows = [from_execution(e) for e in sorted(executions, key=lambda e: (e.order_id, e.exec_id))]
        if not rows:
            return 0
        new = 0
        try:
            with self._writing() as connection:
                for start in range(0, len(rows), _FILLS_A_STATEMENT):
                    some = insert(EXECUTIONS).values(rows[start : start + _FILLS_A_STATEMENT])
                    new += connection.execute(some.on_conflict_do_nothing(), execution_options=COUNTED).rowcount
        except IntegrityError as e:
            if is_orphan(e):
                raise OrderNotFound("a fill names an order that the ledger does not have") from e
            raise
        return new

    def accepted_within(self, account: str, until: datetime, window: timedelta) -> int:
        """Count orders of an account created in `(until - window, until]`."""
        o = ORDERS.c
        query = select(func.count()).where(
            o.account == account, o.created_at > until - window, o.created_at <= until
        )
        with self._reading() as connection:
            return int(connection.execute(query.select_from(ORDERS)).scalar_one())

    def count_orders(self) -> dict[tuple[str, State], int]:
        """Count orders by account and state."""
        o = ORDERS.c
        query = select(o.account, o.state, func.count().label("orders")).group_by(o.account, o.state)
        with self._reading() as connection:
            return {(row.account, State(row.state)): row.orders for row in connection.execute(query)}

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """Return the earliest `due_at` among `accepted` orders that are due by `now`; None when none waits."""
        due_at = ORDERS.c.due_at
        query = select(due_at).where(ACCEPTED_ROWS, due_at <= now).order_by(due_at).limit(1)
        with self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def oldest_horizon_ms(self) -> int | None:
        """Return the earliest horizon among orders in doubt; see the port."""
        query = select(func.min(ORDERS.c.horizon_ms)).where(ORDERS.c.state == State.IN_DOUBT.value)
        with self._reading() as connection:
            oldest: int | None = connection.execute(query).scalar_one()
        return oldest
