"""Workers that are told to stop: a warm shutdown finishes what is in flight, a cold one loses nothing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.e2e.test_exactly_once import QUICK, assert_each_exactly_once, requests
from tests.rig import Rig, running, wait_until

FIRST, SECOND = 30, 60


@pytest.fixture(scope="module")
def slow_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run a stack whose exchange is so slow that requests are always on their way."""
    home: Path = tmp_path_factory.mktemp("shutdown")
    with running(home, workers=2, settings=QUICK) as rig:
        rig.control("network", delay_ms=300, jitter_ms=1, seed=1)
        yield rig


def stop(rig: Rig, name: str, how: signal.Signals, in_flight: int) -> int:
    """Send a signal to a worker once requests are on their way, and return its exit status."""
    wait_until(lambda: rig.states()["submitting"] >= in_flight, "requests are on their way")
    process = rig.processes.pop(name)
    process.send_signal(how)
    return process.wait(90)


@contextlib.contextmanager
def task_events(rig: Rig) -> Iterator[dict[str, set[str]]]:
    """Listen to what workers tell Flower: tasks by kind of event."""
    app = Celery(broker=f"redis://127.0.0.1:{rig.port}/0", set_as_current=False)
    seen: dict[str, set[str]] = defaultdict(set)

    def note(event: dict[str, Any]) -> None:
        seen[event["type"]].add(str(event.get("uuid")))

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        listening = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False))
        listening.daemon = True
        listening.start()
        wait_until(lambda: seen, "workers beat")
        yield seen
        receiver.should_stop = True


def lease_losses(rig: Rig) -> int:
    """Count orders whose worker left them behind."""
    from sluicegate.ports import OrderFilter

    ledger = rig.container.ledger
    orders = ledger.list_orders(OrderFilter(limit=1000))
    trails = [ledger.events(order.order_id) for order in orders]
    return sum(event.detail.get("code") == "lease_lost" for trail in trails for event in trail)


def test_warm_shutdown_finishes_what_is_in_flight_and_tells_of_it(slow_rig: Rig) -> None:
    """SIGTERM: the worker waits for its answers and writes them down; nothing is left in doubt behind it.

    Flower learns how its tasks ended; without the last flush a third of them would seem to run for ever.
    """
    with task_events(slow_rig) as seen:
        slow_rig.gate.submit_many(requests(FIRST))
        assert 0 == stop(slow_rig, "w1", signal.SIGTERM, 3)
        assert_each_exactly_once(slow_rig, FIRST)
        assert 0 == lease_losses(slow_rig)
        wait_until(lambda: len(seen["task-succeeded"]) >= FIRST, "events arrive")
    left = seen["task-started"] - seen["task-succeeded"]
    assert len(left) * 10 < len(seen["task-started"]), f"{len(left)} of {len(seen['task-started'])}"


def test_cold_shutdown_loses_nothing(slow_rig: Rig) -> None:
    """SIGQUIT: the worker drops everything; what it held is looked up after its lease, by another."""
    slow_rig.start_worker("w3")
    slow_rig.gate.submit_many(requests(SECOND))
    stop(slow_rig, "w2", signal.SIGQUIT, 3)
    assert_each_exactly_once(slow_rig, SECOND)
