"""Ongoing problems, each told once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, insert, select, update

from sluicegate.domain.records import Incident, Severity
from sluicegate.ledger.rows import to_incident
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import INCIDENTS, ONE_OPEN_INCIDENT_A_KEY, UNRESOLVED_ROWS


class Incidents(Store):
    """Keeps at most one unresolved incident a key."""

    def open_incident(
        self, key: str, *, severity: Severity, title: str, detail: str, fix: str, at: datetime
    ) -> tuple[Incident, bool]:
        """Open an incident, or count it up if one with this key is unresolved. True: it is new."""
        row = {
            "key": key,
            "severity": severity.value,
            "title": title,
            "detail": detail,
            "fix": fix,
            "opened_at": at,
            "last_seen_at": at,
            "count": 1,
        }
        return self._write_against(ONE_OPEN_INCIDENT_A_KEY, lambda connection: _open(connection, row))

    def mark_paged(self, incident_id: int, at: datetime) -> None:
        """Remember that a page for the incident was delivered."""
        with self._writing() as connection:
            connection.execute(update(INCIDENTS).where(INCIDENTS.c.incident_id == incident_id).values(paged_at=at))

    def ack_incident(self, incident_id: int, at: datetime) -> Incident | None:
        """Acknowledge an incident, the first time counts; None when there is no such one."""
        i = INCIDENTS.c
        with self._writing() as connection:
            unseen = (i.incident_id == incident_id, i.acked_at.is_(None))
            connection.execute(update(INCIDENTS).where(*unseen).values(acked_at=at))
            return _one(connection, i.incident_id == incident_id)

    def resolve_incident(self, key: str, at: datetime) -> Incident | None:
        """Close the unresolved incident with this key; None when there is none."""
        i = INCIDENTS.c
        found = select(i.incident_id).where(i.key == key, UNRESOLVED_ROWS).with_for_update()
        with self._writing() as connection:
            incident_id = connection.execute(found).scalar_one_or_none()
            if incident_id is None:
                return None
            connection.execute(update(INCIDENTS).where(i.incident_id == incident_id).values(resolved_at=at))
            return _one(connection, i.incident_id == incident_id)

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first."""
        query = select(INCIDENTS).order_by(INCIDENTS.c.incident_id.desc()).limit(limit)
        if only_open:
            query = query.where(UNRESOLVED_ROWS)
        with self._reading() as connection:
            return [to_incident(row) for row in connection.execute(query)]


def _open(connection: Connection, row: dict[str, Any]) -> tuple[Incident, bool]:
    i = INCIDENTS.c
    unresolved = (i.key == row["key"], UNRESOLVED_ROWS)
    seen = update(INCIDENTS).where(*unresolved).values(count=i["count"] + 1, last_seen_at=row["last_seen_at"])
    is_new = connection.execute(seen).rowcount == 0
    if is_new:
        connection.execute(insert(INCIDENTS).inline(), row)
    incident = _one(connection, *unresolved)
    assert incident is not None  # noqa: S101 (this transaction wrote it)
    return incident, is_new


def _one(connection: Connection, *which: ColumnElement[bool] | TextClause) -> Incident | None:
    row = connection.execute(select(INCIDENTS).where(*which)).one_or_none()
    return None if row is None else to_incident(row)
