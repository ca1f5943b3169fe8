"""One worker process: started by `sluicegate worker`; SIGTERM lets it finish what is in flight."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import structlog

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import ConfigurationError, SluicegateError
from sluicegate.messages import CANCELS, INTAKE, ORDERS
from sluicegate.telemetry.logs import configure_logs
from workers import app as worker_app
from workers import metrics_endpoint

log = structlog.get_logger(__name__)

WARM_UP_TRIES = 30
QUEUES_OF = {ORDERS: (ORDERS, INTAKE), CANCELS: (CANCELS,)}


def run(container: Container, *, queue: str, name: str | None, concurrency: int | None) -> None:
    """Run a worker until it is told to stop.

    Args:
        container: the objects of the process.
        queue: `orders` or `cancels`; cancels have workers of their own and never wait behind orders.
        name: unique on this host; `QUEUE-PID` when None.
        concurrency: threads; the setting's when None.

    Raises:
        ConfigurationError, LedgerUnavailable: the process cannot start; nothing was consumed.
    """
    settings = container.settings
    unique = name or f"{queue}-{os.getpid()}"
    configure_logs(settings.log_level, settings.log_format, process=unique)
    container.prepare()
    if INTAKE in QUEUES_OF[queue]:
        _ = container.intake  # reads the secret that others need not have; a missing one ends here
    metrics_endpoint.serve(container, unique)
    WarmUp(container).start()
    app = worker_app.build(container)
    start(app, unique, QUEUES_OF[queue], concurrency or settings.worker.concurrency)


class WarmUp(threading.Thread):
    """Builds the accounts while the worker starts: keys are read, the exchange's clock is measured.

    Nothing depends on it; without it the first order of each account would do this work.
    """

    def __init__(self, container: Container) -> None:
        super().__init__(name="warm-up", daemon=True)
        self._container = container

    def run(self) -> None:
        """Try each account until it is built, for a while."""
        waiting = self._container.accounts.names()
        for _try in range(WARM_UP_TRIES):
            waiting = [name for name in waiting if not self._is_built(name)]
            if not waiting:
                return
            self._container.clock.sleep(1)

    def _is_built(self, name: str) -> bool:
        try:
            self._container.accounts.get(name)
        except ConfigurationError as e:  # the orders of the account will meet it and say so
            log.error("account_misconfigured", account=name, error=str(e))
        except SluicegateError as e:
            log.info("not_warm_yet", account=name, error=str(e))
            return False
        return True


def start(app: object, name: str, queues: Sequence[str], concurrency: int) -> None:
    """Start Celery's worker in this process, on threads as the app says."""
    app.worker_main(  # type: ignore[attr-defined]
        [
            "--quiet",
            "worker",
            f"--hostname={name}@%h",
            f"--queues={','.join(queues)}",
            f"--concurrency={concurrency}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )
