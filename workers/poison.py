"""Poison: a message that kombu or Celery trips over is recorded and dropped; the worker lives on.

Whoever can write to the broker can put anything into a queue. kombu 5.7 and Celery 5.7 take it for granted that
it is a message: noise, a missing delivery tag or a task name that is a list ends the whole worker process
(`Unrecoverable error`). Once noted as unacknowledged, it comes back after the visibility timeout and ends the next
one. `tests/e2e/test_hostile_messages.py` fails without this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from kombu.transport import redis as transport

log = structlog.get_logger(__name__)

_MARK = "_sluicegate_poison"
_TRIPS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What code raises over a message of the wrong shape. Failures of the connection are other errors, and pass."""


def install(count: Callable[[str], None]) -> None:
    """Install it, once a process, before the first message.

    Args:
        count: is told of each message that is dropped, with the kind of its fault; it never raises.
    """
    if getattr(transport.Transport, _MARK, False):
        return
    _watch(count)
    read: Any = vars(transport)["loads"]
    deliver = transport.Transport._deliver  # noqa: SLF001 - kombu has no hook here

    def guarded_read(text: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return read(text, *arguments, **options)
        except _TRIPS:
            return None  # `guarded_deliver` says so and drops it

    def guarded_deliver(self: Any, message: Any, queue: str) -> None:
        try:
            if not isinstance(message, dict):
                raise TypeError("it is no JSON object")
            deliver(self, message, queue)
        except _TRIPS as e:
            log.error("poison_message", queue=queue, error=type(e).__name__, then="dropped")
            count("malformed")
            _forget(self, message)

    vars(transport)["loads"] = guarded_read
    for name, guarded in {"_deliver": guarded_deliver, _MARK: True}.items():
        setattr(transport.Transport, name, guarded)


def _watch(count: Callable[[str], None]) -> None:
    """Count what Celery itself recognises, logs and drops."""
    receivers = {
        "unknown_task": signals.task_unknown,
        "unreadable": signals.task_rejected,  # its content type or encoding, its times
        "failed": signals.task_failure,  # wrong arguments, or a fault that nobody foresaw
    }
    for kind, signal in receivers.items():
        signal.connect(lambda kind=kind, **_told: count(kind), weak=False)


def _forget(connection: Any, message: Any) -> None:
    """Acknowledge a message that was noted before somebody tripped over it."""
    try:
        tag = message["properties"]["delivery_tag"]
        holders = [channel for channel in connection.channels if tag in channel.qos._delivered]  # noqa: SLF001
    except _TRIPS:
        return  # it never got so far
    for channel in holders:
        channel.basic_ack(tag)
