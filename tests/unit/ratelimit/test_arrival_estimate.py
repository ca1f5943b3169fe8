"""When a request arrived, from the exchange's clock: the rule, on numbers."""

from __future__ import annotations

import random

import pytest
from bucket_rig import HandClock, take
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.ports import BucketSpec, Trip
from sluicegate.ratelimit.arrival import (
    CONFIRMATIONS,
    NARROWING_US,
    PERIOD_US,
    WIDEST_US,
    ArrivalEstimate,
    widen,
    widened,
)
from sluicegate.ratelimit.memory import MemoryBuckets

MARGIN = 2_000
UID = BucketSpec("uid", limit=10)
IP = BucketSpec("ip", limit=1000, window_s=5.0)


def _trained(floor: int = 0, at: int = 0) -> ArrivalEstimate:
    estimate = ArrivalEstimate()
    for _ in range(CONFIRMATIONS + 1):
        estimate.observe(at, floor, MARGIN)
    return estimate


def test_estimate_of_few_answers_is_not_believed():
    """The first answers only confirm the floor."""
    estimate = ArrivalEstimate()
    told = [estimate.observe(0, 7, MARGIN) for _ in range(CONFIRMATIONS + 1)]
    assert [None] * CONFIRMATIONS + [0] == told


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**6))
def test_lateness_does_not_depend_on_the_offset_of_the_clocks(offset, late):
    """The unknown difference cancels, be it an hour or a century."""
    assert late == _trained(offset).observe(1, offset + late, MARGIN)


@given(st.lists(st.integers(0, 50_000), min_size=60, max_size=200))
def test_lateness_is_never_below_what_the_answers_before_show(ways):
    """Whatever the order of the answers, a believed lateness is at least that over the fastest way so far."""
    estimate = ArrivalEstimate()
    for i, way in enumerate(ways):
        told = estimate.observe(i, way, MARGIN)
        assert told is None or told >= way - min(ways[: i + 1])


def test_answer_that_undercuts_the_floor_casts_doubt_on_it():
    """A faster way, or a clock set back: the safe rule again until enough answers agree."""
    estimate = _trained()
    assert estimate.observe(1, -MARGIN, MARGIN) == 0
    assert estimate.observe(1, -2 * MARGIN - 1, MARGIN) is None
    assert [None] * (CONFIRMATIONS - 1) == [estimate.observe(1, 0, MARGIN) for _ in range(CONFIRMATIONS - 1)]
    assert estimate.observe(1, 0, MARGIN) > 2 * MARGIN


def test_answer_a_little_faster_than_any_before_costs_a_jittering_way_some_of_its_answers():
    """The floor stays believed, with so much doubt that the answer would have been within it; a step ends it."""
    chance = random.Random(2)
    estimate = ArrivalEstimate()
    for i in range(300):
        estimate.observe(i, chance.randrange(40_000), MARGIN)
    assert estimate.observe(300, -5_000, MARGIN) > 5_000 - 2 * MARGIN - 1_000
    assert 50 < estimate.agreed < 150
    assert estimate.observe(301, -5_000 - 30_000, MARGIN) is None


def test_doubt_about_the_floor_shrinks_with_the_answers():
    """A jittering way: the same request is told to be less late when more answers are known."""
    chance = random.Random(2)
    estimate, told = ArrivalEstimate(), {}
    for i in range(1, 601):
        lateness = estimate.observe(i, 50_000 if i in {100, 600} else chance.randrange(40_000), MARGIN)
        told[i] = lateness
    assert 50_000 < told[600] < told[100] < 55_000


