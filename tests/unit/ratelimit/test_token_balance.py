"""Tokens are neither lost nor made, whatever becomes of their holders: a second reckoning beside the buckets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bucket_rig import HandClock, ask, take
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, Grant
from sluicegate.ratelimit.lease import CEDED_WINDOWS, ready_us
from sluicegate.ratelimit.memory import MemoryBuckets

WINDOWS = {"uid": 1_000_000, "ip": 1_500_000}
LEASES = (1.7, 3.0)
"""Both longer than the longer window, as `acquire` asks."""

Token = tuple[str, str, int]
"""Bucket, lease and number."""


@dataclass(frozen=True)
class Claim:
    """How many tokens someone else has: at least so many until `surely`, at most so many until `at_most`."""

    least: int
    most: int
    surely: int
    at_most: int


@dataclass
class Reckoning:
    """What should be in flight, from what was said to the buckets and from nothing of what they keep.

    Attributes:
        latest: the latest that the clock ever showed; it may have been set back since.
        until: of each token of ours when it comes back.
        claims: what others have of the endpoint's bucket.
    """

    limits: dict[str, int]
    latest: int = 0
    until: dict[Token, int] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    blocked_until: int = 0

    def hold(self, grant: Grant) -> None:
        """Somebody has tokens, until the lease ends if nothing is heard."""
        self._put(grant, ready_us(grant.lease_id) + round(grant.lease_s * 1_000_000), windows=0)

    def send(self, grant: Grant, now: int) -> None:
        """A request went out; whoever answers before its wait is over is taken to have sent at its end."""
        self._put(grant, max(now, ready_us(grant.lease_id)), windows=1)

    def give_back(self, grant: Grant) -> None:
        """No request went out."""
        self.until = {token: at for token, at in self.until.items() if token[1] != grant.lease_id}

    def see(self, grant: Grant, told: RateHeaders, now: int) -> None:
        """The exchange has counted more than ours: the rest is others'."""
        assert told.limit is not None
        self.limits["uid"] = told.limit
        if told.remaining is not None and told.remaining <= told.limit:
            left_at, latest = ready_us(grant.lease_id), now + round(grant.lease_s * 1_000_000)
            ours = [at for (name, *_), at in self.until.items() if name == "uid" and left_at < at <= latest]
            kept = [at for at in ours if at > max(now, self.latest) - WINDOWS["uid"]]  # others may be forgotten
            least, most = (max(0, told.limit - told.remaining - len(known)) for known in (ours, kept))
            self.claims.append(Claim(least, most, now + WINDOWS["uid"], now + 2 * WINDOWS["uid"]))

    def refuse(self, now: int, for_us: int) -> None:
        """The exchange refused what had its token: one more is others', unless told already; one stays ours."""
        least, most = self.theirs(now)
        news = self.blocked_until <= now
        until = now + CEDED_WINDOWS * WINDOWS["uid"]
        others = self.limits["uid"] - 1
        self.claims.append(Claim(min(least + news, others), min(most + news, others), until, until))
        self.blocked_until = max(self.blocked_until, now + for_us)

    def theirs(self, at: int) -> tuple[int, int]:
        """Return how many tokens others have at an instant, at least and at most."""
        least = max((claim.least for claim in self.claims if claim.surely > max(at, self.latest)), default=0)
        return least, max((claim.most for claim in self.claims if claim.at_most > at), default=0)

    def away(self, name: str, at: int) -> tuple[int, int]:
        """Return how many tokens are in flight, at least and at most: a clock set back leaves some open."""
        least, most = self.theirs(at) if name == "uid" else (0, 0)
        ours = [until for (bucket, *_), until in self.until.items() if bucket == name]
        return least + sum(one > max(at, self.latest) for one in ours), most + sum(one > at for one in ours)

    def _put(self, grant: Grant, at: int, *, windows: int) -> None:
        for spec in grant.specs:
            for i in range(spec.cost):
                self.until[spec.name, grant.lease_id, i] = at + windows * WINDOWS[spec.name]


