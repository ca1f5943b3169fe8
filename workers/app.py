"""The Celery app of a worker process. `celery -A workers.app` works too; `sluicegate worker` is the usual way."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery, signals

from sluicegate.bootstrap import Container
from sluicegate.config import load_settings
from sluicegate.messages import create_app
from workers import guard, order_events, poison, tasks
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
        return build(Container(load_settings(), "worker"))
    raise AttributeError(name)
