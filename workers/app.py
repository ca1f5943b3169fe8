"""The Celery app of a worker process. `sluicegate worker` is the usual way to start one.

`celery -A workers.app worker --queues orders,celery` works too, on threads and with `/metrics` like the usual way:
one process holds all the sums. Celery's own choice, processes, would serve none.
"""

from __future__ import annotations

import os
from typing import Any

import structlog
from celery import Celery, signals

from sluicegate.bootstrap import Container
from sluicegate.config import load_settings
from sluicegate.messages import create_app
from workers import guard, metrics_endpoint, order_events, poison, tasks
from workers.connection import SoonConnection

log = structlog.get_logger(__name__)


def build(container: Container) -> Celery:
    """Build the app of a worker.

    Args:
        container: the objects of the process.
    """
    guard.install()
    poison.install(container.metrics.poisoned)
    order_events.install()
    signals.setup_logging.connect(_keep_our_logging, weak=False)
    signals.worker_ready.connect(_say_ready, weak=False)
    app = create_app(container.settings)
    app.amqp.Connection = SoonConnection
    app.conf.update(
        worker_pool="threads",
        worker_concurrency=container.settings.worker.concurrency,
        worker_consumer="workers.consumer:Consumer",
    )
    app.set_current()
    tasks.register(app, container)
    return app


def _keep_our_logging(**_arguments: Any) -> None:
    """Being connected is enough: Celery then leaves the logging alone."""


def _say_ready(**_arguments: Any) -> None:
    log.info("worker_ready")


def __getattr__(name: str) -> Celery:
    """Build the app when Celery's own command asks for it."""
    if name in {"app", "celery"}:
        container = Container(load_settings(), "worker")

        def serve(**_arguments: Any) -> None:
            metrics_endpoint.serve(container, f"celery-{os.getpid()}")

        signals.worker_init.connect(serve, weak=False)
        return build(container)
    raise AttributeError(name)