class Walk:
    """Says the same to the buckets and to the reckoning, and compares them.

    Args:
        limit: documented tokens of the endpoint; the IP has twice as many.
    """

    def __init__(self, limit: int) -> None:
        self.clock = HandClock()
        self.buckets = MemoryBuckets(self.clock, starts_full=True)
        self.documented = {"uid": limit, "ip": 2 * limit}
        self.reckoning = Reckoning(dict(self.documented))
        self.held: list[Grant] = []
        self.settled: list[Grant] = []

    def _spec(self, name: str, cost: int = 1) -> BucketSpec:
        return BucketSpec(name, self.documented[name], WINDOWS[name] / 1_000_000, cost)

    def acquire(self, cost: int, max_wait_s: float, lease_s: float) -> None:
        """Ask; a grant's tokens are there at its instant."""
        asked = self._spec("uid", cost), self._spec("ip")
        grant = ask(self.buckets, *asked, max_wait_s=max_wait_s, lease_s=lease_s)
        if isinstance(grant, Grant):
            ready = ready_us(grant.lease_id)
            assert ready >= self.reckoning.blocked_until
            self.held.append(grant)
            self.reckoning.hold(grant)
            for name, limit in self.reckoning.limits.items():
                assert self.reckoning.away(name, ready)[0] <= limit

    def settle(self, index: int, told: RateHeaders | None) -> None:
        """Answer one that is held, in time or long after its lease."""
        if self.held:
            grant = self.held.pop(index % len(self.held))
            self.settled.append(grant)
            self._sent(grant, told)

    def settle_again(self, index: int) -> None:
        """Say once more what was said."""
        if self.settled:
            self._sent(self.settled[index % len(self.settled)], None)

    def _sent(self, grant: Grant, told: RateHeaders | None) -> None:
        self.buckets.settle(grant, sent=True, observed=told)
        self.reckoning.send(grant, self.clock.now_us)
        if told is not None:
            self.reckoning.see(grant, told, self.clock.now_us)

    def give_back(self, index: int) -> None:
        """Say, perhaps twice and perhaps long after its lease, that a request was not sent."""
        if self.held:
            grant = self.held.pop(index % len(self.held))
            for _ in range(1 + index % 2):
                self.buckets.settle(grant, sent=False)
            self.reckoning.give_back(grant)

    def die(self, index: int) -> None:
        """A worker dies: nobody will say what became of its tokens."""
        if self.held:
            self.held.pop(index % len(self.held))

    def refuse(self, for_s: float) -> None:
        """10006."""
        self.buckets.block(self._spec("uid"), for_s=for_s, is_refusal=True)
        self.reckoning.refuse(self.clock.now_us, round(for_s * 1_000_000))

    def sleep(self, seconds: float) -> None:
        """Let time pass, or set the buckets' clock back."""
        self.reckoning.latest = max(self.reckoning.latest, self.clock.now_us)
        self.clock.sleep(seconds)

    def check(self) -> None:
        """Free and in flight are the limit, and in flight is what was reckoned; the rest is no token at all."""
        for state in self.buckets.states():
            least, most = self.reckoning.away(state.name, self.clock.now_us)
            assert least <= state.in_flight <= most
            assert state.limit == self.reckoning.limits[state.name]
            is_blocked = state.name == "uid" and self.reckoning.blocked_until > self.clock.now_us
            assert state.free == (0 if is_blocked else max(0, state.limit - state.in_flight))

    def rest(self) -> None:
        """Be quiet for the longest lease and window, and what was set back: every bucket is full, and used so."""
        steps_s = max(0, self.reckoning.latest - self.clock.now_us) / 1_000_000
        theirs_s = CEDED_WINDOWS * WINDOWS["uid"] / 1_000_000 if self.reckoning.claims else 0.0
        self.clock.sleep(steps_s + max(theirs_s, max(LEASES) + 1.5 + 1.5))
        assert all(state.free == state.limit for state in self.buckets.states())
        for _ in range(self.reckoning.limits["uid"]):
            assert take(self.buckets, self._spec("uid")).wait_s == 0


told = st.builds(RateHeaders, limit=st.sampled_from([2, 4, 4, 4, 7]), remaining=st.none() | st.integers(0, 4))
index = st.integers(0, 20)
Step = Callable[[Walk], None]


def _does(what: Callable[..., None], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.tuples(*arguments).map(lambda drawn: lambda walk: what(walk, *drawn))


acquires = _does(Walk.acquire, st.integers(1, 2), st.sampled_from([0.0, 0.4, 1.2]), st.sampled_from(LEASES))
acts = st.one_of(
    _does(Walk.settle, index, st.none() | told),
    _does(Walk.settle, index, told),
    _does(Walk.settle_again, index),
    _does(Walk.give_back, index),
    _does(Walk.die, index),
    _does(Walk.refuse, st.sampled_from([0.0, 0.3, 2.0])),
)
pauses = st.one_of(
    st.sampled_from([0.0, 0.05, 0.3, 0.7]),
    st.sampled_from([1.0, 1.5, 1.7, 2.0, 3.0, 3.2]),
    st.sampled_from([-0.05, -0.7, -5.0]),
)
turns = st.tuples(acquires, acts, _does(Walk.sleep, pauses))


@given(st.lists(turns, min_size=5, max_size=15), st.integers(3, 5))
def test_tokens_are_neither_lost_nor_made(walk_of, limit):
    """Answers in time, late, twice or never; others' use; refusals; other limits; a clock that is set back."""
    walk = Walk(limit)
    for turn in walk_of:
        for step in turn:
            step(walk)
            walk.check()
    walk.rest()
