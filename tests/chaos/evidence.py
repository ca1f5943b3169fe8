"""Evidence: all that ledger, exchange and producers know after a run, read in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from sluicegate.domain.orders import Execution, Order, OrderEvent, OrderId, Receipt
from sluicegate.domain.records import Change, DeadLetter
from sluicegate.ledger.rows import to_change, to_dead_letter, to_event, to_execution, to_order
from sluicegate.ledger.tables import DEAD_LETTERS, EXECUTIONS, INCIDENTS, ORDER_CHANGES, ORDER_EVENTS, ORDERS
from tests.chaos.reasons import Causes

HALT = "halt:"
"""Begins the key of an incident of a halt; its title ends with the code."""


@dataclass(frozen=True)
class Promises:
    """What producers were told.

    Attributes:
        receipts: every receipt of every submit, repeated ones too.
        changes: the ids of the changes that `cancel` and `amend` returned.
        cancelled: orders whose `cancel` said that they were cancelled at once.
    """

    receipts: Sequence[Receipt] = ()
    changes: Sequence[str] = ()
    cancelled: Sequence[OrderId] = ()


@dataclass(frozen=True)
class Evidence:
    """One moment after a run.

    Attributes:
        exchange: the list of `/simulator/orders`.
        uids: whose orders those of an account must be.
        halts: scope and code of each incident of a halt, past ones included.
        causes: what the run did to the orders; None where nobody keeps count of it.
    """

    orders: Mapping[OrderId, Order]
    exchange: Sequence[Mapping[str, Any]]
    events: Mapping[OrderId, Sequence[OrderEvent]] = field(default_factory=dict)
    changes: Mapping[OrderId, Sequence[Change]] = field(default_factory=dict)
    executions: Mapping[OrderId, Sequence[Execution]] = field(default_factory=dict)
    dead_letters: Mapping[OrderId, DeadLetter] = field(default_factory=dict)
    promises: Promises = Promises()
    uids: Mapping[str, int] = field(default_factory=dict)
    halts: Sequence[tuple[str, str]] = ()
    causes: Causes | None = None


def gather(
    engine: Engine,
    exchange: Sequence[Mapping[str, Any]],
    promises: Promises,
    uids: Mapping[str, int],
    causes: Causes | None = None,
) -> Evidence:
    """Read the ledger; a few statements, however many orders there are."""
    with engine.connect() as connection:
        events = [to_event(row) for row in _rows(connection, ORDER_EVENTS, ORDER_EVENTS.c.event_id)]
        changes = [to_change(row) for row in _rows(connection, ORDER_CHANGES, ORDER_CHANGES.c.sequence)]
        executions = [to_execution(row) for row in _rows(connection, EXECUTIONS, EXECUTIONS.c.exec_id)]
        letters = [to_dead_letter(row) for row in _rows(connection, DEAD_LETTERS, DEAD_LETTERS.c.order_id)]
        halts = [(row.key, row.title) for row in _rows(connection, INCIDENTS, INCIDENTS.c.incident_id)]
        orders = [to_order(row) for row in _rows(connection, ORDERS, ORDERS.c.order_id)]
    return Evidence(
        orders={order.order_id: order for order in orders},
        exchange=exchange,
        events=_grouped(events),
        changes=_grouped(changes),
        executions=_grouped(executions),
        dead_letters={letter.order_id: letter for letter in letters},
        promises=promises,
        uids=uids,
        halts=[
            (key.removeprefix(HALT), title.rpartition(": ")[2]) for key, title in halts if key.startswith(HALT)
        ],
        causes=causes,
    )


def _rows(connection: Connection, table: Table, order_by: Any) -> Sequence[Any]:
    return connection.execute(select(table).order_by(order_by)).all()


def _grouped(records: Sequence[Any]) -> dict[OrderId, list[Any]]:
    grouped: dict[OrderId, list[Any]] = defaultdict(list)
    for record in records:
        grouped[record.order_id].append(record)
    return dict(grouped)
