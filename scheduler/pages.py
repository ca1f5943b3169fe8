"""Pages: delivered by each scheduler process itself, so that they go out while the broker is down."""

from __future__ import annotations

import threading

import structlog

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import SluicegateError

log = structlog.get_logger(__name__)

INTERVAL_S = 1.0


class PageSender(threading.Thread):
    """Delivers due pages until the process ends; of several schedulers, the ledger lets one take each page.

    Args:
        container: the objects of the process.
    """

    def __init__(self, container: Container) -> None:
        super().__init__(name="pages", daemon=True)
        self._container = container
        self._stopped = threading.Event()

    def run(self) -> None:
        """Deliver until stopped."""
        while not self._stopped.wait(INTERVAL_S):
            try:
                self._container.pages.deliver()
            except SluicegateError as e:
                log.warning("pages_wait", error=str(e))
            except Exception:  # the thread's edge: the next round tries again, and undelivered_pages tells
                log.exception("pages_wait")

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()
