"""Time of one `acquire` against `PING`: on the same connection, alone, and with sixteen clients at once.

The peer is a PING that was written before, sent and read as the bucket does it; the client's own `ping()`, which
writes its command each time and is slower for it, is told besides.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure, compare
from benchmarks.servers import connect, valkey
from sluicegate.ports import BucketSpec, Lane, LaneKind
from sluicegate.ratelimit.bucket import PREFIX, RedisBuckets

CLIENTS = 16
SPECS = [
    BucketSpec("simulator:1001:/v5/order/create:linear_inverse", 100_000),
    BucketSpec("egress:default", 100_000, 5.0),
]
"""What a cancel asks for, with limits that are never reached."""

BATCH = BucketSpec("simulator:1001:/v5/order/create-batch:linear_inverse", 100_000)
LANES = [
    Lane("/v5/order/create", LaneKind.ALONE, SPECS[0], 1),
    Lane("/v5/order/create-batch", LaneKind.TOGETHER, BATCH, 1),
]
BESIDE = [SPECS[1], BucketSpec("egress:default:orders", 100_000, 5.0)]
"""What an order asks for."""

NO_LANE = [
    Lane("/v5/order/create", LaneKind.ALONE, BucketSpec("simulator:1002:/v5/order/create:linear_inverse", 1), 1)
]
NO_LANE += LANES[1:]
"""Lanes of which the first has no token."""

NAMES = {
    "acquire": "acquire of two buckets",
    "acquire_lane": "acquire of an order: two lanes, two IP buckets",
    "acquire_other": "acquire of an order whose first lane is empty",
}
PEERS = {"written": "PING, written before", "ping": "the client's ping()"}

Timed = dict[str, float]


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure medians; the commands take turns, so all meet the same load."""
    rounds = 10 if full else 5
    figures = []
    with valkey() as url:
        for clients in (1, CLIENTS):
            runs = [_run(url, clients) for _ in range(rounds)]
            figures += [
                compare(
                    f"{name}, {clients} client{'s' * (clients > 1)}, p50",
                    "us",
                    [run[command] for run in runs],
                    peer,
                    [run[ping] for run in runs],
                    digits=1,
                )
                for command, name in NAMES.items()
                for ping, peer in PEERS.items()
            ]
    return figures


def _run(url: str, clients: int) -> Timed:
    """Return the medians over all clients, in microseconds; each client is a process."""
    with connect(url) as admin:
        admin.flushall()
        admin.set(f"{PREFIX}:epoch", 1)
        admin.script_load(RedisBuckets(admin)._acquire.script)  # noqa: SLF001 - or all would wait one window
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(clients)
    results: Any = context.Queue()
    crew = [context.Process(target=_client, args=(url, 4000 // clients, ready, results)) for _ in range(clients)]
    for member in crew:
        member.start()
    timed = [results.get(timeout=120) for _ in crew]
    for member in crew:
        member.join()
    return {name: statistics.median(run[name] for run in timed) for name in (*NAMES, *PEERS)}


def _client(url: str, count: int, ready: Any, results: Any) -> None:
    client = connect(url)
    buckets = RedisBuckets(client)
    commands: dict[str, Callable[[], Any]] = {
        "ping": client.ping,
        "written": lambda: _written_ping(client),
        "acquire": lambda: buckets.acquire(SPECS, max_wait_s=0.5, lease_s=24),
        "acquire_lane": lambda: buckets.acquire_lane(LANES, BESIDE, orders=1, max_wait_s=0.5, lease_s=24),
        "acquire_other": lambda: buckets.acquire_lane(NO_LANE, BESIDE, orders=1, max_wait_s=0.5, lease_s=24),
    }
    for command in commands.values():
        for _ in range(20):
            command()
    times: dict[str, list[float]] = {name: [] for name in commands}
    ready.wait(60)
    for _ in range(count):
        for name, command in commands.items():
            started = time.perf_counter()
            command()
            times[name].append(time.perf_counter() - started)
    results.put({name: statistics.median(values) * 1_000_000 for name, values in times.items()})


def _written_ping(client: Any) -> None:
    """Do what the bucket does, for a command that does nothing."""
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command([b"*1\r\n$4\r\nPING\r\n"])
        connection.read_response()
    finally:
        pool.release(connection)
