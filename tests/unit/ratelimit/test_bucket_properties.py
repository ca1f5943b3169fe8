"""What must hold for every run of the token buckets, searched by hypothesis on a clock moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import pytest
from bucket_rig import World, ask, most_in_a_window
from hypothesis import given
from hypothesis import strategies as st

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
    that its answer tells.
    """

    asks_at_s: float
    cost: int
    max_wait_s: float
    there_s: float
    back_s: float
    fate: Fate
    idle_s: float = 0.0
    handling_s: float = 0.0


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
    back_s=_times(0.9),
    fate=st.sampled_from([Fate.ANSWERED, Fate.ANSWERED, Fate.ANSWERED, Fate.UNSENT, Fate.LOST]),
    idle_s=st.sampled_from([0.0, 0.0, 0.0007, 0.05]),
    handling_s=st.sampled_from([0.0, 0.0004, 0.02]),
)


class Run:
    """Plays plans against two buckets and notes when each request arrives at the exchange.

    Args:
        uid: the bucket of an endpoint.
        ip: that of the egress.
        fastest_s: shortest way to the exchange; with one, the answers tell the exchange's time.
    """

    def __init__(self, uid: BucketSpec, ip: BucketSpec, *, fastest_s: float | None = None) -> None:
        self.world = World()
        self.fastest_s = fastest_s
        self.offset_us = -3_600_000_000
        self.early = 0
        self.buckets = MemoryBuckets(self.world.clock)
        self.uid, self.ip = uid, ip
        self.arrivals: dict[str, list[int]] = {"uid": [], "ip": []}

    def add(self, plan: Plan, tries: int = 4) -> None:
        """Let a request ask, and come back so often when it is denied."""

        def come(left: int) -> None:
            uid = BucketSpec("uid", self.uid.limit, self.uid.window_s, plan.cost)
            answer = ask(self.buckets, uid, self.ip, max_wait_s=plan.max_wait_s, lease_s=LEASE_S)
            if isinstance(answer, Grant):
                self._send(plan, answer)
            elif left:
                self.world.after(answer, lambda: come(left - 1))

        self.world.after(plan.asks_at_s, lambda: come(tries))

    def _send(self, plan: Plan, grant: Grant) -> None:
        if plan.fate is Fate.UNSENT:
            self.world.after(plan.back_s, lambda: self.buckets.settle(grant, sent=False))
            return
        there_s = grant.wait_s + plan.idle_s + (self.fastest_s or 0.0) + plan.there_s
        self.world.after(there_s, lambda: self._arrive(plan.cost))
        if plan.fate is Fate.ANSWERED:
            self.world.after(there_s + plan.handling_s, lambda: self._answer(plan, grant))

    def _arrive(self, cost: int) -> None:
        self.arrivals["uid"] += [self.world.clock.now_us] * cost
        self.arrivals["ip"].append(self.world.clock.now_us)

    def set_forward(self, leap_us: int) -> None:
        """Let the exchange's clock leap ahead."""
        self.offset_us += leap_us

    def _answer(self, plan: Plan, grant: Grant) -> None:
        exchange_ms = (self.world.clock.now_us + self.offset_us) // 1000
        trip = None if self.fastest_s is None else Trip("simulator", plan.idle_s, 10**9 + exchange_ms)
        self.world.after(plan.back_s, lambda: self._settle(grant, trip))

    def _settle(self, grant: Grant, trip: Trip | None) -> None:
        self.buckets.settle(grant, sent=True, trip=trip)
        back_at = self.buckets._buckets["uid"].flight[f"{grant.lease_id}:1"]
        self.early += back_at < self.world.clock.now_us + 1_000_000


@given(st.lists(plans, max_size=40), st.integers(2, 3), st.integers(2, 4))
def test_arrivals_in_any_rolling_window_never_exceed_the_limit(run_of, uid_limit, ip_limit):
    """Whatever the delays, losses, crashes and waits, as long as a request arrives within lease minus window."""
    run = Run(BucketSpec("uid", uid_limit, 1.0), BucketSpec("ip", ip_limit, 1.1))
    for plan in run_of:
        run.add(plan)
    run.world.run()
    assert most_in_a_window(run.arrivals["uid"], 1_000_000) <= uid_limit
    assert most_in_a_window(run.arrivals["ip"], 1_100_000) <= ip_limit


prompt = Plan(0.0, 1, 0.0, 0.0, 0.0, Fate.ANSWERED)


@given(
    st.lists(plans, max_size=40),
    st.integers(2, 3),
    st.lists(st.tuples(_times(6), st.integers(1, 10**6)), max_size=2),
)
def test_arrivals_read_off_the_exchanges_clock_never_exceed_the_limit(run_of, limit, steps_forward):
    """The same where tokens return by arrival, once the fastest way is known; the exchange's clock leaps ahead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrival, "CONFIRMATIONS", 3)
        run = Run(BucketSpec("uid", limit, 1.0), BucketSpec("ip", 9, 1.1), fastest_s=FASTEST_S)
        for at_s in (0.0, 1.2, 2.4, 3.6, 4.8):
            run.add(replace(prompt, asks_at_s=at_s))
        for plan in run_of:
            run.add(replace(plan, asks_at_s=plan.asks_at_s + 6))
        for at_s, leap_us in steps_forward:
            run.world.after(6 + at_s, lambda leap_us=leap_us: run.set_forward(leap_us))
        run.world.run()
    assert most_in_a_window(run.arrivals["uid"], 1_000_000) <= limit
    assert run.early >= 1
