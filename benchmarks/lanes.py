"""Orders a second of one UID through both lanes, against one: real workers, an endless line, the usual limits.

Counted like the share of the quota, over whole windows, by the exchange's clock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figures import Figure, compare, share_of_quota
from sluicegate import OrderRequest
from tests.rig import Rig, wait_until

WARM_UP = 80
"""Orders that are not counted: full buckets, the floor that is not known yet."""
TAIL = 40
"""Nor are the last ones: who has the last orders of a line in hand may leave a lane empty."""
LIMIT = 10
"""Of each lane, orders a second: Bybit's for linear orders."""

ORDER = {
    "account": "a1",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.001",
    "price": "59000",
    "time_in_force": "IOC",
}


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure one lane, then both."""
    seconds = 60 if full else 20
    one, refused_by_one = _per_second(seconds, both=False)
    two, refused_by_both = _per_second(seconds, both=True)
    return [
        compare("orders per second of one UID, both lanes", "orders/s", [two], "single endpoint alone", [one]),
        compare("10006, both lanes", "refusals", [refused_by_both], "single endpoint alone", [refused_by_one]),
    ]


def _per_second(seconds: int, *, both: bool) -> tuple[float, int]:
    limit = 2 * LIMIT if both else LIMIT
    orders = WARM_UP + seconds * limit + TAIL
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), accounts={"a1": "1001"}, settings={"EXCHANGE__BATCHES": str(both).lower()})
        try:
            rig.start(workers=1)
            rig.control("network", delay_ms=5, jitter_ms=3, seed=7)
            rig.gate.submit_many([OrderRequest.model_validate(ORDER)] * orders)
            wait_until(
                lambda: rig.truth("orders?uid=1001&limit=0")["count"] >= orders,
                f"{orders} orders on the exchange",
                patience_s=240,
            )
            listed = rig.truth("orders?uid=1001")["list"]
            refusals = sum(
                tally["ret_codes"].get("10006", 0)
                for name, tally in rig.truth("stats")["uids"]["1001"].items()
                if "/order/create" in name
            )
        finally:
            rig.stop()
    instants = sorted(float(order["createdTime"]) for order in listed)[WARM_UP:-TAIL]
    return share_of_quota(instants, limit) * limit, refusals
