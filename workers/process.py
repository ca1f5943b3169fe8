"""One worker process: started by `sluicegate worker`; SIGTERM lets it finish what is in flight."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sluicegate.bootstrap import Container
from sluicegate.messages import CANCELS, INTAKE, ORDERS
from sluicegate.telemetry.logs import configure_logs
from workers import app as worker_app
from workers import metrics_endpoint

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
    container.ledger  # noqa: B018 - fail now, not at the first order
    metrics_endpoint.serve(container, unique)
    app = worker_app.build(container)
    start(app, unique, QUEUES_OF[queue], concurrency or settings.worker.concurrency)


def start(app: object, name: str, queues: Sequence[str], concurrency: int) -> None:
    """Start Celery's worker in this process, on threads."""
    app.worker_main(  # type: ignore[attr-defined]
        [
            "--quiet",
            "worker",
            f"--hostname={name}@%h",
            f"--queues={','.join(queues)}",
            "--pool=threads",
            f"--concurrency={concurrency}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )
