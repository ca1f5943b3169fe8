"""Delay of account B's orders while account A has 100,000 waiting, against B alone: same stack, same run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, compare, percentile
from sluicegate import OrderRequest
from tests.rig import Rig, wait_until

RATE = 5.0
"""B's orders a second: half of what one of its lanes carries."""

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.001",
    "price": "59000",
    "time_in_force": "IOC",
}


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure B alone, then beside A's backlog."""
    flood, seconds = 100_000, 60.0 if full else 40.0
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), accounts={"a1": "1001", "a2": "1002"})
        try:
            rig.start(workers=1)
            _delays_ms(rig, 5.0)  # connections, sessions
            alone = _delays_ms(rig, seconds)
            request = OrderRequest.model_validate({**ORDER, "account": "a1"})
            for _block in range(flood // 10_000):
                rig.gate.submit_many([request] * 10_000)
            beside = _delays_ms(rig, seconds)
            waiting = rig.states()["accepted"]
        finally:
            rig.stop()
    return [
        compare(
            f"delay to the exchange beside {round(waiting, -3):,} waiting orders of another account, p{share}",
            "ms",
            [percentile(beside, share / 100)],
            "alone",
            [percentile(alone, share / 100)],
            digits=1,
        )
        for share in (50, 99)
    ]


def _delays_ms(rig: Rig, seconds: float) -> list[float]:
    """Hand over B's orders one by one and return how long each takes to the exchange."""
    before = rig.truth("orders?uid=1002&limit=0")["count"]
    request = OrderRequest.model_validate({**ORDER, "account": "a2"})
    handed: dict[str, float] = {}
    start = time.monotonic()
    for number in range(round(seconds * RATE)):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        at_ms = time.time() * 1000
        handed[rig.gate.submit(request).order_link_id] = at_ms
    wait_until(
        lambda: rig.truth("orders?uid=1002&limit=0")["count"] >= before + len(handed),
        "B's orders are on the exchange",
    )
    arrived = {order["orderLinkId"]: float(order["createdTime"]) for order in rig.truth("orders?uid=1002")["list"]}
    return [arrived[link] - at_ms for link, at_ms in handed.items()]
