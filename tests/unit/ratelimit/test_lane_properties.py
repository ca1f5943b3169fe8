"""What must hold for every run over two lanes, searched by hypothesis on a clock moved by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from bucket_rig import HandClock, World, most_in_a_window
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.errors import BucketDenied
from sluicegate.ports import BucketSpec, Grant, Lane, LaneGrant, LaneKind, Trip
from sluicegate.ratelimit import arrival
from sluicegate.ratelimit.memory import MemoryBuckets

LEASE_S = 3.0
IP = BucketSpec("ip", 6, 1.1)


def lanes(alone: int, together: int, step: int = 1) -> list[Lane]:
    """Return two lanes with so many tokens each."""
    return [
        Lane("/create", LaneKind.ALONE, BucketSpec("alone", alone)),
        Lane("/create-batch", LaneKind.TOGETHER, BucketSpec("together", together), step),
    ]


def ask(
    buckets: MemoryBuckets, ways: list[Lane], orders: int, max_wait_s: float = 0.0, beside: BucketSpec = IP
) -> LaneGrant | None:
    """Return the grant; None when there is none in time."""
    try:
        return buckets.acquire_lane(ways, [beside], orders=orders, max_wait_s=max_wait_s, lease_s=LEASE_S)
    except BucketDenied:
        return None


@dataclass(frozen=True)
class Company:
    """Orders that come together, and how the network behaves towards their requests, in turn."""

    asks_at_s: float
    orders: int
    max_wait_s: float
    there_s: tuple[float, float, float]
    is_answered: bool


ways_there = st.tuples(*[st.sampled_from([0.0, 0.002, 0.1, 0.45, 0.9])] * 3)
companies = st.builds(
    Company,
    asks_at_s=st.integers(0, 5000).map(lambda ms: ms / 1000),
    orders=st.integers(1, 5),
    max_wait_s=st.sampled_from([0.0, 0.3, 1.5]),
    there_s=ways_there,
    is_answered=st.sampled_from([True, True, True, False]),
)


class Run:
    """Plays companies against two lanes and notes when each order arrives, by lane."""

    def __init__(self, alone: int, together: int) -> None:
        self.world = World()
        self.buckets = MemoryBuckets(self.world.clock)
        self.ways = lanes(alone, together)
        self.arrivals: dict[str, list[int]] = {"alone": [], "together": [], "ip": []}

    def add(self, company: Company) -> None:
        """Let a company ask, and the rest of it again until nobody is left, a dozen times at most."""

        def come(left: int, tries: int) -> None:
            granted = ask(self.buckets, self.ways, left, company.max_wait_s)
            if granted is not None:
                self._send(company, granted)
                left -= granted.orders
            if left and tries:
                self.world.after(0.25, lambda: come(left, tries - 1))

        self.world.after(company.asks_at_s, lambda: come(company.orders, 12))

    def _send(self, company: Company, granted: LaneGrant) -> None:
        for number, grant in enumerate(granted.grants):
            there_s = grant.wait_s + company.there_s[number % 3]
            self.world.after(there_s, lambda grant=grant: self._arrive(grant))
            if company.is_answered:
                self.world.after(there_s + 0.003, lambda grant=grant: self._settle(grant))

    def _arrive(self, grant: Grant) -> None:
        for spec in grant.specs:
            self.arrivals[spec.name] += [self.world.clock.now_us] * spec.cost

    def _settle(self, grant: Grant) -> None:
        trip = Trip("simulator", 0.0, 10**9 + self.world.clock.now_us // 1000)
        self.buckets.settle(grant, sent=True, trip=trip)


@given(st.lists(companies, max_size=25), st.integers(2, 4), st.integers(2, 4))
def test_orders_in_any_rolling_window_never_exceed_the_limit_of_their_lane(run_of, alone, together):
    """However companies split and requests are delayed or lost: each lane, and the IP, keeps its limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrival, "CONFIRMATIONS", 10**9)  # the safe rule: any way there may be the fastest yet
        run = Run(alone, together)
        for company in run_of:
            run.add(company)
        run.world.run()
    assert most_in_a_window(run.arrivals["alone"], 1_000_000) <= alone
    assert most_in_a_window(run.arrivals["together"], 1_000_000) <= together
    assert most_in_a_window(run.arrivals["ip"], 1_100_000) <= IP.limit


