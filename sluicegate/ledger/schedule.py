"""Handing out what is due, each thing to one scheduler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import (
    CTE,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    Subquery,
    TextClause,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)

from sluicegate.domain.batches import Line
from sluicegate.domain.lifecycle import OPEN_STATES, State
from sluicegate.domain.orders import Category, Order
from sluicegate.domain.records import Change
from sluicegate.ledger.rows import AnyRow, to_change, to_order
from sluicegate.ledger.store import Store, batches
from sluicegate.ledger.tables import IN_LINE_ROWS, ORDER_CHANGES, ORDERS, UNSENT_ROWS

log = structlog.get_logger(__name__)

_PRIORITIES = range(9, -1, -1)


class Schedule(Store):
    """Takes due orders and due changes."""

    def due_states(self, now: datetime) -> frozenset[State]:
        """Return the states in which something is due; see the port."""
        with self._reading() as connection:
            return frozenset(State(state) for state in connection.execute(_due_states(), {"now": now}).scalars())

    def rest(self, orders: Collection[Order], at: datetime) -> None:
        """Let taken orders sleep until `at`; see the port."""
        by_wake: dict[datetime | None, list[str]] = defaultdict(list)
        for order in orders:
            by_wake[order.wake_at].append(order.order_id)
        with self._writing() as connection:
            for wake_at, ids in by_wake.items():
                for some in batches(ids):
                    mine = (ORDERS.c.order_id.in_(some), ORDERS.c.wake_at == wake_at)
                    connection.execute(update(ORDERS).where(*mine).values(wake_at=at))

    def take_due(self, now: datetime, *, states: Collection[State], limit: int, snooze: timedelta) -> list[Order]:
        """Take orders whose `wake_at` has come and let them sleep until `now + snooze`; see the port."""
        if not states or limit < 1:
            return []
        wanted = {"now": now, "limit": limit}
        return self._take_by(_due(frozenset(states), is_shared=not self._is_sqlite), wanted, now + snooze)

    def take_due_of(self, line: Line, now: datetime, *, limit: int, snooze: timedelta) -> list[Order]:
        """Take accepted orders of one line; see the port."""
        if limit < 1:
            return []
        account, category = line
        wanted = {"now": now, "limit": limit, "line_account": account, "line_category": category.value}
        return self._take_by(_due_of_line(is_shared=not self._is_sqlite), wanted, now + snooze)

    def due_lines(self, now: datetime) -> list[Line]:
        """Return the lines in which something is due: some index probes for each line that has orders at all."""
        lines: list[Line] = []
        after: dict[str, Any] = {"line_account": "", "line_category": ""}
        with self._reading() as connection:
            while True:
                row = connection.execute(_next_line(is_sqlite=self._is_sqlite), after).one_or_none()
                if row is None:
                    return lines
                after = {"line_account": row.account, "line_category": row.category}
                if connection.execute(_is_due(), {**after, "now": now}).scalar_one():
                    lines.append((row.account, Category(row.category)))

    def overdue(self, now: datetime, *, limit: int) -> list[Order]:
        """Return unsent orders past their deadline: one range of an index, wherever they stand; see the port."""
        o = ORDERS.c
        query = select(ORDERS).where(UNSENT_ROWS, o.deadline_at <= now).order_by(o.deadline_at).limit(limit)
        with self._reading() as connection:
            return _readable(connection.execute(query).all())

    def parked_accounts(self) -> list[str]:
        """Return the accounts that have parked orders: two index probes for each account with orders."""
        with self._reading() as connection:
            return list(connection.execute(_parked_accounts()).scalars())

    def _take_by(self, due: Select[Any], wanted: dict[str, Any], until: datetime) -> list[Order]:
        take = _take_alone if self._is_sqlite else _take_beside_others
        with self._writing() as connection:
            rows = take(connection, due, wanted, until)
        return [replace(order, wake_at=until) for order in _readable(rows)]

    def take_due_changes(self, now: datetime, *, limit: int, snooze: timedelta) -> list[Change]:
        """Take open changes whose `wake_at` has come, as `take_due` does orders; oldest first."""
        c = ORDER_CHANGES.c
        due = (
            select(ORDER_CHANGES)
            .where(c.wake_at <= now)
            .order_by(c.created_at, c.order_id, c.sequence)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        until = now + snooze
        with self._writing() as connection:
            changes = [to_change(row) for row in connection.execute(due)]
            for some in batches([change.change_id for change in changes]):
                connection.execute(update(ORDER_CHANGES).where(c.change_id.in_(some)).values(wake_at=until))
        return [replace(change, wake_at=until) for change in changes]


def _readable(rows: Sequence[AnyRow]) -> list[Order]:
    """Read rows one by one: one that this release cannot read must not hold up those behind it."""
    orders = []
    for row in rows:
        try:
            orders.append(to_order(row))
        except ValueError as e:  # pydantic's, and that of a state nobody knows
            log.error("order_unreadable", order_id=row.order_id, account=row.account, error=str(e))
    return orders


def _take_alone(
    connection: Connection, query: Select[Any], wanted: dict[str, Any], until: datetime
) -> Sequence[AnyRow]:
    """Take orders on SQLite, where the transaction keeps every other writer out."""
    due = query.subquery()
    joined = select(ORDERS).join(due, ORDERS.c.order_id == due.c.order_id)
    ordered = joined.order_by(due.c.priority.desc(), due.c.wake_at, due.c.order_id)
    rows = connection.execute(ordered, wanted).all()
    for some in batches([row.order_id for row in rows]):
        connection.execute(update(ORDERS).where(ORDERS.c.order_id.in_(some)).values(wake_at=until))
    return rows


def _take_beside_others(
    connection: Connection, query: Select[Any], wanted: dict[str, Any], until: datetime
) -> Sequence[AnyRow]:
    """Take orders on PostgreSQL in one statement; rows that another scheduler holds are left to it."""
    # Materialized: the rows are locked and counted once, whatever the plan of the update.
    due: CTE = query.cte("due").prefix_with("MATERIALIZED")
    take = (
        update(ORDERS)
        .where(ORDERS.c.order_id == due.c.order_id)
        .values(wake_at=until)
        .returning(ORDERS, due.c.wake_at.label("woke_at"))
    )
    rows = connection.execute(take, wanted).all()
    return sorted(rows, key=lambda row: (-row.priority, row.woke_at, row.order_id))


@lru_cache(maxsize=64)
def _due(states: frozenset[State], *, is_shared: bool) -> Select[Any]:
    """Return the query for the ids of due orders, most urgent first.

    One arm a state and priority: each is a range of the index `ix_orders_wake`, already sorted, so that the cost
    follows `limit` and not the number of orders that wait. A single sort over all that is due would read it all.
    """
    o = ORDERS.c
    return _most_urgent(
        [
            _arm(priority, o.state == state.value, is_shared=is_shared)
            for priority in _PRIORITIES
            for state in sorted(states)
        ]
    )


@lru_cache(maxsize=2)
def _due_of_line(*, is_shared: bool) -> Select[Any]:
    """Return the query for the ids of a line's due orders, most urgent first; each arm a range of its index."""
    return _most_urgent([_arm(priority, *_in_line(), is_shared=is_shared) for priority in _PRIORITIES])


