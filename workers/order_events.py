"""Order events: Flower sees each order of a message that carries several, as a task of its own.

Flower knows nothing but Celery's task events. For each order that came in company the worker sends those of a
task `sluicegate.execute`, as if it had come alone: received, started, succeeded, with the order's id, its result
and its time. They ride in the worker's own buffered events: some microseconds an order and no round trip.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import signals

from sluicegate.domain.orders import OrderId
from sluicegate.messages import EXECUTE

_consumers: list[Any] = []
"""The consumer of this process, once it runs: it holds the dispatcher, a new one after each reconnection."""


def install() -> None:
    """Find the worker's dispatcher when the worker is ready."""
    signals.worker_ready.connect(_keep, weak=False)


def _keep(sender: Any, **_arguments: Any) -> None:
    _consumers[:] = [sender]


@contextmanager
def shown(request: Any, order_ids: Sequence[OrderId]) -> Iterator[dict[OrderId, str]]:
    """Show orders while they are worked on.

    Args:
        request: of the task that carries them.
        order_ids: the orders.

    Yields:
        Where to put each order's result; one that has none when this ends is shown as failed.
    """
    tasks = {order_id: f"{request.id}-{number}" for number, order_id in enumerate(order_ids, 1)}
    for order_id, uuid in tasks.items():
        _send("task-received", uuid, name=EXECUTE, args="()", kwargs=str(order_id), retries=0, root_id=request.id)
        _send("task-started", uuid)
    started = time.monotonic()
    results: dict[OrderId, str] = {}
    try:
        yield results
    finally:
        runtime = time.monotonic() - started
        for order_id, uuid in tasks.items():
            if order_id in results:
                _send("task-succeeded", uuid, result=results[order_id], runtime=runtime)
            else:
                _send("task-failed", uuid, exception="see the log of the worker", traceback="")


def _send(kind: str, uuid: str, **fields: Any) -> None:
    for consumer in _consumers:
        dispatcher = getattr(consumer, "event_dispatcher", None)
        if dispatcher is not None and dispatcher.enabled:
            dispatcher.send(kind, uuid=uuid, **fields)
