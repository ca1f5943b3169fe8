"""Keys: when the API key of each account ends, asked now and then by each scheduler process itself."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import SluicegateError

log = structlog.get_logger(__name__)

INTERVAL_S = 3600.0
RETRY_S = 15.0


class KeyReader(threading.Thread):
    """Asks the exchange once an hour when each key ends, until the process ends.

    A key that is bound to no IP ends by itself, after 90 days; the alert on it gives a week's notice. Source:
    Bybit V5, `GET /v5/user/query-api`, `deadlineDay`.

    A key that never worked is left to the first order of its account, and a refusal to the next one: that halts
    the account and pages.

    Args:
        container: the objects of the process.
    """

    def __init__(self, container: Container) -> None:
        super().__init__(name="keys", daemon=True)
        self._container = container
        self._stopped = threading.Event()
        self._due_at_s: dict[str, float] = {}

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopped.wait(RETRY_S):
            try:
                self.read()
            except SluicegateError as e:
                log.warning("keys_not_read", error=str(e))
            except Exception:  # the thread's edge: the next round asks again
                log.exception("keys_not_read")

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()

    def read(self) -> None:
        """Ask about the keys of accounts that have worked and were not asked about within the hour.

        Raises:
            LedgerUnavailable: it is not known which accounts have worked.
        """
        container = self._container
        configured = set(container.accounts.names())
        for name in [
            known.name for known in container.ledger.accounts() if known.uid and known.name in configured
        ]:
            now_s = container.clock.monotonic()
            if now_s >= self._due_at_s.get(name, now_s) and container.halts.silencing(name) is None:
                self._due_at_s[name] = now_s + INTERVAL_S
                self._read_one(name)

    def _read_one(self, account: str) -> None:
        container = self._container
        try:
            days = container.valve.key_info(account).days_left
        except SluicegateError as e:
            log.warning("key_not_read", account=account, error=str(e))
            return
        ends_at = None if days is None else container.clock.now() + timedelta(days=days)
        container.metrics.key_expires(account, ends_at)  # None: bound to an IP since, as the doctor advises
