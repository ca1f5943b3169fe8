"""Storing the fills of our orders: each once, whoever shows it, and however often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from sluicegate.domain.orders import Execution
from sluicegate.ledger.rows import from_execution
from sluicegate.ledger.tables import EXECUTIONS

_FILLS_A_STATEMENT = 500


def upsert(*, is_sqlite: bool) -> Any:
    """Return the INSERT of a database that knows ON CONFLICT."""
    return sqlite.insert if is_sqlite else postgresql.insert


def store_executions(
    connection: Connection, executions: Sequence[Execution], *, is_sqlite: bool
) -> list[tuple[str, str]]:
    """Store fills, skip known ones.

    Args:
        connection: in a transaction.
        executions: in the order of their keys, so that two callers with the same fills never wait in a circle.
        is_sqlite: which database it is.

    Returns:
        The keys of the new ones: order id and exec id.
    """
    x = EXECUTIONS.c
    new: list[tuple[str, str]] = []
    for start in range(0, len(executions), _FILLS_A_STATEMENT):
        rows = [from_execution(e) for e in executions[start : start + _FILLS_A_STATEMENT]]
        stored = upsert(is_sqlite=is_sqlite)(EXECUTIONS).values(rows).on_conflict_do_nothing()
        new += [(row.order_id, row.exec_id) for row in connection.execute(stored.returning(x.order_id, x.exec_id))]
    return new
