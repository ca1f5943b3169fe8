"""500 orders through real processes: each on the exchange exactly once, whatever breaks on the way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sluicegate.domain.orders import OrderRequest
from tests.rig import Rig, running, wait_until

ORDERS = 500
QUICK = {
    "EXCHANGE__READ_TIMEOUT_S": "3",
    "EXCHANGE__CONNECT_TIMEOUT_S": "2",
    "EXCHANGE__LEASE_S": "6",
    "WORKER__REPUBLISH_S": "4",
    "SCHEDULER__LOCK_TIMEOUT_S": "5",
}


def requests(count: int) -> list[OrderRequest]:
    """Return orders for three accounts in turn."""
    return [
        OrderRequest(
            account=f"a{i % 3 + 1}",
            category="linear",
            symbol=("BTCUSDT", "ETHUSDT")[i % 2],
            side="Buy",
            order_type="Limit",
            qty="0.01",
            price=("59000", "2900")[i % 2],
            client_order_id=f"e2e-{i}",
        )
        for i in range(count)
    ]


def assert_each_exactly_once(rig: Rig, count: int) -> None:
    """Compare ledger and exchange order by order, and the exchange's own record of its limits."""
    wait_until(lambda: rig.states()["live"] == count, f"{count} orders are live", patience_s=180)
    on_exchange = rig.exchange_orders()
    assert count == sum(on_exchange.values())
    assert {1} == set(on_exchange.values())
    for uid, endpoints in rig.truth("stats")["uids"].items():
        for endpoint, figures in endpoints.items():
            assert "10006" not in figures["ret_codes"], (uid, endpoint, figures)
            assert figures["max_per_second"] <= figures["limit"], (uid, endpoint, figures)


def test_orders_submitted_to_four_workers_are_on_the_exchange_exactly_once(tmp_path: Path) -> None:
    """500 orders, 3 accounts, 4 workers: 500 on the exchange, no 10006, no rolling second above the limit."""
    with running(tmp_path, workers=4, settings=QUICK) as rig:
        receipts = rig.gate.submit_many(requests(ORDERS))
        assert ORDERS == len({receipt.order_id for receipt in receipts})
        assert_each_exactly_once(rig, ORDERS)


def test_orders_survive_a_killed_worker_and_an_emptied_broker(tmp_path: Path) -> None:
    """SIGKILL of a worker and FLUSHALL in the middle: still exactly 500."""
    with running(tmp_path, workers=4, settings=QUICK) as rig:
        # a slow exchange, so that the kill meets requests on their way
        rig.control("network", delay_ms=60, jitter_ms=20, seed=1)
        submitting = threading.Thread(target=rig.gate.submit_many, args=(requests(ORDERS),))
        submitting.start()
        wait_until(lambda: rig.states()["live"] >= 60, "a part of the orders is live")
        rig.kill("w2")
        wait_until(lambda: rig.states()["live"] >= 150, "the others go on")
        rig.redis().flushall()
        submitting.join()
        rig.start_worker("w5", wait=False)
        assert_each_exactly_once(rig, ORDERS)


@pytest.mark.parametrize("workers", [2])
def test_orders_go_out_from_a_postgresql_ledger(tmp_path: Path, postgres_url: str, workers: int) -> None:
    """The same on PostgreSQL, with two schedulers at once."""
    options = {"workers": workers, "schedulers": 2, "ledger_url": postgres_url, "settings": QUICK}
    with running(tmp_path, **options) as rig:
        rig.gate.submit_many(requests(120))
        assert_each_exactly_once(rig, 120)
