"""Whole crowds of processes and threads on a real server: no rolling window holds more than the limit."""

from __future__ import annotations

import multiprocessing
import threading
import time

from valkey_rig import connect

from sluicegate.domain.errors import BucketDenied
from sluicegate.ports import BucketSpec
from sluicegate.ratelimit.bucket import RedisBuckets


def _send_for(url: str, specs: list[BucketSpec], seconds: float, threads: int) -> list[float]:
    """Take tokens as fast as they come and return when each request was sent (a clock all processes share)."""
    buckets, sent, until = RedisBuckets(connect(url)), [], time.monotonic() + seconds

    def run() -> None:
        while time.monotonic() < until:
            try:
                grant = buckets.acquire(specs, max_wait_s=0.1, lease_s=5)
            except BucketDenied as denied:
                time.sleep(min(denied.retry_after_s, max(0, until - time.monotonic())))
            else:
                time.sleep(grant.wait_s)
                sent.append(time.monotonic())
                buckets.settle(grant, sent=True)

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for member in crew:
        member.start()
    for member in crew:
        member.join()
    return sent


def _most_in_a_window(instants: list[float], window_s: float) -> int:
    ordered = sorted(instants)
    most = first = 0
    for last, instant in enumerate(ordered):
        while instant - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def _take_all(url: str, specs: list[BucketSpec], threads: int) -> int:
    """Take tokens in many threads until each is denied, and return how many were granted."""
    buckets, granted, start = RedisBuckets(connect(url)), [], threading.Barrier(threads)

    def run() -> None:
        start.wait()
        while True:
            try:
                granted.append(buckets.acquire(specs, max_wait_s=0, lease_s=300))
            except BucketDenied:
                return

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for member in crew:
        member.start()
    for member in crew:
        member.join()
    return len(granted)


def test_four_processes_of_ten_threads_are_granted_exactly_the_limit(valkey_url, client):
    """Limits 137 and 200 that nobody gives back: 137 in all pass, whoever they are, and 63 of the 200 are left."""
    specs = [BucketSpec("uid", limit=137), BucketSpec("ip", limit=200, window_s=5.0)]
    client.set("sg:{buckets}:epoch", 1)
    client.script_load(RedisBuckets(client)._acquire.script)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        granted = pool.starmap(_take_all, [(valkey_url, specs, 10)] * 4, chunksize=1)
    assert sum(granted) == 137
    assert [(one.name, one.free) for one in RedisBuckets(client).states()] == [("ip", 63), ("uid", 0)]


def test_four_processes_of_eight_threads_stay_within_the_limit_and_use_it(valkey_url, client):
    """Limit 50/s over 3 s: never more than 50 in any second, and most of the quota is used."""
    specs = [BucketSpec("uid", limit=50), BucketSpec("ip", limit=600, window_s=5.0)]
    client.set("sg:{buckets}:epoch", 1)
    client.script_load(RedisBuckets(client)._acquire.script)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        runs = pool.starmap(_send_for, [(valkey_url, specs, 3.0, 8)] * 4, chunksize=1)
    sent = [instant for run in runs for instant in run]
    assert _most_in_a_window(sent, 1.0) <= 50
    assert len(sent) >= 100


def test_flushall_in_the_middle_lets_no_more_than_the_limit_through(valkey_url, client):
    """Emptied again and again under load: each time the buckets start as if a window had just been spent."""
    specs = [BucketSpec("uid", limit=20, window_s=0.2)]
    sent: list[float] = []
    crew = [threading.Thread(target=lambda: sent.extend(_send_for(valkey_url, specs, 2.0, 4))) for _ in range(4)]
    for member in crew:
        member.start()
    for _ in range(4):
        time.sleep(0.37)
        client.flushall()
    for member in crew:
        member.join()
    assert _most_in_a_window(sent, 0.2) <= 20
    assert len(sent) >= 40
