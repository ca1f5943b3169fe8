"""Delay of account B's orders while account A hands over 300,000, and while they wait; same stack, same run.

A is a producer process of its own, which hands its orders over as fast as the ledger takes them. B's delay counts
from the instant an order was due, so one that is slow to hand over does not hide those due behind it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure, compare, percentile
from sluicegate import OrderRequest
from tests.rig import Rig, wait_until

FLOOD = 300_000
RATE = 8.0
"""B's orders a second: less than one of its lanes carries."""
REST_S = 3.0
"""What came first went out at once when the buckets opened; its tokens come back."""
LEAST = 200
"""Fewer delays tell no p99."""

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.001",
    "price": "59000",
    "time_in_force": "IOC",
}


def measure(full: bool) -> Iterator[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure B alone, beside A's flood, and beside A's backlog."""
    seconds = 60.0 if full else 40.0
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), accounts={"a1": "1001", "a2": "1002"})
        try:
            rig.start(workers=1)
            _delays_ms(rig, lasting(5.0))  # connections, sessions
            time.sleep(REST_S)
            alone = _delays_ms(rig, lasting(seconds))
            with _flood(rig) as is_pouring:
                while_pouring = _delays_ms(rig, is_pouring)
            waiting = rig.states()["accepted"]
            beside = _delays_ms(rig, lasting(seconds))
        finally:
            rig.stop()
    yield from _figures(f"while another account hands over {FLOOD:,} orders", while_pouring, alone)
    yield from _figures(f"beside {round(waiting, -3):,} waiting orders of another account", beside, alone)


def _figures(when: str, delays_ms: list[float], alone: list[float]) -> Iterator[Figure]:
    for share in (50, 99):
        if share == 99 and len(delays_ms) < LEAST:
            raise SystemExit(f"only {len(delays_ms)} orders {when}: too few for a p99, hand over more")
        name = f"delay to the exchange {when}, p{share}"
        runs, peer_runs = [percentile(delays_ms, share / 100)], [percentile(alone, share / 100)]
        yield compare(name, "ms", runs, "alone", peer_runs, digits=1)


def lasting(seconds: float) -> Callable[[], bool]:
    """Return what is true for so long from now on."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


@contextmanager
def _flood(rig: Rig) -> Iterator[Callable[[], bool]]:
    """Let another process hand over A's orders; yields what tells whether it still does."""
    orders = rig.home / "flood.jsonl"
    orders.write_text((json.dumps({**ORDER, "account": "a1"}) + "\n") * FLOOD)
    command = [sys.executable, "-m", "sluicegate.cli", "submit", str(orders), "--json"]
    with subprocess.Popen(command, env=rig.environment(), stdout=subprocess.DEVNULL) as producer:
        yield lambda: producer.poll() is None
    if producer.returncode != 0:
        raise SystemExit(f"the flood ended with status {producer.returncode}")


def _delays_ms(rig: Rig, goes_on: Callable[[], bool]) -> list[float]:
    """Hand over B's orders one by one and return how long after it was due each is on the exchange."""
    before = rig.truth("orders?uid=1002&limit=0")["count"]
    request = OrderRequest.model_validate({**ORDER, "account": "a2"})
    due: dict[str, float] = {}
    start_s = time.time()  # one host, one clock: the simulator's
    while goes_on():
        due_s = start_s + len(due) / RATE
        time.sleep(max(0.0, due_s - time.time()))
        due[rig.gate.submit(request).order_link_id] = due_s * 1000
    wait_until(
        lambda: rig.truth("orders?uid=1002&limit=0")["count"] >= before + len(due),
        "B's orders are on the exchange",
    )
    arrived = {order["orderLinkId"]: float(order["createdTime"]) for order in rig.truth("orders?uid=1002")["list"]}
    return [arrived[link] - due_ms for link, due_ms in due.items()]
