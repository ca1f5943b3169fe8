"""Ongoing problems, each told once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, and_, func, insert, or_, select, update

from sluicegate.domain.records import Incident, Severity
from sluicegate.ledger.rows import to_incident
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import INCIDENTS, ONE_OPEN_INCIDENT_A_KEY, PAGING_ROWS, UNRESOLVED_ROWS

_TRIES = 20


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

    def incident(self, incident_id: int) -> Incident | None:
        """Return an incident; None when there is no such one."""
        with self._reading() as connection:
            return _one(connection, INCIDENTS.c.incident_id == incident_id)

    def ack_incident(self, incident_id: int, at: datetime, *, by: str = "", note: str = "") -> Incident | None:
        """Acknowledge an incident, the first time counts; None when there is no such one."""
        i = INCIDENTS.c
        which = i.incident_id == incident_id
        with self._writing() as connection:
            seen = {"acked_at": at, "acked_by": by, "ack_note": note}
            connection.execute(update(INCIDENTS).where(which, i.acked_at.is_(None)).values(seen))
            connection.execute(update(INCIDENTS).where(which, i.resolved_at.is_(None)).values(page_at=None))
            return _one(connection, which)

    def resolve_incident(self, key: str, at: datetime) -> Incident | None:
        """Close the unresolved incident with this key; who was paged is told. None when there is none."""
        i = INCIDENTS.c
        found = select(i.incident_id, i.paged_at).where(i.key == key, UNRESOLVED_ROWS).with_for_update()
        with self._writing() as connection:
            row = connection.execute(found).one_or_none()
            if row is None:
                return None
            which = i.incident_id == row.incident_id
            told = None if row.paged_at is None else at
            connection.execute(update(INCIDENTS).where(which).values(resolved_at=at, page_at=told))
            return _one(connection, which)

    # --- pages ------------------------------------------------------------------------------------------------

    def claim_page(self, now: datetime, lease: timedelta) -> Incident | None:
        """Take the incident whose page is due the longest; see the port."""
        i = INCIDENTS.c
        due = select(INCIDENTS).where(_is_due(now)).order_by(i.page_at, i.incident_id).limit(1)
        for _ in range(_TRIES):
            with self._writing() as connection:
                row = connection.execute(due).one_or_none()
                if row is None:
                    return None
                which = (
                    i.incident_id == row.incident_id,
                    i.page_at.is_not_distinct_from(row.page_at),
                    _is_due(now),
                )
                taken = update(INCIDENTS).where(*which).values(page_at=now + lease)
                if connection.execute(taken).rowcount == 1:
                    return _one(connection, i.incident_id == row.incident_id)
        return None  # others are at it

    def settle_page(self, claimed: Incident, *, delivered: bool, at: datetime, next_at: datetime | None) -> None:
        """Write down what became of a page; see the port."""
        i = INCIDENTS.c
        which = i.incident_id == claimed.incident_id
        with self._writing() as connection:
            now = to_incident(connection.execute(select(INCIDENTS).where(which).with_for_update()).one())
            values: dict[str, Any] = {"page_failures": now.page_failures + 1}
            if delivered:
                values = {"paged_at": at, "pages": now.pages + 1, "page_failures": 0}
            if now.page_at == claimed.page_at:
                values["page_at"] = next_at
            elif delivered and now.resolved_at is not None and now.page_at is None:
                values["page_at"] = at  # it was resolved while its first page was on the way
            connection.execute(update(INCIDENTS).where(which).values(values))

    def count_undelivered_pages(self) -> int:
        """Count incidents that nobody was told about, or whose last page reached nobody."""
        i = INCIDENTS.c
        untold = and_(UNRESOLVED_ROWS, i.acked_at.is_(None), i.paged_at.is_(None))
        failing = and_(PAGING_ROWS, i.page_failures > 0)
        with self._reading() as connection:
            query = select(func.count()).select_from(INCIDENTS).where(or_(untold, failing))
            return int(connection.execute(query).scalar_one())

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first."""
        query = select(INCIDENTS).order_by(INCIDENTS.c.incident_id.desc()).limit(limit)
        if only_open:
            query = query.where(UNRESOLVED_ROWS)
        with self._reading() as connection:
            return [to_incident(row) for row in connection.execute(query)]


def _is_due(now: datetime) -> ColumnElement[bool]:
    i = INCIDENTS.c
    first_page = and_(i.page_at.is_(None), i.paged_at.is_(None))
    is_asking = and_(i.resolved_at.is_(None), i.acked_at.is_(None), or_(i.page_at <= now, first_page))
    return or_(is_asking, and_(i.resolved_at.is_not(None), i.page_at <= now))


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
