"""Messages: the Celery app, its queues, and how a task is told about an order.

A message is a hint that carries order ids. Celery on Redis loses and doubles messages; the ledger decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery
from kombu.entity import Exchange as KombuExchange
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from sluicegate.broker import BrokerConnection
from sluicegate.config import Settings
from sluicegate.domain.batches import Line
from sluicegate.domain.errors import BrokerUnavailable
from sluicegate.domain.orders import OrderId
from sluicegate.ports import Standing

ORDERS, CANCELS, CONTROL = "orders", "cancels", "control"
INTAKE = "celery"
"""Celery's default queue: where a plain `send_task` of a foreign app arrives."""
QUEUES = (ORDERS, CANCELS, CONTROL, INTAKE)

EXECUTE = "sluicegate.execute"
EXECUTE_MANY = "sluicegate.execute_many"
CHANGE = "sluicegate.change"
LOOK = "sluicegate.look"
ACCEPT = "sluicegate.accept"
RELEASE = "sluicegate.release"
RELEASE_EXPIRES_S = 2.0
"""A release that waited longer is dropped: the scheduler's next one does its work."""

VISIBILITY_TIMEOUT_S = 120
"""Longer than any task of ours. Short, because a killed worker's messages come back only after it."""


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the Celery configuration.

    Every value was chosen against kombu 5.7 on Valkey; the reasons are in `docs/celery.md`.
    """
    broker = settings.broker_address
    return {
        "broker_url": broker,
        "result_backend": broker,  # for `sluicegate.accept` alone; every other task ignores its result
        "result_expires": 3600,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_pool_limit": 10,
        "broker_pool_acquire_timeout": 5,
        "broker_connection_timeout": 4,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "retry_on_timeout": False,
        },
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_eta_task_limit": 100,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_publish_retry_policy": {
            "max_retries": 2,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        "task_queues": [Queue(name, KombuExchange(name, type="direct"), routing_key=name) for name in QUEUES],
        "task_default_queue": ORDERS,
        "task_default_exchange": ORDERS,
        "task_default_routing_key": ORDERS,
        "task_create_missing_queues": False,
        "task_routes": {
            EXECUTE: {"queue": ORDERS},
            EXECUTE_MANY: {"queue": ORDERS},
            ACCEPT: {"queue": ORDERS},
            CHANGE: {"queue": CANCELS},
            "sluicegate.*": {"queue": CONTROL},
        },
        "timezone": "UTC",
        "enable_utc": True,
    }


def create_app(settings: Settings) -> Celery:
    """Build a Celery app that can publish; workers register their tasks on it."""
    app = Celery("sluicegate", set_as_current=False)
    app.conf.update(celery_settings(settings))
    app.amqp.Connection = BrokerConnection
    return app


class CeleryPublisher:
    """Publishes hints; see `sluicegate.ports.Publisher`.

    A failed publish means "perhaps": the scheduler publishes the order again, and a message that comes twice
    claims nothing the second time.

    Args:
        app: sends.
        client: reads the lengths of the queues.
    """

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._client = client

    def publish_orders(self, companies: Sequence[Mapping[OrderId, str]]) -> None:
        """Tell workers that orders are due, with one message a company."""
        with self._producing() as producer:
            for company in companies:
                if len(company) == 1:
                    [(order_id, line)] = company.items()
                    self._send(EXECUTE, {"order_id": order_id}, f"{order_id} {line}", producer)
                else:
                    shown = ", ".join(company.values())
                    self._send(EXECUTE_MANY, {"order_ids": list(company)}, shown, producer)

    def publish_release(self) -> None:
        """Tell the scheduler that orders are due."""
        with self._producing() as producer:
            self._app.send_task(
                RELEASE, producer=producer, retry=False, ignore_result=True, expires=RELEASE_EXPIRES_S
            )

    def publish_change(self, order_id: OrderId, described: str) -> None:
        """Tell workers that an order has an open change."""
        self._publish(CHANGE, order_id, described)

    def publish_look(self, order_id: OrderId, described: str) -> None:
        """Tell a control worker to look at an order on the exchange."""
        self._publish(LOOK, order_id, described)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()

    def standing(self, lines: Collection[Line]) -> Standing:
        """Return how the broker stands; see the port."""
        asked = list(lines)
        with _answering():
            pipe = self._client.pipeline(transaction=False)
            pipe.llen(ORDERS)
            if asked:
                pipe.mget([_waiting_key(line) for line in asked])
            messages, *marks = pipe.execute()
        found = marks[0] if marks else []
        return Standing(int(messages), frozenset(line for line, mark in zip(asked, found, strict=True) if mark))

    def note_waiting(self, lines: Mapping[Line, bool], for_s: float) -> None:
        """Let producers know whether lines wait; see the port."""
        with _answering():
            pipe = self._client.pipeline(transaction=False)
            for line, is_waiting in lines.items():
                if is_waiting:
                    pipe.set(_waiting_key(line), 1, px=round(for_s * 1000))
                else:
                    pipe.delete(_waiting_key(line))
            pipe.execute()

    def lengths(self) -> dict[str, int]:
        """Return how many messages wait in each queue, and how many are in workers' hands (`unacked`).

        Raises:
            BrokerUnavailable: no answer.
        """
        with _answering():
            pipe = self._client.pipeline(transaction=False)
            for name in QUEUES:
                pipe.llen(name)
            pipe.hlen("unacked")
            return dict(zip((*QUEUES, "unacked"), map(int, pipe.execute()), strict=True))

    def _publish(self, task: str, order_id: OrderId, line: str) -> None:
        with self._producing() as producer:
            self._send(task, {"order_id": order_id}, f"{order_id} {line}", producer)

    @contextmanager
    def _producing(self) -> Iterator[Any]:
        try:
            with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
                yield producer
        except (OperationalError, redis.RedisError, OSError, TimeoutError) as e:
            raise BrokerUnavailable(f"the broker does not take messages: {type(e).__name__}") from e

    def _send(self, task: str, content: dict[str, Any], shown: str, producer: Any) -> None:
        self._app.send_task(
            task,
            kwargs=content,
            kwargsrepr=shown,
            producer=producer,
            retry=False,
            ignore_result=True,
        )


def _waiting_key(line: Line) -> str:
    account, category = line
    return f"sg:waiting:{account}:{category}"


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as e:
        raise BrokerUnavailable(f"the broker does not answer: {type(e).__name__}") from e
