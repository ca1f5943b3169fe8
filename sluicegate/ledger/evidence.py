"""What the exchange shows of orders, written down in bulk: idempotent, in any order of arrival."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, select, update
from ulid import ULID

from sluicegate.domain.evidence import Step, belongs, is_as_asked, is_surely, weigh_fills, weigh_sighting
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, Event, State, next_state
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import LINK_ID_PREFIX, ChangeKind, Execution, Order, OrderId
from sluicegate.domain.records import QUESTIONS, TRADE, Change, ChangeState, Fill, Sighting
from sluicegate.ledger.changes import Requests
from sluicegate.ledger.executions import store_executions
from sluicegate.ledger.foreign import store_foreign_fills, store_foreign_orders
from sluicegate.ledger.rows import to_order
from sluicegate.ledger.statements import LOCKED_ORDERS, NEW_EVENT, set_locked
from sluicegate.ledger.store import batches
from sluicegate.ledger.tables import ORDER_CHANGES, ORDERS
from sluicegate.ports import Witnessed

log = structlog.get_logger(__name__)

FILLS_GRACE = timedelta(seconds=2)
"""So long after it is known that fills are missing they may still come by themselves."""


@dataclass(slots=True)
class _Case:
    """One order with what this batch shows of it."""

    before: Order
    order: Order
    exec_qty: Decimal
    fills_due_at: datetime | None
    fills: list[Fill] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    amended: dict[str, Decimal] = field(
        default_factory=dict
    )  # values that an amend of ours had changed by its end
    must_look: bool = False  # something goes by its link id that may be another's order

    @property
    def differs(self) -> bool:
        """Tell whether the newest sighting shows another quantity or price than the ledger knows."""
        return bool(self.sightings) and not is_as_asked(self.order, self.sightings[-1])


class Evidence(Requests):
    """Writes down what streams and lists show."""

    def witness(
        self,
        account: str,
        sightings: Sequence[Sighting],
        fills: Sequence[Fill],
        *,
        at: datetime,
        look_at: datetime,
    ) -> Witnessed:
        """Write down what the exchange shows of an account's orders; see the port."""
        if not sightings and not fills:
            return Witnessed()
        with self._writing() as connection:
            cases = _load(connection, [*sightings, *fills])
            strangers = _sort(cases, account, sightings, fills)
            new = self._store_fills(connection, cases)
            for case in cases.values():
                self._weigh(connection, case, new.get(case.order.order_id, []), at)
            self._write(connection, cases.values(), at, look_at)
            ours = {id(shown) for case in cases.values() for shown in (*case.sightings, *case.fills)}
            parents = {LINK_ID_PREFIX + order_id: order_id for order_id in cases}
            others = [seen for seen in sightings if id(seen) not in ours]
            foreign = store_foreign_orders(connection, account, others, parents, at, is_sqlite=self._is_sqlite)
            rest = [fill for fill in fills if id(fill) not in ours]
            foreign += store_foreign_fills(connection, account, rest, is_sqlite=self._is_sqlite)
        moved = tuple((case.before, case.order) for case in cases.values() if case.events)
        return Witnessed(moved, sum(map(len, new.values())), foreign, tuple(strangers))

    def take_missing_fills(self, now: datetime, *, limit: int) -> list[Order]:
        """Take orders of which more was executed than fills are known; see the port."""
        o = ORDERS.c
        due = select(ORDERS).where(o.fills_due_at.is_not(None), o.fills_due_at <= now)
        with self._writing() as connection:
            locked = due.order_by(o.fills_due_at).limit(limit).with_for_update(skip_locked=True)
            rows = connection.execute(locked).all()
            missing = []
            for row in rows:
                age = now - row.updated_at
                is_missing = row.cum_exec_qty > row.exec_qty
                again_at = now + max(age / 2, timedelta(seconds=5)) if is_missing else None
                connection.execute(update(ORDERS).where(o.order_id == row.order_id).values(fills_due_at=again_at))
                if is_missing:
                    missing.append(to_order(row))
        return missing

    def _store_fills(self, connection: Connection, cases: Mapping[str, _Case]) -> dict[str, list[Fill]]:
        """Store the fills of our orders; return the new ones by order."""
        shown = {(case.order.order_id, fill.exec_id): fill for case in cases.values() for fill in case.fills}
        rows = [to_own(order_id, fill) for (order_id, _exec_id), fill in sorted(shown.items())]
        new: dict[str, list[Fill]] = defaultdict(list)
        for order_id, exec_id in store_executions(connection, rows, is_sqlite=self._is_sqlite):
            new[order_id].append(shown[OrderId(order_id), exec_id])
        return new

    def _weigh(self, connection: Connection, case: _Case, new: Sequence[Fill], at: datetime) -> None:
        case.exec_qty += sum((fill.qty for fill in new), Decimal(0))
        for seen in case.sightings:
            step = weigh_sighting(case.order, seen)
            if step is not None and next_state(case.order.state, step.event) in END_STATES:
                case.amended |= _amended(connection, case.order, seen)  # nobody looks at it again
            self._take(case, step, at)
        self._take(case, weigh_fills(case.order, new, case.exec_qty), at)

    def _take(self, case: _Case, step: Step | None, at: datetime) -> None:
        if step is None:
            return
        before = case.order
        case.order = replace(
            before,
            state=next_state(before.state, step.event),
            version=before.version + 1,
            updated_at=at,
            request=before.request.amended(case.amended),
            exchange_order_id=step.exchange_order_id or before.exchange_order_id,
            exchange_status=step.status,
            cum_exec_qty=step.cum_exec_qty,
            avg_price=step.avg_price,
            acked_at=before.acked_at or at,
            last_code="" if before.last_code in QUESTIONS else before.last_code,
            last_message=step.message or before.last_message,
        )
        case.events.append(
            {
                "order_id": before.order_id,
                "version": case.order.version,
                "at": at,
                "event": step.event.value,
                "from_state": before.state.value,
                "to_state": case.order.state.value,
                "actor": self._actor,
                "detail": {**step.detail, **{name: plain(value) for name, value in case.amended.items()}},
            }
        )

    def _write(self, connection: Connection, cases: Any, at: datetime, look_at: datetime) -> None:
        rows = [row for case in cases if (row := _columns(case, at, look_at)) is not None]
        if rows:
            connection.execute(set_locked(tuple(name for name in rows[0] if name != "is_id")), rows)
        for case in cases:
            if case.amended:
                request = case.order.request.to_json()
                mine = ORDERS.c.order_id == case.order.order_id
                connection.execute(update(ORDERS).where(mine).values(request=request))
        events = [event for case in cases for event in case.events]
        if events:
            connection.execute(NEW_EVENT, events)
        for event in events:
            if event["event"] == Event.REOPENED.value:  # it was cancelled before it was seen: it must go
                self._request(connection, _cancel(event["order_id"], at))


