"""The peer of the pipeline: a Celery task that only calls pybit. No ledger, no limit, no retry, no trail."""

from __future__ import annotations

import os
import threading

from celery import Celery
from pybit.unified_trading import HTTP

app = Celery("bare", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
if "BENCH_VISIBILITY_S" in os.environ:  # as one must, for a killed worker not to lose its tasks
    _options = {"visibility_timeout": float(os.environ["BENCH_VISIBILITY_S"])}
    app.conf.update(task_acks_late=True, broker_transport_options=_options)
_local = threading.local()


@app.task(name="bare.place")  # type: ignore[untyped-decorator]
def place(order: dict[str, str]) -> None:
    """Send one order."""
    if not hasattr(_local, "client"):
        _local.client = HTTP(api_key="sim-key-2", api_secret="sim-secret-2", timeout=10)
        _local.client.endpoint = os.environ["BENCH_EXCHANGE"]
        _local.client.client.trust_env = False
    _local.client.place_order(**order)
