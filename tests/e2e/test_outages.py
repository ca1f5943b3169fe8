"""A part of the stack goes away: a clear error, nothing lost, and everything goes on when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluicegate.domain.errors import LedgerUnavailable
from sluicegate.domain.lifecycle import State
from tests.e2e.test_exactly_once import QUICK, assert_each_exactly_once, requests
from tests.rig import running, wait_until


def test_broker_that_dies_under_load_ends_no_worker_and_loses_no_order(tmp_path: Path) -> None:
    """kombu 5.7.0 ends a worker whose broker goes away with a message in its hands; the guard keeps it alive."""
    with running(tmp_path, workers=1, settings=QUICK) as rig:
        rig.control("network", delay_ms=250, jitter_ms=1, seed=1)  # a request is always on its way
        rig.gate.submit_many(requests(90))
        for number in (90, 95):
            before = rig.states()["live"]
            wait_until(lambda seen=before: rig.states()["live"] >= seen + 6, "orders move")
            assert rig.valkey is not None
            rig.stop_broker()
            accepted = rig.gate.submit_many(requests(number + 5))[number:]
            assert {State.ACCEPTED} == {receipt.state for receipt in accepted}
            rig.start_broker()
        assert_each_exactly_once(rig, 100)
        assert all(process.poll() is None for process in rig.processes.values())


def test_scheduler_that_dies_is_replaced_by_the_other(tmp_path: Path) -> None:
    """Two schedulers, one ticks; killed, the other takes over and releases what is due."""
    with running(tmp_path, workers=1, schedulers=2, settings=QUICK) as rig:
        rig.gate.submit_many(requests(5))
        wait_until(lambda: rig.states()["live"] == 5, "both run")
        rig.kill(wait_until(rig.ticking, "one scheduler ticks"))
        rig.gate.submit_many(requests(60))  # more than the quota: the rest waits for the scheduler
        wait_until(lambda: rig.states()["live"] == 60, "the other scheduler releases")


def test_exchange_that_is_down_keeps_orders_waiting(tmp_path: Path) -> None:
    """No exchange: orders stay accepted; when it is back they go out."""
    with running(tmp_path, workers=1, settings=QUICK) as rig:
        rig.gate.submit_many(requests(3))
        wait_until(lambda: rig.states()["live"] == 3, "the first orders are live")
        url = rig.simulator_url
        rig.kill("simulator")
        rig.gate.submit_many(requests(9))
        wait_until(lambda: rig.events("w1", "exchange_call_failed"), "a failed call")
        assert 6 == sum(rig.states()[state] for state in ("accepted", "submitting", "in_doubt"))
        rig.start_simulator(port=int(url.rsplit(":", 1)[1]))
        wait_until(lambda: rig.states()["live"] == 9, "all are live", patience_s=120)


def test_ledger_that_is_down_accepts_nothing_and_says_so(tmp_path: Path, postgres_url: str) -> None:
    """No ledger: submit fails with a clear error and without a secret; nothing is half accepted."""
    from sluicegate import Sluicegate
    from sluicegate.bootstrap import Container
    from sluicegate.config import load_settings

    broken = postgres_url.replace("127.0.0.1:", "127.0.0.1:1")  # a port that does not exist or answer
    settings = load_settings(
        ledger_url=broken,
        broker_url="redis://127.0.0.1:1/0",
        home=tmp_path,
        accounts={"a1": {"environment": "simulator", "api_key_env": "K", "api_secret_env": "S"}},
    )
    gate = Sluicegate(Container(settings, "producer"))
    with pytest.raises(LedgerUnavailable) as caught:
        gate.submit(requests(1)[0])
    assert "s3cret" not in str(caught.value)
    gate.close()
