"""Keys: when the API key of each account ends, asked now and then by each scheduler process itself."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import SluicegateError

log = structlog.get_logger(__name__)

INTERVAL_S = 3600.0
RETRY_S = 60.0


class KeyReader(threading.Thread):
    """Asks the exchange about every key at start, then once an hour, until the process ends.

    A key that is bound to no IP ends by itself, after 90 days; the alert on it gives a week's notice. Source:
    Bybit V5, `GET /v5/user/query-api`, `deadlineDay`.

    A refused key is left to the orders that meet it: they halt the account and page.

    Args:
        container: the objects of the process.
    """

    def __init__(self, container: Container) -> None:
        super().__init__(name="keys", daemon=True)
        self._container = container
        self._stopped = threading.Event()

    def run(self) -> None:
        """Ask until stopped."""
        wait_s = 0.0
        while not self._stopped.wait(wait_s):
            answered = [self._read(name) for name in self._container.accounts.names()]
            wait_s = INTERVAL_S if all(answered) else RETRY_S

    def stop(self) -> None:
        """Stop after the current account."""
        self._stopped.set()

    def _read(self, account: str) -> bool:
        container = self._container
        try:
            if container.halts.silencing(account) is not None:
                return True
            days = container.valve.key_info(account).days_left
        except SluicegateError as e:
            log.warning("key_not_read", account=account, error=str(e))
            return False
        if days is not None:
            container.metrics.key_expires(account, container.clock.now() + timedelta(days=days))
        return True
