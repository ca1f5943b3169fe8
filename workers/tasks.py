"""The tasks: thin; each hands an id to a service and turns the known failures into a log line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, Task

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import (
    ConfigurationError,
    InvalidOrder,
    LedgerConflict,
    LedgerUnavailable,
    SignatureInvalid,
    SluicegateError,
)
from sluicegate.domain.orders import OrderId
from sluicegate.messages import ACCEPT, CHANGE, EXECUTE, EXECUTE_MANY, LOOK
from workers import order_events

log = structlog.get_logger(__name__)

RETRY_ACCEPT_S = 3
UNFORESEEN = "a fault nobody foresaw; see the log of the worker"


def register(app: Celery, container: Container) -> None:
    """Register the tasks that act on orders.

    Args:
        app: the worker's.
        container: its objects.
    """

    @app.task(name=EXECUTE)
    def execute(order_id: str) -> str:
        """Send an order."""
        return _guarded(container, EXECUTE, order_id, lambda known: _execute(container, known))

    @app.task(name=EXECUTE_MANY, bind=True)
    def execute_many(self: Task, order_ids: list[str]) -> str:
        """Send orders that go together."""
        return _execute_many(self, order_ids, container)

    @app.task(name=CHANGE)
    def change(order_id: str) -> str:
        """Carry out the next change of an order."""
        return _guarded(container, CHANGE, order_id, container.changes.carry_out)

    @app.task(name=LOOK)
    def look(order_id: str) -> str:
        """Look at an order on the exchange."""
        return _guarded(container, LOOK, order_id, container.resolver.look)

    @app.task(name=ACCEPT, bind=True, ignore_result=False, max_retries=None)
    def accept(self: Task, order: dict[str, Any] | str, signature: str = "") -> dict[str, Any]:
        """Accept an order from a producer that has the broker and no database."""
        return _accept(self, container, order, signature)


def _guarded(container: Container, task: str, order_id: str, act: Callable[[OrderId], str]) -> str:
    if not _is_id(order_id):
        return _drop(container, task, order_id)
    try:
        result = act(OrderId(order_id))
    except SluicegateError as e:  # the scheduler comes back to the order
        log.error("task_failed", task=task, order_id=order_id, error=type(e).__name__, message=str(e))
        return type(e).__name__
    log.debug("task_done", task=task, order_id=order_id, result=result)
    return result


def _execute(container: Container, order_id: OrderId) -> str:
    return container.executor.execute([order_id]).get(order_id, UNFORESEEN)


def _execute_many(task: Task, order_ids: list[str], container: Container) -> str:
    if not isinstance(order_ids, list) or not all(_is_id(order_id) for order_id in order_ids):
        return _drop(container, EXECUTE_MANY, order_ids)
    known = [OrderId(order_id) for order_id in dict.fromkeys(order_ids)]
    with order_events.shown(task.request, known) as results:
        try:
            results.update(container.executor.execute(known))
        except SluicegateError as e:  # the scheduler comes back to the orders
            log.error("task_failed", task=EXECUTE_MANY, orders=known, error=type(e).__name__, message=str(e))
            return type(e).__name__
    log.debug("task_done", task=EXECUTE_MANY, result=results)
    counts = Counter(results.values())
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _drop(container: Container, task: str, said: object) -> str:
    log.error("poison_message", task=task, order_id=repr(said)[:80], then="dropped")
    container.metrics.poisoned("wrong_id")
    return "poison"


def _is_id(order_id: object) -> bool:
    return isinstance(order_id, str) and 0 < len(order_id) <= 64


def _accept(task: Task, container: Container, order: object, signature: object) -> dict[str, Any]:
    try:
        result = container.intake.accept(order, signature, message_id=str(task.request.id))
    except (InvalidOrder, SignatureInvalid, ConfigurationError, ValueError, RecursionError) as e:
        log.warning("order_refused", error=str(e))
        kind = type(e) if isinstance(e, SignatureInvalid | ConfigurationError) else InvalidOrder
        return {"accepted": False, "error": kind.__name__, "message": str(e)}
    except LedgerUnavailable as e:
        log.error("ledger_unavailable", then=f"again in {RETRY_ACCEPT_S} s")
        raise task.retry(exc=e, countdown=RETRY_ACCEPT_S) from e
    if isinstance(result, LedgerConflict):
        return {"accepted": False, "error": "LedgerConflict", "message": str(result), "order_id": result.order_id}
    return {"accepted": True, **result.to_json()}