def _in_line() -> tuple[Any, ...]:
    o = ORDERS.c
    return IN_LINE_ROWS, o.account == bindparam("line_account"), o.category == bindparam("line_category")


@lru_cache(maxsize=2)
def _next_line(*, is_sqlite: bool) -> TextClause:
    """Return the query for the line after another: two probes of the index, however many wait in a line.

    One arm for the rest of the account and one for the accounts after it: SQLite would read a whole line to
    compare pairs. And it is told the index, for it takes any that begins with `state`.
    """
    index = " INDEXED BY ix_orders_line" if is_sqlite else ""
    arm = (
        f"SELECT account, category FROM orders{index} WHERE state = 'accepted' AND wake_at IS NOT NULL"  # noqa: S608
        " AND {after} ORDER BY account, category LIMIT 1"
    )
    rest = arm.format(after="account = :line_account AND category > :line_category")
    others = arm.format(after="account > :line_account")
    both = f"SELECT * FROM ({rest}) AS rest UNION ALL SELECT * FROM ({others}) AS others"  # noqa: S608
    return text(f"SELECT account, category FROM ({both}) AS lines ORDER BY account, category LIMIT 1")  # noqa: S608


@lru_cache(maxsize=1)
def _parked_accounts() -> Select[Any]:
    """Return the query that goes from account to account instead of reading the index from end to end."""
    o = ORDERS.c
    first = select(func.min(o.account).label("account")).cte("names", recursive=True)
    following = select(func.min(o.account)).where(o.account > first.c.account).scalar_subquery()
    names = first.union_all(select(following).where(first.c.account.is_not(None)))
    is_parked = exists().where(o.account == names.c.account, o.state == State.PARKED.value)
    return select(names.c.account).where(is_parked).order_by(names.c.account)


@lru_cache(maxsize=1)
def _is_due() -> Select[Any]:
    """Return the query whether something is due in a line."""
    o = ORDERS.c
    arms = (
        exists().where(*_in_line(), o.priority == priority, o.wake_at <= bindparam("now"))
        for priority in _PRIORITIES
    )
    return select(or_(*arms))


def _arm(priority: int, *of: Any, is_shared: bool) -> Select[Any]:
    """Return the query for the due orders of one priority, oldest first."""
    o = ORDERS.c
    arm = select(o.order_id, o.priority, o.wake_at).where(
        *of, o.priority == priority, o.wake_at <= bindparam("now")
    )
    arm = arm.order_by(o.wake_at).limit(bindparam("limit", type_=Integer))
    if is_shared:
        arm = arm.with_for_update(skip_locked=True, key_share=True)
    return select(arm.subquery())


def _most_urgent(arms: Sequence[Select[Any]]) -> Select[Any]:
    every: Subquery = union_all(*arms).subquery()
    e = every.c
    ordered = select(every).order_by(e.priority.desc(), e.wake_at, e.order_id)
    return ordered.limit(bindparam("limit", type_=Integer))


@lru_cache(maxsize=1)
def _due_states() -> CompoundSelect[Any]:
    """Return the query for the states with due orders: one index probe a state and priority, no lock."""
    o = ORDERS.c
    return union_all(
        *(
            select(literal(state.value)).where(
                or_(
                    *(
                        exists().where(
                            o.state == state.value, o.priority == priority, o.wake_at <= bindparam("now")
                        )
                        for priority in _PRIORITIES
                    )
                )
            )
            for state in sorted(OPEN_STATES)
        )
    )