def to_own(order_id: OrderId, fill: Fill) -> Execution:
    """Return a fill as one of an order of ours."""
    return Execution(
        exec_id=fill.exec_id,
        order_id=order_id,
        qty=fill.qty,
        price=fill.price,
        fee=fill.fee,
        fee_coin=fill.fee_coin,
        is_maker=fill.is_maker,
        executed_at=fill.executed_at,
    )


def _cancel(order_id: OrderId, at: datetime) -> Change:
    pending = ChangeState.PENDING
    return Change(str(ULID()), order_id, 0, ChangeKind.CANCEL, {}, pending, 0, created_at=at, wake_at=at)


def _amended(connection: Connection, order: Order, seen: Sighting) -> dict[str, Decimal]:
    """Return the values that an amend of ours has changed, though the ledger does not know it yet."""
    if is_as_asked(order, seen):
        return {}
    c = ORDER_CHANGES.c
    sent = (c.order_id == order.order_id, c.kind == ChangeKind.AMEND.value, c.attempts > 0)
    asked = connection.execute(select(c.fields).where(*sent)).scalars().all()
    shown = {"qty": seen.qty, "price": seen.price, "trigger_price": seen.trigger_price}
    amended = {
        name: value
        for name, value in shown.items()
        if value not in (None, getattr(order.request, name))
        and any(name in fields and Decimal(fields[name]) == value for fields in asked)
    }
    try:
        order.request.amended(amended)
    except ValueError as e:  # written down, it could never be read again
        log.error("amended_value_refused", order_id=order.order_id, values=str(amended), error=str(e))
        return {}
    return amended


