"""Scopes that send nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select, update

from sluicegate.domain.records import Halt
from sluicegate.ledger.rows import from_halt, to_halt
from sluicegate.ledger.statements import SOME_HALTS
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import HALTS, ONE_HALT_A_SCOPE


class Halts(Store):
    """Keeps one halt a scope."""

    def halt(self, halt: Halt) -> bool:
        """Store a halt; False when the scope was halted already.

        Of two halts the one with the longer `until` stays, with its cause and fix (None is longest); one that had
        run out when the new one began counts as gone.
        """
        return self._write_against(ONE_HALT_A_SCOPE, lambda connection: _store(connection, halt))

    def lift(self, scope: str) -> Halt | None:
        """Remove a halt and return it; None when there was none."""
        found = select(HALTS).where(HALTS.c.scope == scope).with_for_update()
        with self._writing() as connection:
            row = connection.execute(found).one_or_none()
            if row is None:
                return None
            connection.execute(delete(HALTS).where(HALTS.c.scope == scope))
        return to_halt(row)

    def halts(self, scopes: Collection[str] | None = None) -> list[Halt]:
        """Return the halts of the given scopes, or all; one that has run out stays until it is lifted."""
        query = select(HALTS).order_by(HALTS.c.scope) if scopes is None else SOME_HALTS
        with self._reading() as connection:
            return [to_halt(row) for row in connection.execute(query, {"scopes": list(scopes or ())})]


def _store(connection: Connection, halt: Halt) -> bool:
    row = connection.execute(select(HALTS).where(HALTS.c.scope == halt.scope).with_for_update()).one_or_none()
    if row is None:
        connection.execute(insert(HALTS).inline(), from_halt(halt))
        return True
    known = to_halt(row)
    is_over = known.until is not None and known.until <= halt.since
    if is_over or _is_longer(halt, known):
        stored = halt if is_over else replace(halt, since=known.since)
        connection.execute(update(HALTS).where(HALTS.c.scope == halt.scope).values(from_halt(stored)))
    return is_over


def _is_longer(halt: Halt, known: Halt) -> bool:
    if known.until is None:
        return False
    return halt.until is None or halt.until > known.until
