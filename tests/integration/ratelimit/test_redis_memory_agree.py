"""Buckets in Redis and in memory answer alike, to the microsecond.

The Lua runs on a real server and reads a clock moved by hand: the test, not the product, puts another command in
the place of `TIME`. Every other line is the one that runs in production.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import Buckets, BucketSpec, Grant, Lane, LaneGrant, LaneKind, Trip
from sluicegate.ratelimit import arrival, bucket, memory
from sluicegate.ratelimit.bucket import RedisBuckets
from sluicegate.ratelimit.lease import ready_us
from sluicegate.ratelimit.memory import MemoryBuckets

TIME = "redis.call('TIME')"
HAND_TIME = "redis.call('HMGET', 'hand:{buckets}', 's', 'us')"
OPERATIONS = ("acquire", "settle", "block", "peek")

_script_text = bucket.script_text


class SharedClock:
    """A clock moved by hand that both kinds of bucket read."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.now_us = self.latest_us = 1_795_000_000_000_000
        self.sleep(0)

    def now(self) -> datetime:
        """Return the time as a date."""
        return datetime.fromtimestamp(self.monotonic(), UTC)

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now_us / 1_000_000

    def sleep(self, seconds: float) -> None:
        """Move the clock, also the server's; it may be set back."""
        self.now_us += round(seconds * 1_000_000)
        self.latest_us = max(self.latest_us, self.now_us)
        s, us = divmod(self.now_us, 1_000_000)
        self._client.hset("hand:{buckets}", mapping={"s": s, "us": us})


class Pair:
    """The two kinds of bucket, asked the same."""

    def __init__(self, client: redis.Redis, patch: pytest.MonkeyPatch) -> None:
        client.flushall()
        patch.setattr(bucket, "script_text", lambda operation: _script_text(operation).replace(TIME, HAND_TIME))
        self.asked = 0
        for module in (bucket, memory):
            patch.setattr(module, "new_nonce", lambda: f"{self.asked:04}")
        self.client = client
        self.clock = SharedClock(client)
        self.kinds: tuple[Buckets, Buckets] = (RedisBuckets(client), MemoryBuckets(self.clock))
        self.held: list[Grant] = []
        self.settled: list[Grant] = []

    def acquire(self, specs: list[BucketSpec], max_wait_s: float) -> None:
        """Ask both; keep a grant."""
        self.asked += 1
        redis_answer, memory_answer = (_ask(kind, specs, max_wait_s) for kind in self.kinds)
        assert memory_answer == redis_answer
        if isinstance(memory_answer, Grant):
            self.held.append(memory_answer)

    def acquire_lane(self, lanes: list[Lane], beside: list[BucketSpec], orders: int, max_wait_s: float) -> None:
        """Ask both for orders that may take any of these lanes; keep the grants."""
        self.asked += 1
        redis_answer, memory_answer = (_ask_lane(kind, lanes, beside, orders, max_wait_s) for kind in self.kinds)
        assert memory_answer == redis_answer
        if isinstance(memory_answer, LaneGrant):
            assert 1 <= memory_answer.orders <= orders
            self.held += memory_answer.grants

    def settle(
        self, index: int, *, sent: bool, observed: RateHeaders | None = None, late_ms: int | None = None
    ) -> None:
        """Settle one of the grants kept, with both; `late_ms` on an exchange that is a day ahead."""
        if self.held:
            grant = self.held.pop(index % len(self.held))
            sent_ms = ready_us(grant.lease_id) // 1000
            trip = None if late_ms is None else Trip("simulator", 0.0015, sent_ms + 86_400_000 + late_ms)
            for kind in self.kinds:
                kind.settle(grant, sent=sent, observed=observed, trip=trip)
            self.settled.append(grant)

    def settle_again(self, index: int, *, sent: bool) -> None:
        """Settle once more, with both, what was settled."""
        if self.settled:
            for kind in self.kinds:
                kind.settle(self.settled[index % len(self.settled)], sent=sent)

    def die(self, index: int) -> None:
        """Let nobody settle one of the grants kept."""
        if self.held:
            self.held.pop(index % len(self.held))

    def block(self, spec: BucketSpec, for_s: float, *, is_refusal: bool = False) -> None:
        """Block a bucket in both."""
        for kind in self.kinds:
            kind.block(spec, for_s=for_s, is_refusal=is_refusal)

    def forget(self) -> None:
        """Empty both."""
        self.client.flushall()
        self.clock.sleep(0)
        self.kinds[1].forget()

    def check(self) -> None:
        """Compare what both show."""
        assert self.kinds[0].states() == self.kinds[1].states()

    def rest(self) -> None:
        """Be quiet for as long as a token may be away, whatever happened: in both all are back."""
        self.acquire([BucketSpec("uid", limits["uid"])], 0.0)  # an empty key space begins with who asks first
        self.clock.sleep(max(0.0, (self.clock.latest_us - self.clock.now_us) / 1_000_000) + 30)
        self.check()
        assert all(state.free == state.limit for state in self.kinds[0].states())


