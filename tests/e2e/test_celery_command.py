"""`celery -A workers.app worker` is a worker like any other: threads, one `/metrics` with all sums."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from sluicegate import OrderRequest
from tests.rig import Rig, free_port, wait_until

ORDER = {
    "account": "a1",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.001",
    "price": "59000",
}

COUNTED = 'sluicegate_orders_total{account="a1",state="live"} 1.0'


def test_worker_of_celerys_own_command_serves_its_metrics(tmp_path: Path) -> None:
    """Asked for processes it takes threads all the same; an order that it sent is in its sums."""
    rig = Rig(tmp_path, accounts={"a1": "1001"})
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "orders,celery"]
    command += ["-P", "prefork"]
    worker = None
    try:
        rig.start(workers=0)
        environment = {**rig.environment(), "SLUICEGATE_WORKER__METRICS_PORT": str(port)}
        with (tmp_path / "celery.log").open("wb") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        receipt = rig.gate.submit(OrderRequest.model_validate(ORDER))
        wait_until(lambda: rig.gate.status(receipt.order_id).state == "live", "the order is live")
        wait_until(lambda: COUNTED in httpx.get(f"http://127.0.0.1:{port}/metrics").text, "the order is counted")
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(60)
        rig.stop()
