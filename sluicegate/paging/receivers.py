"""Pages over Apprise URLs, a plain webhook, and always the log."""

from __future__ import annotations

import logging
from enum import Enum

import apprise
import requests
import structlog

from sluicegate.config import PagingSettings
from sluicegate.domain.records import Incident, PageKind, Severity
from sluicegate.ports import Observer

log = structlog.get_logger(__name__)
logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages may show URLs with tokens

_PREFIXES = {PageKind.OPENED: "", PageKind.REPEATED: "STILL OPEN: ", PageKind.RESOLVED: "RESOLVED: "}


class Reached(Enum):
    """How far a page came: the values of `result` in `pages_total`."""

    FIRST = "delivered"
    OTHER = "fallback"
    NOBODY = "failed"


class AppriseReceivers:
    """Tells people about incidents.

    The log gets every page. Then the entries of the incident's severity are tried in their order until one takes
    it; an entry may hold several URLs, parted by blanks, which are told together. The webhook gets every page
    besides. A page counts as delivered when an entry or the webhook took it, or when neither is configured.

    Args:
        settings: who is told.
        observer: counts pages, `delivered` at once or `fallback` by a later entry, and each way that `failed`.
    """

    def __init__(self, settings: PagingSettings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer

    def page(self, incident: Incident) -> bool:
        """Deliver a page; see `sluicegate.ports.Pager.page`."""
        log.critical(
            "page",
            kind=incident.page_kind.value,
            incident=incident.incident_id,
            severity=incident.severity.value,
            title=incident.title,
            detail=incident.detail,
            fix=incident.fix,
        )
        tried = [result for result in (self._over_apprise(incident), self._over_webhook(incident)) if result]
        if not tried or Reached.FIRST in tried:
            reached = Reached.FIRST
        else:
            reached = Reached.OTHER if Reached.OTHER in tried else Reached.NOBODY
        if reached is Reached.NOBODY:
            log.error("page_undelivered", incident=incident.incident_id, failures=incident.page_failures + 1)
        else:  # the ways that failed have been counted, each by itself
            self._observer.paged(incident.severity.value, reached.value)
        return reached is not Reached.NOBODY

    def _over_apprise(self, incident: Incident) -> Reached | None:
        entries = self._settings.urls(incident.severity)
        setting = f"paging.{incident.severity.value}"
        for position, entry in enumerate(entries):
            if self._told(incident, entry.get_secret_value().split(), f"{setting}[{position}]"):
                return Reached.FIRST if position == 0 else Reached.OTHER
        return Reached.NOBODY if entries else None

    def _told(self, incident: Incident, urls: list[str], setting: str) -> bool:
        """Tell all URLs of an entry; True when at least one took it."""
        is_told = False
        for url in urls:  # one by one: Apprise calls a round failed when a single one is
            receiver = apprise.Apprise()
            if not receiver.add(url):
                log.error("paging_url_invalid", setting=setting)
                self._count_failure(incident)
            elif receiver.notify(title=_title(incident), body=_body(incident), notify_type=_kind(incident)):
                is_told = True
            else:
                log.error("page_failed", incident=incident.incident_id, way=setting)
                self._count_failure(incident)
        return is_told

    def _over_webhook(self, incident: Incident) -> Reached | None:
        if self._settings.webhook is None:
            return None
        content = {
            "kind": incident.page_kind.value,
            "incident_id": incident.incident_id,
            "key": incident.key,
            "severity": incident.severity.value,
            "title": incident.title,
            "detail": incident.detail,
            "fix": incident.fix,
            "count": incident.count,
            "opened_at": incident.opened_at.isoformat(),
            "resolved_at": None if incident.resolved_at is None else incident.resolved_at.isoformat(),
        }
        try:
            answer = requests.post(self._settings.webhook.get_secret_value(), json=content, timeout=(3, 5))
            answer.raise_for_status()
        except (requests.RequestException, ValueError) as e:  # ValueError: a host name that is none
            log.error("page_failed", incident=incident.incident_id, way="paging.webhook", error=type(e).__name__)
            self._count_failure(incident)
            return Reached.NOBODY
        return Reached.FIRST

    def _count_failure(self, incident: Incident) -> None:
        """Count a way that failed, though others may take the page: the next one may be the last that works."""
        self._observer.paged(incident.severity.value, Reached.NOBODY.value)


def _title(incident: Incident) -> str:
    return f"[Sluicegate] {_PREFIXES[incident.page_kind]}{incident.title}"


def _body(incident: Incident) -> str:
    """Return what happened, what to do, and how to stop the pages."""
    since = f"Since {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, met {incident.count} times."
    if incident.resolved_at is not None:
        return f"Over since {incident.resolved_at:%Y-%m-%d %H:%M:%S} UTC. {since}\n\n{incident.detail}"
    acknowledge = f"Acknowledge: sluicegate incidents ack {incident.incident_id}"
    return f"{incident.detail}\n\nWhat to do: {incident.fix}\n\n{since}\n{acknowledge}"


def _kind(incident: Incident) -> apprise.NotifyType:
    if incident.resolved_at is not None:
        return apprise.NotifyType.SUCCESS
    return apprise.NotifyType.FAILURE if incident.severity is Severity.CRITICAL else apprise.NotifyType.WARNING
