"""The whole pipeline without a quota, against a bare Celery task: delay to the wire, orders a second, CPU time.

Both run on the same broker and the same simulator, one worker process of sixteen threads each. The pipeline also
writes its ledger (SQLite), takes tokens, follows each order to its end by its stream and serves metrics; the bare
task does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.figures import Figure, compare, percentile
from sluicegate import OrderRequest
from tests.rig import Rig, wait_until

RATE = 10.0
UNLIMITED = 100_000
ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "timeInForce": "IOC", "qty": "0.001"}
PEER = "bare Celery task"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Side:
    """One of the two.

    Attributes:
        send: hands orders over; returns their link ids.
        pids: the processes that work for it, besides this one.
        uid: on the exchange.
        sent: orders so far.
        delays_ms: from handing over to the arrival, at `RATE`.
        per_second: orders, in each run.
        cpu_ms: of all processes and this one, per order, in each run.
    """

    send: Callable[[int], list[str]]
    pids: Sequence[int]
    uid: int
    sent: int = 0
    delays_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def measure(full: bool) -> Iterator[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure both sides in turn, orders one a request and then through batches."""
    for batches in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            rig = Rig(Path(folder), accounts={"a1": "1001"}, settings={"EXCHANGE__BATCHES": str(batches).lower()})
            try:
                rig.start(workers=1)
                rig.start_stream("st1")
                with _bare_worker(rig) as pid:
                    orders = (2000 if full else 600) * (5 if batches else 1)
                    sides = _race(rig, pid, rounds=3, orders=orders, trickles=not batches)
                    yield from _figures(*sides, how="through batches" if batches else "one a request")
            finally:
                rig.stop()


def _race(rig: Rig, bare_pid: int, *, rounds: int, orders: int, trickles: bool) -> tuple[Side, Side]:
    price = _lift_limits(rig)
    ours = [rig.processes[name].pid for name in rig.processes if name != "simulator"]
    sides = Side(_pipeline(rig, price), ours, 1001), Side(_bare(rig, price), [bare_pid], 1002)
    for side in sides:
        _arrivals(rig, side, side.send(20), 60)  # connections, sessions, and the true limit of the UID
    for side in sides if trickles else ():
        _trickle(rig, side, seconds=15.0)
    for _round in range(rounds):
        for side in sides:
            _flood(rig, side, orders)
    return sides


def _figures(ours: Side, bare: Side, how: str) -> list[Figure]:
    named: list[tuple[str, str, list[float], list[float]]] = [
        (
            f"enqueue to wire at {RATE:g} orders/s, p{round(share * 100)}",
            "ms",
            [percentile(ours.delays_ms, share)],
            [percentile(bare.delays_ms, share)],
        )
        for share in (0.5, 0.99)
        if ours.delays_ms
    ]
    named += [
        (f"orders per second, one worker, {how}", "orders/s", ours.per_second, bare.per_second),
        (f"CPU per order, all processes of the side, {how}", "ms", ours.cpu_ms, bare.cpu_ms),
    ]
    return [compare(name, unit, runs, PEER, peer_runs, digits=2) for name, unit, runs, peer_runs in named]


def _lift_limits(rig: Rig) -> str:
    """Let nothing hold orders back; returns a price that fills nothing and is near enough for the price collar."""
    for uid in (1001, 1002):
        for path in ("/v5/order/create", "/v5/order/create-batch"):
            rig.control("limits", uid=uid, endpoint=path, category="linear", limit=UNLIMITED)
    rig.lift_ip_limit()
    rig.control("market", symbol="BTCUSDT", price="60000")
    return "59000"


def _pipeline(rig: Rig, price: str) -> Callable[[int], list[str]]:
    def send(many: int) -> list[str]:
        request = OrderRequest(
            account="a1",
            category="linear",
            symbol="BTCUSDT",
            side="Buy",
            order_type="Limit",
            qty="0.001",
            price=price,
            time_in_force="IOC",
        )
        receipts: list[Any] = rig.gate.submit_many([request] * many)
        return [receipt.order_link_id for receipt in receipts]

    return send


def _bare(rig: Rig, price: str) -> Callable[[int], list[str]]:
    app = Celery(broker=_broker(rig), set_as_current=False)
    app.conf.task_ignore_result = True
    numbers = count()

    def send(many: int) -> list[str]:
        links = [f"bare-{next(numbers)}" for _ in range(many)]
        for link in links:
            order = {**ORDER, "orderType": "Limit", "price": price, "orderLinkId": link}
            app.send_task("bare.place", args=[order])
        return links

    return send


def _broker(rig: Rig) -> str:
    return f"redis://127.0.0.1:{rig.port}/5"


@contextmanager
def _bare_worker(rig: Rig) -> Iterator[int]:
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_task", "worker", "-P", "threads", "-c", "16"]
    command += ["-l", "INFO"]
    environment = {**os.environ, "BENCH_BROKER": _broker(rig), "BENCH_EXCHANGE": rig.simulator_url}
    path = rig.home / "bare.log"
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: " ready." in path.read_text(), "the bare worker is ready")
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _trickle(rig: Rig, side: Side, *, seconds: float) -> None:
    """Hand over orders one by one and note how long each takes to the exchange."""
    handed: dict[str, float] = {}
    start = time.monotonic()
    for number in range(round(seconds * RATE)):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        at_ms = time.time() * 1000
        handed[side.send(1)[0]] = at_ms
    arrived = _arrivals(rig, side, list(handed), 60)
    side.delays_ms = [arrived[link] - at_ms for link, at_ms in handed.items()]


def _flood(rig: Rig, side: Side, orders: int) -> None:
    """Hand over many orders at once and note how fast they arrive, the handing over included."""
    cpu_s, from_ms = _cpu_s(side.pids), time.time() * 1000
    arrived = _arrivals(rig, side, side.send(orders), 180).values()
    side.per_second.append(orders / (max(arrived) - from_ms) * 1000)
    side.cpu_ms.append((_cpu_s(side.pids) - cpu_s) / orders * 1000)


def _arrivals(rig: Rig, side: Side, links: Sequence[str], patience_s: float) -> dict[str, float]:
    """Wait until all orders are on the exchange; returns when each was accepted, ms."""
    side.sent += len(links)
    path = f"orders?uid={side.uid}"
    wait_until(
        lambda: rig.truth(f"{path}&limit=0")["count"] >= side.sent,
        f"{len(links)} orders of {side.uid} on the exchange",
        patience_s=patience_s,
    )
    wanted = set(links)
    listed = rig.truth(path)["list"]
    return {
        order["orderLinkId"]: float(order["createdTime"]) for order in listed if order["orderLinkId"] in wanted
    }


def _cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU time of these processes and this one, seconds."""
    total = time.process_time()
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(after_name[11]) + int(after_name[12])) * _TICK_S
    return total
