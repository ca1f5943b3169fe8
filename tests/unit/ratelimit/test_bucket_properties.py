"""What must hold for every run of the token buckets, searched by hypothesis on a clock moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import pytest
from bucket_rig import HandClock, World, ask, most_in_a_window
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, Grant, Trip
from sluicegate.ratelimit import arrival
from sluicegate.ratelimit.memory import MemoryBuckets

LEASE_S = 2.1
"""The slowest request takes 0.95 s to arrive: within the lease less the longer window, as the bucket asks."""
FASTEST_S = 0.025
"""What no request is under way for less than, in the runs that learn the way."""


class Fate(Enum):
    """What becomes of a request that was granted."""

    ANSWERED = "answered"
    UNSENT = "unsent"
    LOST = "lost"
    """It arrived, and nobody heard of it again: the answer was lost or the worker died."""


@dataclass(frozen=True)
class Plan:
    """One request of a run: when it asks and how the network and its worker behave.

    `idle_s` passes between the end of its wait and its departure, `handling_s` between its arrival and the instant
    that its answer tells. The answer may come long after the lease, may tell how many tokens are left, and is
    settled as often as `settled` says.
    """

    asks_at_s: float
    cost: int
    max_wait_s: float
    there_s: float
    back_s: float
    fate: Fate
    idle_s: float = 0.0
    handling_s: float = 0.0
    tells: bool = True
    settled: int = 1


def _times(most_s: float) -> st.SearchStrategy[float]:
    """Return any time, and often one that others have too: what is close together is what may go wrong."""
    anywhere = st.integers(0, round(most_s * 1000)).map(lambda ms: ms / 1000)
    return st.one_of(st.just(0.0), st.sampled_from([0.0, most_s / 2, most_s]), anywhere)


plans = st.builds(
    Plan,
    asks_at_s=_times(4),
    cost=st.integers(1, 2),
    max_wait_s=st.sampled_from([0.0, 0.3, 1.5]),
    there_s=_times(0.9),
    back_s=st.one_of(_times(0.9), st.just(3.0)),
    fate=st.sampled_from([Fate.ANSWERED, Fate.ANSWERED, Fate.ANSWERED, Fate.UNSENT, Fate.LOST]),
    idle_s=st.sampled_from([0.0, 0.0, 0.0007, 0.05]),
    handling_s=st.sampled_from([0.0, 0.0004, 0.02]),
    tells=st.booleans(),
    settled=st.sampled_from([1, 1, 2]),
)


class ServersClock(HandClock):
    """What the buckets take for the time: the world's, less what it was set back."""

    def __init__(self, world: HandClock) -> None:
        self._world = world
        self.behind_us = 0

    @property
    def now_us(self) -> int:
        """Return the time in microseconds."""
        return self._world.now_us - self.behind_us


