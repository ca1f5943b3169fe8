"""Settlements that are sent later: none on the caller's way, none lost when the process ends by itself."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import redis

from sluicegate.domain.errors import BucketUnavailable
from sluicegate.ports import BucketSpec
from sluicegate.ratelimit.bucket import PREFIX, RedisBuckets
from sluicegate.ratelimit.flusher import Flusher, Settlement

LONG_LEASE_S = 600.0
SPEC = BucketSpec("uid", 5)
PROGRAM = f"""
import sys, redis
from sluicegate.ports import BucketSpec
from sluicegate.ratelimit.bucket import RedisBuckets
buckets = RedisBuckets(redis.Redis.from_url(sys.argv[1]), flush_after_s=0.2)
for _ in range(5):
    grant = buckets.acquire([BucketSpec("uid", 5)], max_wait_s=5, lease_s={LONG_LEASE_S})
    buckets.settle(grant, sent=False)
sys.exit(3)
"""


def is_settled(client: redis.Redis) -> bool:
    """Tell whether every token of the bucket is free, long before its lease ends."""
    return client.zcount(f"{PREFIX}:flight:{SPEC.name}", time.time() * 1_000_000 + 60_000_000, "+inf") == 0


@pytest.fixture
def client(valkey_url: str):
    """Give a client of an empty server."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


def test_settle_costs_the_caller_no_round_trip_and_close_sends_it(client: redis.Redis) -> None:
    """The server hears nothing before the flush, and everything before `close` returns."""
    buckets = RedisBuckets(client, flush_after_s=60)
    grants = [buckets.acquire([SPEC], max_wait_s=5, lease_s=LONG_LEASE_S) for _ in range(3)]
    for grant in grants:
        buckets.settle(grant, sent=False)
    assert not is_settled(client)
    buckets.close()
    assert is_settled(client)


def test_settlements_share_a_round_trip(client: redis.Redis) -> None:
    """What comes while others wait leaves with them."""
    sent: list[int] = []
    flusher = Flusher(lambda settlements: sent.append(len(settlements)), 0.2)
    for _ in range(50):
        flusher.put(Settlement((), ()))
    flusher.close()
    assert sum(sent) == 50
    assert len(sent) <= 3


def test_settlement_reaches_a_server_that_forgot_the_scripts(client: redis.Redis) -> None:
    """A restarted server knows no script: it is told, in the same flush."""
    buckets = RedisBuckets(client, flush_after_s=0.01)
    grant = buckets.acquire([SPEC], max_wait_s=5, lease_s=LONG_LEASE_S)
    client.script_flush()
    buckets.settle(grant, sent=False)
    buckets.close()
    assert is_settled(client)


def test_settlement_after_close_is_sent_at_once(client: redis.Redis) -> None:
    """A thread that outlives the closing loses nothing."""
    buckets = RedisBuckets(client, flush_after_s=0.01)
    grant = buckets.acquire([SPEC], max_wait_s=5, lease_s=LONG_LEASE_S)
    buckets.close()
    buckets.settle(grant, sent=False)
    assert is_settled(client)


def test_flusher_goes_on_after_the_server_was_away() -> None:
    """A flush that fails is logged; the tokens come back by lease, and later settlements are sent."""
    sent: list[Settlement] = []

    def send(settlements: list[Settlement]) -> None:
        if not sent:
            sent.append(Settlement(("failed",), ()))
            raise BucketUnavailable("no answer")
        sent.extend(settlements)

    flusher = Flusher(send, 0.0)
    flusher.put(Settlement(("lost",), ()))
    deadline = time.monotonic() + 60
    while not sent and time.monotonic() < deadline:
        time.sleep(0.005)
    flusher.put(Settlement(("kept",), ()))
    flusher.close()
    assert sent[-1] == Settlement(("kept",), ())


def test_process_that_ends_by_itself_leaves_nothing_unsettled(client: redis.Redis, valkey_url: str) -> None:
    """`sys.exit` right after settling: every lease is settled all the same."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, valkey_url], timeout=90, check=False)
    assert ended.returncode == 3
    assert is_settled(client)