def test_clock_set_forward_makes_requests_look_late_until_the_floor_is_forgotten():
    """Late means a later return, which the safe rule bounds; after two periods the new floor holds."""
    estimate = _trained()
    assert estimate.observe(1, 10**6, MARGIN) == 10**6
    for at in range(0, 2 * PERIOD_US + 1, PERIOD_US // 60):
        estimate.observe(at, 10**6, MARGIN)
    for _ in range(300):
        estimate.observe(2 * PERIOD_US, 10**6, MARGIN)
    assert estimate.observe(2 * PERIOD_US + 1, 10**6, MARGIN) == 0


@pytest.mark.parametrize("at", [2 * PERIOD_US, 9 * PERIOD_US, -1])
def test_floor_is_forgotten_after_a_pause_and_when_the_buckets_clock_stepped_back(at):
    """What nobody confirmed lately is not believed."""
    assert _trained().observe(at, 0, MARGIN) is None


def test_addition_to_the_margin_doubles_and_fades():
    """Each refusal doubles it up to a bound; each minute without one halves it."""
    additions = [0]
    for _ in range(8):
        additions.append(widen(additions[-1]))
    assert [0, 1000, 2000, 4000, 8000, 16000, WIDEST_US, WIDEST_US, WIDEST_US] == additions
    assert [WIDEST_US, WIDEST_US // 2, 1, 0] == [
        widened(WIDEST_US, 5, 5 + NARROWING_US * halvings) for halvings in (0, 1, 14, 10**6)
    ]


class Way:
    """Requests that travel to an exchange and back, through buckets that learn the way."""

    def __init__(self, *, offset_ms: int = 3_600_000) -> None:
        self.clock = HandClock()
        self.buckets = MemoryBuckets(self.clock, starts_full=True)
        self.offset_ms = offset_ms

    def go(self, there_ms: float, back_ms: float = 5.0, *, venue: str = "simulator") -> None:
        """Send one request and settle its answer."""
        grant = take(self.buckets, UID, IP, max_wait_s=2)
        self.clock.sleep(grant.wait_s + there_ms / 1000)
        exchange_ms = self.clock.now_us // 1000 + self.offset_ms
        self.clock.sleep(back_ms / 1000)
        self.buckets.settle(grant, sent=True, trip=Trip(venue, 0.0, exchange_ms))

    def away_for_s(self, name: str) -> float:
        """Return after how long the last token of ours is back in a bucket."""
        flight = self.buckets._buckets[name].flight
        at = max(at for token, at in flight.items() if not token.startswith("~"))
        return (at - self.clock.now_us) / 1_000_000


def test_token_returns_one_window_after_the_arrival():
    """Sent at 0, arrived 8 ms later than the fastest, answered after 113 ms: back at 1.008 s, plus 1 and 2 ms."""
    way = Way()
    for _ in range(CONFIRMATIONS):
        way.go(5)
    way.go(13, 100)
    assert 1.008 + 0.003 - 0.113 == pytest.approx(way.away_for_s("uid"))


def test_token_of_the_egress_returns_by_the_safe_rule():
    """One exchange's clock and way say nothing of the others behind the same IP."""
    way = Way()
    for _ in range(CONFIRMATIONS + 1):
        way.go(5)
    assert way.away_for_s("ip") == 5.0


def test_token_whose_arrival_is_not_known_returns_by_the_safe_rule():
    """Too few answers, or another exchange: one window after the answer."""
    way = Way()
    for _ in range(CONFIRMATIONS):
        way.go(5)
        assert way.away_for_s("uid") == 1.0
    way.go(5, venue="testnet")
    assert way.away_for_s("uid") == 1.0


def test_token_never_returns_later_than_by_the_safe_rule():
    """The exchange's clock was set forward by a minute: no token pays for it."""
    way = Way()
    for _ in range(CONFIRMATIONS + 1):
        way.go(5)
    way.offset_ms += 60_000
    way.go(5)
    assert way.away_for_s("uid") == 1.0


def test_refusal_widens_the_margin_of_its_bucket_for_a_while():
    """Once refused, tokens come back a millisecond later, and for the next refusal two."""
    way = Way()
    for _ in range(CONFIRMATIONS + 1):
        way.go(5)
    usual = way.away_for_s("uid")
    for added_ms in (1, 2):
        way.buckets.block(UID, for_s=0, is_refusal=True)
        way.go(5)
        assert usual + added_ms / 1000 == pytest.approx(way.away_for_s("uid"))


def test_first_of_two_hosts_lowers_the_floor_of_the_other():
    """A host nearer to the exchange may take the tokens of one farther off: there is one floor for both."""
    far, near = 80, 5
    way = Way()
    for _ in range(CONFIRMATIONS + 1):
        way.go(far)
    way.go(near)
    for _ in range(CONFIRMATIONS):
        way.go(near)
    way.go(far, 5)
    assert 1.0 + (far - near) / 1000 + 0.003 - 0.085 == pytest.approx(way.away_for_s("uid"))


def test_floor_of_a_jittering_way_is_believed_soon():
    """Log-normal jitter of 20 ms at 100 ms one way: some 60 answers until tokens return by arrival."""
    chance = random.Random(5)
    estimate = ArrivalEstimate()
    ways = [round(100_000 + chance.lognormvariate(9.9, 0.5)) for _ in range(300)]
    told = [estimate.observe(i, way, MARGIN) for i, way in enumerate(ways)]
    assert None not in told[60:]
