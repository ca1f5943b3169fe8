"""Reading orders, their trails and their fills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, OPEN_STATES, State
from sluicegate.domain.orders import Category, Execution, Order, OrderEvent, OrderId, OrderLinkId
from sluicegate.ledger.executions import store_executions
from sluicegate.ledger.failures import is_orphan
from sluicegate.ledger.rows import to_event, to_execution, to_order
from sluicegate.ledger.statements import ORDER, SOME_ORDERS
from sluicegate.ledger.store import Store, batches
from sluicegate.ledger.tables import (
    ACCEPTED_ROWS,
    ACKED_ROWS,
    DEAD_LETTERS,
    EXECUTIONS,
    ORDER_EVENTS,
    ORDERS,
    QUESTION_ROWS,
)
from sluicegate.ports import OrderFilter, OrderUpdate

_LONGEST_WAY = timedelta(hours=1)
"""Orders that took longer from acceptance to acknowledgement are not looked for by `last_acknowledged`."""


class Orders(Store):
    """Reads orders; stores what is said about them without moving them."""

    def get(self, order_id: OrderId) -> Order:
        """Return an order; see the port."""
        with self._reading() as connection:
            row = connection.execute(ORDER, {"order_id": order_id}).one_or_none()
        if row is None:
            raise OrderNotFound(f"the ledger has no order {order_id}")
        return to_order(row)

    def get_many(self, order_ids: Collection[OrderId]) -> list[Order]:
        """Return those orders that exist, in any order."""
        with self._reading() as connection:
            return [
                to_order(row)
                for some in batches(list(order_ids))
                for row in connection.execute(SOME_ORDERS, {"order_ids": some})
            ]

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

    def questions(self, *, limit: int) -> list[Order]:
        """Return open orders that a person must decide about, the oldest first."""
        o = ORDERS.c
        is_open = o.state.in_([state.value for state in OPEN_STATES])
        query = select(ORDERS).where(QUESTION_ROWS, is_open).order_by(o.order_id).limit(limit)
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
        rows = sorted(executions, key=lambda e: (e.order_id, e.exec_id))
        if not rows:
            return 0
        by_key = {(e.order_id, e.exec_id): e for e in rows}
        try:
            with self._writing() as connection:
                known = _lock_sums(connection, {e.order_id for e in rows})  # first, as `witness` does
                new = store_executions(connection, rows, is_sqlite=self._is_sqlite)
                sums: dict[str, Decimal] = defaultdict(Decimal)
                for order_id, exec_id in new:
                    sums[order_id] += by_key[OrderId(order_id), exec_id].qty
                for order_id, qty in sums.items():
                    fresh = {"exec_qty": known[order_id] + qty}
                    connection.execute(update(ORDERS).where(ORDERS.c.order_id == order_id).values(fresh))
        except IntegrityError as e:
            if is_orphan(e):
                raise OrderNotFound("a fill names an order that the ledger does not have") from e
            raise
        return len(new)

    def events_after(self, position: int, *, limit: int) -> list[OrderUpdate]:
        """Return events of all orders behind a position, oldest first."""
        e, o = ORDER_EVENTS.c, ORDERS.c
        query = (
            select(ORDER_EVENTS, o.account, o.category, o.symbol, o.client_order_id)
            .join(ORDERS, o.order_id == e.order_id)
            .where(e.event_id > position)
            .order_by(e.event_id)
            .limit(limit)
        )
        with self._reading() as connection:
            return [
                OrderUpdate(
                    row.event_id, row.account, row.category, row.symbol, row.client_order_id, to_event(row)
                )
                for row in connection.execute(query)
            ]

    def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""
        with self._reading() as connection:
            return int(connection.execute(select(func.max(ORDER_EVENTS.c.event_id))).scalar() or 0)

    def traded_after(self, position: int, account: str, category: Category, symbol: str) -> bool:
        """Tell whether an order has fills, or ended where it may have had some; see the port.

        Ids are drawn before a transaction commits: an event that appears late below `position` was known to its
        writer before that was read, so it asks for nothing.
        """
        e, o = ORDER_EVENTS.c, ORDERS.c
        sent = [State.IN_DOUBT.value, *(state.value for state in ON_EXCHANGE_STATES)]
        is_end = and_(e.from_state.in_(sent), e.to_state.in_([state.value for state in END_STATES]))
        query = (  # the account is not asked for: its indexes would lead through all of its orders
            select(o.account)
            .distinct()
            .join(ORDER_EVENTS, o.order_id == e.order_id)
            .where(e.event_id > position, o.category == category.value, o.symbol == symbol)
            .where(or_(o.cum_exec_qty != Decimal(0), is_end))
        )
        with self._reading() as connection:
            return account in connection.execute(query).scalars().all()

    def last_acknowledged(self, account: str, *, since: datetime, until: datetime) -> OrderLinkId | None:
        """Return the link id of the newest order acknowledged within that time; evidence is no acknowledgement."""
        o = ORDERS.c
        query = (
            select(o.link_id)
            .where(o.account == account, o.created_at > since - _LONGEST_WAY, o.last_code == "0")
            .where(o.acked_at > since, o.acked_at <= until)
            .order_by(o.created_at.desc())
            .limit(1)
        )
        with self._reading() as connection:
            link_id: str | None = connection.execute(query).scalar_one_or_none()
        return None if link_id is None else OrderLinkId(link_id)

    def exposure(
        self, account: str, category: Category, symbol: str, *, before: OrderId
    ) -> tuple[Decimal, Decimal]:
        """Return what orders may still buy and sell; see the port."""
        o = ORDERS.c
        sent = [State.SUBMITTING.value, State.IN_DOUBT.value, *(state.value for state in ON_EXCHANGE_STATES)]
        is_ahead = and_(o.state == State.ACCEPTED.value, o.order_id < before, o.due_at <= self._clock.now())
        query = select(o.request, o.cum_exec_qty).where(
            o.account == account,
            o.category == category.value,
            o.symbol == symbol,
            o.order_id != before,
            or_(o.state.in_(sent), is_ahead),
        )
        left = {"Buy": Decimal(0), "Sell": Decimal(0)}
        with self._reading() as connection:
            for request, executed in connection.execute(query):
                if not request.get("reduce_only"):
                    left[request["side"]] += max(Decimal(request["qty"]) - executed, Decimal(0))
        return left["Buy"], left["Sell"]

    def accepted_within(self, account: str, until: datetime, window: timedelta) -> int:
        """Count orders of an account created in `(until - window, until]`."""
        o = ORDERS.c
        query = select(func.count()).where(
            o.account == account, o.created_at > until - window, o.created_at <= until
        )
        with self._reading() as connection:
            return int(connection.execute(query.select_from(ORDERS)).scalar_one())

    def fates_within(self, account: str, until: datetime, window: timedelta) -> tuple[int, int]:
        """Count the dead letters and the acknowledged orders of an account in `(until - window, until]`."""
        o, d = ORDERS.c, DEAD_LETTERS.c
        since = until - window
        buried = select(func.count()).where(d.account == account, d.created_at > since, d.created_at <= until)
        placed = select(func.count()).where(
            ACKED_ROWS, o.account == account, o.acked_at > since, o.acked_at <= until
        )
        both = select(
            buried.select_from(DEAD_LETTERS).scalar_subquery(), placed.select_from(ORDERS).scalar_subquery()
        )
        with self._reading() as connection:
            row = connection.execute(both).one()
        return int(row[0]), int(row[1])

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


def _lock_sums(connection: Connection, order_ids: Collection[str]) -> dict[str, Decimal]:
    """Return the sums of known fills by order; the rows stay locked until the transaction ends."""
    o = ORDERS.c
    wanted = select(o.order_id, o.exec_qty).where(o.order_id.in_(order_ids)).order_by(o.order_id)
    rows = connection.execute(wanted.with_for_update(key_share=True))
    return {row.order_id: row.exec_qty for row in rows}