def _ask(kind: Buckets, specs: list[BucketSpec], max_wait_s: float) -> Grant | float:
    try:
        return kind.acquire(specs, max_wait_s=max_wait_s, lease_s=3)
    except BucketDenied as denied:
        return denied.retry_after_s


def _ask_lane(
    kind: Buckets, lanes: list[Lane], beside: list[BucketSpec], orders: int, max_wait_s: float
) -> LaneGrant | float:
    try:
        return kind.acquire_lane(lanes, beside, orders=orders, max_wait_s=max_wait_s, lease_s=3)
    except BucketDenied as denied:
        return denied.retry_after_s


limits = {"uid": 3, "batch": 5, "ip": 7}
windows = {"uid": 1.0, "batch": 1.0, "ip": 2.5}
specs = st.builds(
    lambda name, cost: BucketSpec(name, limits[name], windows[name], cost),
    st.sampled_from(sorted(limits)),
    st.integers(1, 3),
)
ALONE = Lane("/create", LaneKind.ALONE, BucketSpec("uid", 3))
TOGETHER = Lane("/create-batch", LaneKind.TOGETHER, BucketSpec("batch", 5), 1)
BY_REQUEST = Lane("/create-batch", LaneKind.TOGETHER, BucketSpec("batch", 5), 0)
lanes = st.sampled_from([[ALONE], [TOGETHER], [ALONE, TOGETHER], [TOGETHER, ALONE], [ALONE, BY_REQUEST]])
beside = st.sampled_from([[BucketSpec("ip", 7, 2.5)], [BucketSpec("ip", 7, 2.5, 2)], []])
headers = st.builds(
    RateHeaders, limit=st.sampled_from([3, 3, 3, 1, 2, 5, 9]), remaining=st.none() | st.integers(0, 4)
)
sets = st.lists(specs, min_size=1, max_size=3, unique_by=lambda spec: spec.name)
acquires = st.tuples(st.just("acquire"), sets, st.sampled_from([0.0, 0.2, 1.0, 4.0]))
lane_acquires = st.tuples(
    st.just("acquire lane"), lanes, beside, st.integers(1, 8), st.sampled_from([0.0, 0.2, 1.0, 4.0])
)
late = st.none() | st.integers(-40, 900)
settles = st.tuples(st.just("settle"), st.integers(0, 30), st.booleans(), st.none() | headers, late)
again = st.tuples(st.just("settle again"), st.integers(0, 30), st.booleans())
deaths = st.tuples(st.just("die"), st.integers(0, 30))
moments = st.integers(0, 2_000_000).map(lambda us: us / 1_000_000)
sleeps = st.tuples(st.just("sleep"), moments | st.sampled_from([3.0, 3.2, -0.05, -0.7, -5.0]))
blocks = st.tuples(st.just("block"), specs, st.sampled_from([-1.0, 0.5, 4.0]), st.booleans())
acts = st.one_of(settles, settles, settles, again, deaths, blocks, blocks, st.just(("forget",)))
walks = st.lists(st.tuples(acquires | lane_acquires, acts, sleeps), min_size=4, max_size=14).map(
    lambda turns: [step for turn in turns for step in turn]
)


