"""What a database error means: the only place that reads one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sluicegate.domain.errors import LedgerUnavailable
from sluicegate.ledger.tables import METADATA

_Guard = PrimaryKeyConstraint | UniqueConstraint | Index


@contextmanager
def translated(password: str | None = None) -> Iterator[None]:
    """Turn a database that does not answer into `LedgerUnavailable`.

    Broken constraints pass (see `broken_constraint`), and so do values that a column cannot hold.

    Args:
        password: of the connection; never part of an error.
    """
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except PoolTimeout as e:
        raise LedgerUnavailable("the ledger did not answer: every connection is in use; try again") from e
    except DBAPIError as e:
        raise LedgerUnavailable(f"the ledger did not answer: {_reason(e, password)}") from e


def _reason(error: DBAPIError, password: str | None) -> str:
    original: Any = error.orig
    lines = str(original).strip().splitlines()
    text = lines[0] if lines else ""
    if password:
        text = text.replace(password, "***")
    if getattr(original, "sqlstate", None) in {"42P01", "42703"} or text.startswith(
        ("no such table", "no such col")
    ):
        return f"{text} (its schema is not current: run `sluicegate db upgrade`)"
    return f"{type(original).__name__}: {text}"


def broken_constraint(error: IntegrityError) -> str:
    """Return the name of the unique constraint, unique index or primary key that refused a write; else ''.

    SQLite names the columns instead: `UNIQUE constraint failed: orders.account, orders.client_order_id`.
    """
    original: Any = error.orig
    diagnostics = getattr(original, "diag", None)
    if diagnostics is not None:
        return diagnostics.constraint_name or ""
    columns = str(original).partition("constraint failed: ")[2]
    return _NAMES.get(frozenset(columns.split(", ")), "")


def is_orphan(error: IntegrityError) -> bool:
    """Tell whether a write was refused because the row that it belongs to is not there."""
    original: Any = error.orig
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", "")
    return code in {"23503", "SQLITE_CONSTRAINT_FOREIGNKEY"}


def _names() -> dict[frozenset[str], str]:
    names: dict[frozenset[str], str] = {}
    for table in METADATA.tables.values():
        guards: list[_Guard] = [
            c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)
        ]
        guards += [index for index in table.indexes if index.unique]
        for guard in guards:
            names[frozenset(f"{table.name}.{column.name}" for column in guard.columns)] = str(guard.name)
    return names


_NAMES: Final = _names()
