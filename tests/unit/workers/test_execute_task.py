"""The task of one order tells what became of it, also when a fault was kept apart and left no result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery import Celery

from sluicegate.messages import EXECUTE
from workers import tasks


def test_task_tells_what_became_of_its_order() -> None:
    """A `KeyError` on top of the fault in the log would only hide it."""
    left = {"O-1": "live"}
    container: Any = SimpleNamespace(executor=SimpleNamespace(execute=lambda _ids: left))
    app = Celery("test", broker="memory://", set_as_current=False)
    tasks.register(app, container)
    execute = app.tasks[EXECUTE]
    assert "live" == execute.apply(kwargs={"order_id": "O-1"}).get()
    left.clear()
    assert tasks.UNFORESEEN == execute.apply(kwargs={"order_id": "O-1"}).get()