def _load(connection: Connection, shown: Sequence[Sighting | Fill]) -> dict[str, _Case]:
    """Read and lock the orders that are named, parents included; in the order of their ids, against deadlocks."""
    names = {item.link_id for item in shown} | {s.parent_link_id for s in shown if isinstance(s, Sighting)}
    ids = sorted(name.removeprefix(LINK_ID_PREFIX) for name in names if name.startswith(LINK_ID_PREFIX))
    cases: dict[str, _Case] = {}
    for some in batches(ids):
        for row in connection.execute(LOCKED_ORDERS, {"order_ids": some}):
            order = to_order(row)
            cases[row.order_id] = _Case(order, order, row.exec_qty, row.fills_due_at)
    return cases


def _sort(
    cases: Mapping[str, _Case], account: str, sightings: Sequence[Sighting], fills: Sequence[Fill]
) -> list[Sighting | Fill]:
    """Give each order what belongs to it; return what carries our link id and does not."""
    strangers: list[Sighting | Fill] = []
    everything: list[Sighting | Fill] = [*sightings, *fills]
    for shown in everything:
        if not shown.link_id.startswith(LINK_ID_PREFIX):
            continue
        case = cases.get(shown.link_id.removeprefix(LINK_ID_PREFIX))
        category, symbol, side = shown.category, shown.symbol, shown.side
        if case is None or not belongs(case.order, account=account, category=category, symbol=symbol, side=side):
            strangers.append(shown)
        elif not is_surely(case.order, shown):
            case.must_look = True
            if case.order.state in END_STATES:
                strangers.append(shown)
        elif isinstance(shown, Sighting):
            case.sightings.append(shown)
        elif shown.exec_type == TRADE:
            case.fills.append(shown)
    return strangers


def _columns(case: _Case, at: datetime, look_at: datetime) -> dict[str, Any] | None:
    """Return the columns of an order after this batch; None when nothing changes."""
    order = case.order
    is_short = order.cum_exec_qty > case.exec_qty
    fills_due_at = (case.fills_due_at or at + FILLS_GRACE) if is_short else None
    wake_at = order.wake_at
    if order.state in END_STATES:
        wake_at = None
    elif case.must_look and order.state in {State.IN_DOUBT, *ON_EXCHANGE_STATES}:
        wake_at = at
    elif order.state in ON_EXCHANGE_STATES and case.sightings:
        wake_at = at if case.differs else max(look_at, wake_at or look_at)
    elif order.state in ON_EXCHANGE_STATES and case.events:
        wake_at = wake_at or look_at
    if not case.events and not case.fills and (wake_at, fills_due_at) == (order.wake_at, case.fills_due_at):
        return None
    order = replace(order, wake_at=wake_at)
    if case.events:  # it is on the exchange, or was: nobody has to find out any more
        order = replace(order, lease_until=None, horizon_ms=None)
    case.order = order
    return {
        "is_id": order.order_id,
        "state": order.state.value,
        "version": order.version,
        "updated_at": order.updated_at,
        "exchange_order_id": order.exchange_order_id,
        "exchange_status": order.exchange_status,
        "cum_exec_qty": order.cum_exec_qty,
        "avg_price": order.avg_price,
        "acked_at": order.acked_at,
        "last_code": order.last_code,
        "last_message": order.last_message,
        "exec_qty": case.exec_qty,
        "fills_due_at": fills_due_at,
        "wake_at": wake_at,
        "lease_until": order.lease_until,
        "horizon_ms": order.horizon_ms,
    }
