"""What must hold for every run of the token buckets, searched by hypothesis on a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

import pytest
from bucket_rig import HandClock, World, ask, most_in_a_window
from hypothesis import given, settings
from hypothesis import strategies as st

from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, Grant, Trip
from sluicegate.ratelimit import arrival
from sluicegate.ratelimit.lease import CEDED_WINDOWS, ready_us
from sluicegate.ratelimit.memory import MemoryBuckets

LEASE_S = 2.1
"""The slowest request takes 0.95 s to arrive: within the lease less the longer window, as the bucket asks."""
SHORT_LEASE_S = 3.0
"""Of those who keep books: longer than the longest wait and window together."""
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


heads = st.builds(RateHeaders, limit=st.integers(3, 6), remaining=st.none() | st.integers(0, 3))
acquires = st.tuples(st.just("acquire"), st.integers(1, 3), st.sampled_from([0.0, 0.4, 1.2, 1.2]))
answers = st.tuples(st.just("settle"), st.integers(0, 5), heads)
steps = st.one_of(
    acquires,
    acquires,
    acquires,
    answers,
    answers,
    st.tuples(st.just("settle"), st.integers(0, 5), st.sampled_from([None, True])),
    st.tuples(st.just("crash"), st.integers(0, 5), st.none()),
    st.tuples(st.just("refusal"), st.just(0), st.none()),
    st.tuples(st.just("sleep"), st.integers(1, 900), st.none()),
    st.tuples(st.just("sleep"), st.sampled_from([-900, -1, 300]), st.none()),
    st.tuples(st.just("sleep"), st.just(round(SHORT_LEASE_S * 1000)), st.none()),
)


class Books:
    """Keeps account of every token: until when whose it is. Simple, and so slow that nobody would use it.

    Args:
        uid: the bucket of an endpoint, which a request may take several tokens of.
        ip: that of the egress, of which it takes one.
    """

    def __init__(self, uid: BucketSpec, ip: BucketSpec) -> None:
        self.clock = HandClock()
        self.buckets = MemoryBuckets(self.clock, starts_full=True)
        self.uid, self.ip = uid, ip
        self.limits = {"uid": uid.limit, "ip": ip.limit}
        self.held: list[Grant] = []
        self.ours: dict[tuple[str, str], list[int]] = {}
        self.theirs: dict[int, int] = {}
        self.blocked_us = 0

    def acquire(self, cost: int, max_wait_s: float) -> None:
        """Ask; who holds tokens and never settles has them until the lease's end."""
        pair = replace(self.uid, cost=cost), self.ip
        answer = ask(self.buckets, *pair, max_wait_s=max_wait_s, lease_s=SHORT_LEASE_S)
        if isinstance(answer, Grant):
            self.held.append(answer)
            until = ready_us(answer.lease_id) + round(SHORT_LEASE_S * 1_000_000)
            self.ours |= {(spec.name, answer.lease_id): [until] * spec.cost for spec in answer.specs}

    def settle(self, index: int, told: Literal[True] | RateHeaders | None) -> None:
        """Settle, maybe long after the lease's end: not sent (None), sent, or answered with these headers."""
        grant = self.held.pop(index % len(self.held))
        observed = told if isinstance(told, RateHeaders) else None
        self.buckets.settle(grant, sent=told is not None, observed=observed)
        # whoever answers before its wait is over is taken to have sent at its end
        since = max(self.clock.now_us, ready_us(grant.lease_id))
        for spec in grant.specs:
            until = 0 if told is None else since + round(spec.window_s * 1_000_000)
            self.ours[spec.name, grant.lease_id] = [until] * spec.cost
        if observed is not None and observed.limit is not None:
            self.limits["uid"] = observed.limit
            if observed.remaining is not None and observed.remaining <= observed.limit:
                self._see(observed.limit - observed.remaining, ready_us(grant.lease_id))

    def refuse(self) -> None:
        """Let the exchange refuse a request that had its token."""
        self.buckets.block(self.uid, for_s=0, is_refusal=True)
        is_told = self.blocked_us > self.clock.now_us  # the clock was set back
        self.blocked_us = max(self.blocked_us, self.clock.now_us)
        spent = min(self.away(self.theirs.values()) + (not is_told), self.uid.limit - 1)
        self._cede([CEDED_WINDOWS * 1_000_000] * spent)

    def away(self, untils: Iterable[int]) -> int:
        """Count those that are not back."""
        return sum(until > self.clock.now_us for until in untils)

    def check(self) -> None:
        """Compare the books with the buckets."""
        for state in self.buckets.states():
            away = [until for (name, _id), untils in self.ours.items() if name == state.name for until in untils]
            others = self.theirs.values() if state.name == "uid" else ()
            assert (self.limits[state.name], self.away([*away, *others])) == (state.limit, state.in_flight)
            is_open = state.blocked_for_s == 0
            assert state.free == is_open * max(0, state.limit - state.in_flight)

    def _see(self, counted: int, ready: int) -> None:
        """Leave to others what was counted beyond our requests that had left."""
        latest = self.clock.now_us + round(SHORT_LEASE_S * 1_000_000)
        untils = [until for (name, _id), some in self.ours.items() if name == "uid" for until in some]
        spent = max(0, counted - sum(ready < until <= latest for until in untils))
        self._cede([1_000_000 + 1_000_000 * left // spent for left in range(spent, 0, -1)])

    def _cede(self, for_us: Sequence[int]) -> None:
        for i, least_us in enumerate(for_us):
            self.theirs[i] = max(self.theirs.get(i, 0), self.clock.now_us + least_us)


@settings(max_examples=10 * settings.default.max_examples)
@given(st.lists(steps, min_size=10, max_size=60), st.integers(3, 5))
def test_tokens_are_neither_lost_nor_made(walk, limit):
    """In flight is what is held, was sent within one window, or is someone else's; at rest all is back.

    Workers die with tokens in hand, settle after their lease's end, learn other limits, see others spend the
    quota, are refused; the server's clock is set back by less than a window.
    """
    books = Books(BucketSpec("uid", limit), BucketSpec("ip", 2 * limit, 1.5))
    for what, number, detail in walk:
        if what == "acquire":
            books.acquire(number, detail)
        elif what == "settle" and books.held:
            books.settle(number, detail)
        elif what == "crash" and books.held:
            books.held.pop(number % len(books.held))
        elif what == "refusal":
            books.refuse()
        elif what == "sleep":
            books.clock.sleep(number / 1000)
        books.check()
    books.clock.sleep(SHORT_LEASE_S + CEDED_WINDOWS + 2)
    assert all(state.free == state.limit for state in books.buckets.states())