class Run:
    """Plays plans against two buckets and an exchange that counts, and notes when each request arrives there.

    Args:
        uid: the bucket of an endpoint.
        ip: that of the egress.
        true_limit: what the exchange allows; at least what is documented.
        fastest_s: shortest way to the exchange; with one, the answers tell the exchange's time.
    """

    def __init__(
        self, uid: BucketSpec, ip: BucketSpec, true_limit: int, *, fastest_s: float | None = None
    ) -> None:
        self.world = World()
        self.clock = ServersClock(self.world.clock)
        self.fastest_s = fastest_s
        self.offset_us = -3_600_000_000
        self.early = self.refused = 0
        self.buckets = MemoryBuckets(self.clock)
        self.uid, self.ip, self.true_limit = uid, ip, true_limit
        self.counted: list[int] = []
        self.arrivals: dict[str, list[int]] = {"uid": [], "ip": []}

    def add(self, plan: Plan, tries: int = 4) -> None:
        """Let a request ask, and come back so often when it is denied."""

        def come(left: int) -> None:
            uid = replace(self.uid, cost=plan.cost)
            answer = ask(self.buckets, uid, self.ip, max_wait_s=plan.max_wait_s, lease_s=LEASE_S)
            if isinstance(answer, Grant):
                self._send(plan, answer)
            elif left:
                self.world.after(answer, lambda: come(left - 1))

        self.world.after(plan.asks_at_s, lambda: come(tries))

    def add_foreign(self, at_s: float) -> None:
        """Let somebody who never asks here spend a token."""
        self.world.after(at_s, lambda: self._count(1))

    def set_forward(self, leap_us: int) -> None:
        """Let the exchange's clock leap ahead."""
        self.offset_us += leap_us

    def set_back(self, leap_us: int) -> None:
        """Set back the clock of the buckets."""
        self.clock.behind_us += leap_us

    def rest(self) -> None:
        """Run to the end and be quiet for the longest that a token may be away: all are back."""
        self.world.run()
        self.world.clock.sleep(self.clock.behind_us / 1_000_000 + 11 + LEASE_S)
        assert all(state.free == state.limit for state in self.buckets.states())

    def _send(self, plan: Plan, grant: Grant) -> None:
        if plan.fate is Fate.UNSENT:
            for _ in range(plan.settled):
                self.world.after(plan.back_s, lambda: self.buckets.settle(grant, sent=False))
            return
        there_s = grant.wait_s + plan.idle_s + (self.fastest_s or 0.0) + plan.there_s
        self.world.after(there_s, lambda: self._arrive(plan, grant))

    def _arrive(self, plan: Plan, grant: Grant) -> None:
        self.arrivals["uid"] += [self.world.clock.now_us] * plan.cost
        self.arrivals["ip"].append(self.world.clock.now_us)
        is_refused = not self._count(plan.cost)
        self.refused += is_refused
        told = RateHeaders(self.true_limit, self.true_limit - len(self.counted)) if plan.tells else None
        if plan.fate is Fate.ANSWERED:
            self.world.after(plan.handling_s, lambda: self._answer(plan, grant, told, is_refused=is_refused))

    def _count(self, cost: int) -> bool:
        """Count a request as the exchange does; False: there is no room in the window."""
        now = self.world.clock.now_us
        self.counted = [one for one in self.counted if one > now - 1_000_000]
        if len(self.counted) + cost > self.true_limit:
            return False
        self.counted += [now] * cost
        return True

    def _answer(self, plan: Plan, grant: Grant, told: RateHeaders | None, *, is_refused: bool) -> None:
        exchange_ms = (self.world.clock.now_us + self.offset_us) // 1000
        knows_time = self.fastest_s is not None and not is_refused
        trip = Trip("simulator", plan.idle_s, 10**9 + exchange_ms) if knows_time else None
        for _ in range(plan.settled):
            self.world.after(plan.back_s, lambda: self._settle(grant, trip, told))
        if is_refused:
            self.world.after(plan.back_s, lambda: self.buckets.block(self.uid, for_s=0.3, is_refusal=True))

    def _settle(self, grant: Grant, trip: Trip | None, told: RateHeaders | None) -> None:
        self.buckets.settle(grant, sent=True, trip=trip, observed=told)
        back_at = self.buckets._buckets["uid"].flight[f"{grant.lease_id}:1"]
        self.early += back_at < self.clock.now_us + 1_000_000


foreigners = st.one_of(st.just([]), st.lists(_times(6), max_size=8))
leaps = st.lists(st.tuples(_times(6), st.integers(1, 10**6)), max_size=2)


@given(st.lists(plans, max_size=40), st.integers(2, 3), st.integers(2, 4), st.integers(0, 2), foreigners, leaps)
def test_arrivals_in_any_rolling_window_never_exceed_the_limit(run_of, limit, ip_limit, extra, others, back):
    """Delays, losses, crashes, waits, late and double answers, a larger limit, others, a clock that is set back.

    A request must arrive within lease minus window. Where others spend the quota, too, the exchange may refuse;
    but what is ours alone never exceeds it.
    """
    run = Run(BucketSpec("uid", limit, 1.0), BucketSpec("ip", ip_limit, 1.1), limit + extra)
    for plan in run_of:
        run.add(plan)
    for at_s in others:
        run.add_foreign(at_s)
    for at_s, leap_us in back:
        run.world.after(at_s, lambda leap_us=leap_us: run.set_back(leap_us))
    run.rest()
    assert most_in_a_window(run.arrivals["uid"], 1_000_000) <= limit + extra
    assert most_in_a_window(run.arrivals["ip"], 1_100_000) <= ip_limit
    assert others or not run.refused


prompt = Plan(0.0, 1, 0.0, 0.0, 0.0, Fate.ANSWERED)


@given(st.lists(plans, max_size=40), st.integers(2, 3), foreigners, leaps, leaps)
def test_arrivals_read_off_the_exchanges_clock_never_exceed_the_limit(run_of, limit, others, forward, back):
    """The same where tokens return by arrival, once the fastest way is known; the exchange's clock leaps ahead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrival, "CONFIRMATIONS", 3)
        run = Run(BucketSpec("uid", limit, 1.0), BucketSpec("ip", 9, 1.1), limit, fastest_s=FASTEST_S)
        for at_s in (0.0, 1.2, 2.4, 3.6, 4.8):
            run.add(replace(prompt, asks_at_s=at_s))
        for plan in run_of:
            run.add(replace(plan, asks_at_s=plan.asks_at_s + 6))
        for at_s in others:
            run.add_foreign(6 + at_s)
        for at_s, leap_us in forward:
            run.world.after(6 + at_s, lambda leap_us=leap_us: run.set_forward(leap_us))
        for at_s, leap_us in back:
            run.world.after(6 + at_s, lambda leap_us=leap_us: run.set_back(leap_us))
        run.rest()
    assert most_in_a_window(run.arrivals["uid"], 1_000_000) <= limit
    assert run.early >= 1
    assert others or not run.refused
