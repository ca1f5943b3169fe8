"""Pages over Apprise URLs, a plain webhook, and always the log."""

from __future__ import annotations

import logging

import apprise
import requests
import structlog

from sluicegate.config import PagingSettings
from sluicegate.domain.records import Incident
from sluicegate.ports import Observer

log = structlog.get_logger(__name__)
logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages may show URLs with tokens


class AppriseReceivers:
    """Tells people about incidents.

    The log gets every page. Beside it, each Apprise URL of the incident's severity and the webhook are tried; the
    page counts as delivered when at least one of them took it, or when none is configured.

    Args:
        settings: who is told.
        observer: counts pages.
    """

    def __init__(self, settings: PagingSettings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer

    def page(self, incident: Incident) -> bool:
        """Deliver a page; see `sluicegate.ports.Pager.page`."""
        log.critical(
            "page",
            incident=incident.incident_id,
            severity=incident.severity.value,
            title=incident.title,
            detail=incident.detail,
            fix=incident.fix,
        )
        results = [self._over_apprise(incident), self._over_webhook(incident)]
        tried = [result for result in results if result is not None]
        is_delivered = any(tried) or not tried
        self._observer.paged(incident.severity.value, "delivered" if is_delivered else "failed")
        return is_delivered

    def _over_apprise(self, incident: Incident) -> bool | None:
        urls = self._settings.urls(incident.severity)
        if not urls:
            return None
        title = f"[Sluicegate] {incident.title}"
        body = f"{incident.detail}\n\nWhat to do: {incident.fix}"
        setting = f"paging.{incident.severity.value}"
        is_delivered = False
        for position, url in enumerate(urls):  # one by one: Apprise calls a round failed when a single one is
            receiver = apprise.Apprise()
            if not receiver.add(url.get_secret_value()):
                log.error("paging_url_invalid", setting=setting, position=position)
            elif receiver.notify(title=title, body=body):
                is_delivered = True
            else:
                log.error("page_failed", incident=incident.incident_id, way="apprise", position=position)
        return is_delivered

    def _over_webhook(self, incident: Incident) -> bool | None:
        if self._settings.webhook is None:
            return None
        content = {
            "incident_id": incident.incident_id,
            "key": incident.key,
            "severity": incident.severity.value,
            "title": incident.title,
            "detail": incident.detail,
            "fix": incident.fix,
            "opened_at": incident.opened_at.isoformat(),
        }
        try:
            answer = requests.post(self._settings.webhook.get_secret_value(), json=content, timeout=(3, 5))
            answer.raise_for_status()
        except (requests.RequestException, ValueError) as e:  # ValueError: a host name that is none
            log.error("page_failed", incident=incident.incident_id, way="webhook", error=type(e).__name__)
            return False
        return True
