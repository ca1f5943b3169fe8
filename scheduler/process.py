"""One scheduler process: Beat, and the control worker that does what Beat calls for."""

from __future__ import annotations

import os
from itertools import product
from typing import Any

from celery import signals

from scheduler import tasks as scheduler_tasks
from scheduler.beat import BeatThread, connect
from scheduler.gauges import GaugeReader
from scheduler.keys import KeyReader
from scheduler.pages import PageSender
from sluicegate.bootstrap import Container
from sluicegate.domain.lifecycle import State
from sluicegate.domain.records import Severity
from sluicegate.messages import CONTROL
from sluicegate.paging.receivers import Reached
from sluicegate.telemetry.logs import configure_logs
from workers import app as worker_app
from workers import metrics_endpoint
from workers.process import start

CONCURRENCY = 8


def run(container: Container, *, name: str | None) -> None:
    """Run a scheduler until it is told to stop. Several may run: one ticks, all do the work.

    Args:
        container: the objects of the process.
        name: unique on this host; `scheduler-PID` when None.

    Raises:
        ConfigurationError, LedgerUnavailable: the process cannot start.
    """
    settings = container.settings
    unique = name or f"scheduler-{os.getpid()}"
    configure_logs(settings.log_level, settings.log_format, process=unique)
    container.prepare()
    ask_comparisons(container)
    show_counters(container)
    metrics_endpoint.serve(container, unique)
    app = worker_app.build(container)
    scheduler_tasks.register(app, container)
    app.conf.update(
        beat_schedule=scheduler_tasks.schedule(settings.scheduler),
        beat_max_loop_interval=1,
        redbeat_key_prefix="sg:redbeat",
        redbeat_lock_timeout=settings.scheduler.lock_timeout_s,
    )
    connect(app, settings.broker_address)
    threads = BeatThread(app), GaugeReader(container), KeyReader(container), PageSender(container)

    def on_ready(**_arguments: Any) -> None:
        for thread in threads:
            thread.start()

    def on_stop(**_arguments: Any) -> None:
        for thread in threads:
            thread.stop()

    signals.worker_ready.connect(on_ready, weak=False)
    signals.worker_shutting_down.connect(on_stop, weak=False)
    start(app, unique, (CONTROL,), CONCURRENCY)


def ask_comparisons(container: Container) -> None:
    """Have every account compared with the exchange soon, whatever happened while nobody did.

    Args:
        container: the objects of the process.
    """
    for account in container.accounts.names():
        container.ledger.ask_reconcile(account, container.clock.now())


def show_counters(container: Container) -> None:
    """Show at 0 what alerts read of counters, so that it is there whichever scheduler pages, and after a restart.

    Args:
        container: the objects of the process.
    """
    pages = product((severity.value for severity in Severity), (reached.value for reached in Reached))
    container.metrics.show("pages_total", pages)
    dead = ((account, State.DEAD.value) for account in container.settings.accounts)
    container.metrics.show("orders_total", dead)
