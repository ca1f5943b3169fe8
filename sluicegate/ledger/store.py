"""What every part of the repository shares: transactions, the clock, the audit trail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, insert, literal, select
from sqlalchemy.exc import IntegrityError

from sluicegate.domain.errors import LedgerUnavailable, OrderNotFound
from sluicegate.ledger.engine import BUSY_TIMEOUT_S, WRITING
from sluicegate.ledger.failures import broken_constraint, translated
from sluicegate.ledger.tables import ORDER_EVENTS, ORDERS
from sluicegate.ports import Clock

T = TypeVar("T")

_TRIES = 8
_IDS_A_STATEMENT = 500

# SQLAlchemy counts the rows of an INSERT only when told.
COUNTED: Final = {"preserve_rowcount": True}


class Store:
    """One database.

    Args:
        engine: from `create_ledger_engine`.
        clock: time of events that carry none of their own.
        actor: who writes, e.g. the process's name; part of every event.
    """

    def __init__(self, engine: Engine, clock: Clock, *, actor: str) -> None:
        self._is_sqlite = engine.dialect.name == "sqlite"
        # A read is one statement: without a transaction around it PostgreSQL saves two round trips.
        self._reader = engine if self._is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = engine.execution_options(**{WRITING: True})
        # SQLite has one writer at a time and lets the others poll; threads of one process queue here instead.
        self._turn = threading.Lock() if self._is_sqlite else None
        self._password = None if engine.url.password is None else str(engine.url.password)
        self._clock = clock
        self._actor = actor

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(self._password), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._my_turn(), translated(self._password), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):
            raise LedgerUnavailable(f"the ledger did not answer: no turn to write within {BUSY_TIMEOUT_S:g} s")
        try:
            yield
        finally:
            self._turn.release()

    def _write_against(self, constraint: str, work: Callable[[Connection], T]) -> T:
        """Run a write that reads first what a constraint guards, again if someone else was between the two."""
        for _ in range(_TRIES):
            try:
                with self._writing() as connection:
                    return work(connection)
            except IntegrityError as e:
                if broken_constraint(e) != constraint:
                    raise
        raise LedgerUnavailable(f"the ledger did not answer: {_TRIES} tries met other writers; try again")

    def _note(
        self, connection: Connection, order_id: str, event: str, detail: Mapping[str, Any], at: datetime
    ) -> None:
        """Write an event row that leaves the state as it is.

        Raises:
            OrderNotFound: there is no such order.
        """
        e, o = ORDER_EVENTS.c, ORDERS.c
        facts = {
            "order_id": o.order_id,
            "version": o.version,
            "at": literal(at, e.at.type),
            "event": literal(event),
            "from_state": o.state,
            "to_state": o.state,
            "actor": literal(self._actor),
            "detail": literal(dict(detail), e.detail.type),
        }
        row = select(*facts.values()).where(o.order_id == order_id)
        line = insert(ORDER_EVENTS).inline().from_select(list(facts), row)
        if connection.execute(line, execution_options=COUNTED).rowcount != 1:
            raise OrderNotFound(f"the ledger has no order {order_id}")


def batches(ids: Sequence[str]) -> list[Sequence[str]]:
    """Return ids in parts that one statement takes."""
    return [ids[start : start + _IDS_A_STATEMENT] for start in range(0, len(ids), _IDS_A_STATEMENT)]
