"""A guard for Celery and kombu 5.7.0, which end the worker process when the broker goes away at a bad moment.

When the connection is lost while a message is unacknowledged, `Consumer.on_connection_error_after_connected`
first collects the transport (its `client` is gone from then on) and then closes the channel again, whose `QoS`
wants to put unacknowledged messages back through that very client: an `AttributeError` ('NoneType' object has no
attribute 'hostname') ends the process. Nothing needs to be put back: the messages are in `unacked` and return
after the visibility timeout.

`tests/e2e/test_outages.py` kills a real broker under a real worker and fails without this guard.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport.redis import QoS

_MARK = "_sluicegate_guard"


def install() -> None:
    """Install the guard, once a process, before the first connection."""
    if getattr(QoS, _MARK, False):
        return
    restore, ack, reject = QoS.restore_unacked, QoS.ack, QoS.reject

    def restore_unacked(self: Any, client: Any = None) -> None:
        if _is_gone(self):
            self._delivered.clear()
            return
        restore(self, client)

    def guarded_ack(self: Any, delivery_tag: str) -> None:
        if _is_gone(self):
            raise redis.ConnectionError("the broker connection is gone; the message returns by itself")
        ack(self, delivery_tag)

    def guarded_reject(self: Any, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        if _is_gone(self):
            raise redis.ConnectionError("the broker connection is gone; the message returns by itself")
        reject(self, delivery_tag, requeue)

    guards = {"restore_unacked": restore_unacked, "ack": guarded_ack, "reject": guarded_reject, _MARK: True}
    for name, guarded in guards.items():
        setattr(QoS, name, guarded)


def _is_gone(qos: Any) -> bool:
    connection = getattr(qos.channel, "connection", None)
    return connection is None or getattr(connection, "client", None) is None