UID = BucketSpec("uid", limits["uid"])
BEGUN = [("acquire", [UID], 0.0), ("sleep", 2.0)]
LATE = [("acquire", [UID], 0.0), ("sleep", 3.2), ("acquire", [UID], 0.0), ("settle", 0, True, None, None)]
REFUSED = [
    ("acquire", [UID], 0.0),
    ("settle", 0, True, RateHeaders(2, 1), None),
    *[("block", UID, -1.0, True)] * 3,
]


def _make_impatient(patch: pytest.MonkeyPatch) -> None:
    """Believe the floor after two answers and forget it after seconds, so that a short walk sees all of it."""
    for module in (bucket, arrival):
        patch.setattr(module, "CONFIRMATIONS", 2)
        patch.setattr(module, "PERIOD_US", 1_500_000)
        patch.setattr(module, "NARROWING_US", 700_000)


@example([*BEGUN, *LATE])
@example([*BEGUN, *REFUSED])
@given(walks)
def test_redis_and_memory_give_the_same_answers(valkey_url, walk):
    """Grants, waits, tickets and states are the same, whatever walk of acquire, lanes, settle, block and loss.

    Leases end unsettled, answers come after them or twice, and the server's clock is set back, too; at rest both
    are full.
    """
    with redis.Redis.from_url(valkey_url) as client, pytest.MonkeyPatch.context() as patch:
        _make_impatient(patch)
        pair = Pair(client, patch)
        for what, *detail in walk:
            match what, detail:
                case "acquire", [wanted, max_wait_s]:
                    pair.acquire(wanted, max_wait_s)
                case "acquire lane", [ways, others, orders, max_wait_s]:
                    pair.acquire_lane(ways, others, orders, max_wait_s)
                case "settle", [index, sent, observed, late_ms]:
                    pair.settle(index, sent=sent, observed=observed, late_ms=late_ms)
                case "settle again", [index, sent]:
                    pair.settle_again(index, sent=sent)
                case "die", [index]:
                    pair.die(index)
                case "block", [spec, for_s, is_refusal]:
                    pair.block(spec, for_s, is_refusal=is_refusal)
                case "sleep", [seconds]:
                    pair.clock.sleep(seconds)
                case _:
                    pair.forget()
            pair.check()
        pair.rest()


@pytest.mark.parametrize("max_wait_s", [0.1, 1.5])
def test_redis_and_memory_give_the_same_waits_and_tickets_to_a_crowd(valkey_url, max_wait_s):
    """A long queue whose callers all come back, then one whose callers vanish: the ticket clocks stay alike."""
    uid = BucketSpec("uid", 3)
    with redis.Redis.from_url(valkey_url) as client, pytest.MonkeyPatch.context() as patch:
        pair = Pair(client, patch)
        pair.clock.sleep(0.5)
        for pause_s in [0.0] * 40 + [0.09] * 60 + [7.0] + [0.0] * 10 + [0.4] * 20:
            pair.clock.sleep(pause_s)
            pair.acquire([uid], max_wait_s)
            pair.settle(0, sent=True, observed=None)


def test_redis_and_memory_learn_the_same_way_to_the_exchange(valkey_url):
    """A thousand answers of a jittering way, a step each way, pauses, refusals: same waits to the microsecond."""
    chance = random.Random(4)
    uid, ip = BucketSpec("uid", 3), BucketSpec("ip", 7, 2.5)
    with redis.Redis.from_url(valkey_url) as client, pytest.MonkeyPatch.context() as patch:
        pair = Pair(client, patch)
        pair.clock.sleep(3)
        for i in range(1000):
            pair.acquire([uid, ip], 2.0)
            pair.clock.sleep(chance.lognormvariate(-4, 0.7))
            step_ms = 500 * (300 < i) - 800 * (600 < i)
            pair.settle(0, sent=True, late_ms=step_ms + round(chance.lognormvariate(2, 0.7)))
            if i in {450, 451, 800}:
                pair.block(uid, 0.1, is_refusal=True)
            if i == 900:
                pair.clock.sleep(61)
        pair.check()
        assert len(pair.held) < 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_scripts_read_the_servers_time_once(operation):
    """One instant an operation; otherwise the clock of these tests would not be the whole truth."""
    assert _script_text(operation).count(TIME) == 1