steps = st.one_of(
    st.tuples(st.just("acquire"), st.integers(1, 6), st.sampled_from([0.0, 0.4, 1.2])),
    st.tuples(st.just("settle"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("sleep"), st.integers(1, 900), st.none()),
)


@given(st.lists(steps, max_size=50), st.integers(0, 1))
def test_tokens_of_lanes_are_neither_lost_nor_made(walk, step):
    """What is granted is in flight, order for order; what is denied takes nothing; at rest all is back."""
    clock = HandClock()
    buckets = MemoryBuckets(clock, starts_full=True)
    held: list[Grant] = []
    for what, number, detail in walk:
        if what == "acquire":
            before = Counter({state.name: state.in_flight for state in buckets.states()})
            granted = ask(buckets, lanes(4, 5, step), number, detail)
            after = Counter({state.name: state.in_flight for state in buckets.states()})
            taken: Counter[str] = Counter()
            for grant in granted.grants if granted else ():
                taken.update({spec.name: spec.cost for spec in grant.specs})
            assert after - before == taken
            held += granted.grants if granted else ()
        elif what == "settle" and held:
            buckets.settle(held.pop(number % len(held)), sent=detail)
        elif what == "sleep":
            clock.sleep(number / 1000)
    clock.sleep(1.2 + LEASE_S + 1.1)  # the longest wait, then nobody settles, or somebody just did
    assert all(state.free == state.limit for state in buckets.states())


def test_company_takes_what_is_free_from_both_lanes_and_no_more():
    """Twelve orders meet five and four tokens: five go together, four alone, three wait; one request and four."""
    buckets = MemoryBuckets(HandClock(), starts_full=True)
    wide = BucketSpec("ip", 100)
    first = ask(buckets, lanes(4, 5), 12, beside=wide)
    assert first is not None
    assert (first.lane.kind, first.orders, len(first.grants)) == (LaneKind.TOGETHER, 5, 1)
    second = ask(buckets, lanes(4, 5), 7, beside=wide)
    assert second is not None
    assert (second.lane.kind, second.orders, len(second.grants)) == (LaneKind.ALONE, 4, 4)
    assert ask(buckets, lanes(4, 5), 3, beside=wide) is None
    spent = {state.name: state.in_flight for state in buckets.states()}
    assert spent == {"alone": 4, "together": 5, "ip": 5}


def test_order_alone_takes_the_single_endpoint_first_then_the_batch_endpoint():
    """One order at a time: each lane gives all it has."""
    buckets = MemoryBuckets(HandClock(), starts_full=True)
    wide = BucketSpec("ip", 100)
    kinds = [granted.lane.kind for _ in range(6) if (granted := ask(buckets, lanes(2, 3), 1, beside=wide))]
    assert kinds == [LaneKind.ALONE] * 2 + [LaneKind.TOGETHER] * 3


def test_batch_that_costs_by_the_request_takes_all_orders_for_one_token():
    """Options: a batch of six costs one token of its endpoint and one of the IP."""
    buckets = MemoryBuckets(HandClock(), starts_full=True)
    granted = ask(buckets, lanes(1, 1, step=0), 6)
    assert granted is not None
    assert (granted.orders, [spec.cost for spec in granted.grants[0].specs]) == (6, [1, 1])


@pytest.mark.parametrize("orders", [0, -1])
def test_lane_for_no_orders_is_refused(orders):
    """A caller that counts wrong is told so."""
    with pytest.raises(ValueError, match="orders"):
        ask(MemoryBuckets(HandClock(), starts_full=True), lanes(1, 1), orders)


def test_lane_that_costs_more_than_a_limit_says_when_to_look_again():
    """It is never granted, and never told to come back at no instant at all."""
    buckets = MemoryBuckets(HandClock(), starts_full=True)
    with pytest.raises(BucketDenied) as denied:
        buckets.acquire_lane(lanes(4, 5), [BucketSpec("ip", 1, 2.5, 2)], orders=1, max_wait_s=9, lease_s=LEASE_S)
    assert denied.value.retry_after_s == 2.5
