"""Threads that read gauges outlive what nobody foresaw, and say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from scheduler.gauges import GaugeReader
from scheduler.keys import KeyReader
from sluicegate.bootstrap import Container
from sluicegate.config import Settings


def container(**parts: Any) -> Container:
    """Return the objects of a scheduler, some of them replaced."""
    built = Container(Settings(scheduler={"gauges_interval_s": 0.1}), "scheduler")
    built.__dict__.update(parts)
    return built


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    give_up_at = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def broken() -> None:
    """Fail as a defect of ours does."""
    raise TypeError("nobody foresaw this")


def works() -> None:
    """Read something."""


def test_gauge_reader_outlives_a_defect_and_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read counts as down, the time of the last reading stands still, and the thread goes on."""
    built = container()
    value = built.metrics.registry.get_sample_value
    reader = GaugeReader(built)
    for name, read in {"_read_ledger": broken, "_read_broker": works, "_read_buckets": works}.items():
        monkeypatch.setattr(reader, name, read)
    reader.start()
    wait_for(lambda: value("sluicegate_dependency_up", {"dependency": "broker"}) == 1)
    assert value("sluicegate_dependency_up", {"dependency": "ledger"}) == 0
    assert value("sluicegate_gauges_last_read_timestamp_seconds") == 0
    monkeypatch.setattr(reader, "_read_ledger", works)
    wait_for(lambda: (value("sluicegate_gauges_last_read_timestamp_seconds") or 0) > 0)
    assert value("sluicegate_dependency_up", {"dependency": "ledger"}) == 1
    reader.stop()
    reader.join(60)


def test_key_reader_outlives_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next round asks again."""
    rounds: list[int] = []

    def read(_reader: KeyReader) -> None:
        rounds.append(1)
        broken()

    monkeypatch.setattr("scheduler.keys.RETRY_S", 0.01)
    monkeypatch.setattr(KeyReader, "read", read)
    reader = KeyReader(container())
    reader.start()
    wait_for(lambda: len(rounds) > 1 or not reader.is_alive())
    assert reader.is_alive()
    reader.stop()
    reader.join(60)


def test_key_that_no_longer_ends_shows_no_end() -> None:
    """Bound to an IP, as the doctor advises, a key does not end, and its alert does."""
    key = SimpleNamespace(days_left=3)
    built = container(
        ledger=SimpleNamespace(accounts=lambda: [SimpleNamespace(name="a", uid=1001)]),
        accounts=SimpleNamespace(names=lambda: ["a"]),
        halts=SimpleNamespace(silencing=lambda _account: None),
        valve=SimpleNamespace(key_info=lambda _account: key),
    )
    shown = []
    for days_left in (3, None, None):
        key.days_left = days_left
        KeyReader(built).read()
        labels = {"account": "a"}
        shown.append(
            built.metrics.registry.get_sample_value("sluicegate_api_key_expires_timestamp_seconds", labels)
        )
    assert shown[0] is not None
    assert shown[1:] == [None, None]
