"""The ticket clock: denied callers come back one by one, are served in time, and do not wait for the vanished.

Each test runs a small world: orders ask, are granted or told when to come back, come back then, and their answers
take a round trip.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from bucket_rig import World, ask

from sluicegate.ports import BucketSpec, Grant
from sluicegate.ratelimit.memory import MemoryBuckets

SPEC = BucketSpec("uid", limit=10)


@dataclass
class Crowd:
    """Orders that ask one bucket until they are served."""

    max_wait_s: float = 0.0
    round_trip_s: float = 0.02
    late_by_s: float = 0.0
    world: World = field(default_factory=World)
    looks: dict[str, int] = field(default_factory=dict)
    served_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buckets = MemoryBuckets(self.world.clock, starts_full=True)
        self._chance = random.Random(7)

    def add(self, name: str, count: int, *, at_s: float = 0.0, vanishing: float = 0.0) -> None:
        """Let orders arrive; of those denied at first a share vanishes."""
        for i in range(count):
            stays = i >= count * vanishing
            self.world.after(at_s, lambda order=f"{name}{i}", stays=stays: self._come(order, stays=stays))

    def last(self, name: str) -> float:
        """Return when the last order of a group was served, in seconds from the start."""
        return max(at for order, at in self.served_at.items() if order.startswith(name)) - 1000

    def mean_looks(self) -> float:
        """Return how often an order asked, on average."""
        return sum(self.looks.values()) / len(self.looks)

    def _come(self, order: str, *, stays: bool) -> None:
        self.looks[order] = self.looks.get(order, 0) + 1
        answer = ask(self.buckets, SPEC, max_wait_s=self.max_wait_s)
        if isinstance(answer, Grant):
            self.served_at[order] = self.world.clock.monotonic() + answer.wait_s
            self.world.after(answer.wait_s + self.round_trip_s, lambda: self.buckets.settle(answer, sent=True))
        elif stays:
            late = self._chance.uniform(0, self.late_by_s)
            self.world.after(answer + late, lambda: self._come(order, stays=True))


@pytest.mark.parametrize(
    ("max_wait_s", "round_trip_s", "late_by_s", "longest_s"),
    [
        (0.25, 0.005, 0.0, 30.5),
        (0.25, 0.02, 0.0, 31.0),
        (0.25, 0.02, 0.5, 32.0),
        (0.25, 0.2, 0.0, 37.0),
        (0.0, 0.02, 0.0, 34.0),
    ],
)
def test_denied_orders_that_come_back_are_served_at_the_buckets_pace(
    max_wait_s, round_trip_s, late_by_s, longest_s
):
    """300 orders at 10/s need 30 s and the round trips; each is looked at about once after its first denial."""
    crowd = Crowd(max_wait_s, round_trip_s, late_by_s)
    crowd.add("order", 300)
    crowd.world.run()
    assert len(crowd.served_at) == 300
    assert crowd.last("order") <= longest_s
    assert crowd.mean_looks() <= 2.4


def test_denied_callers_get_an_instant_each():
    """No two are told the same instant, and neighbours are one token's pace apart."""
    world = World()
    buckets = MemoryBuckets(world.clock, starts_full=True)
    answers = [ask(buckets, SPEC) for _ in range(60)]
    instants = [answer for answer in answers if not isinstance(answer, Grant)]
    assert [round(1 + i / 10, 6) for i in range(50)] == [round(instant, 6) for instant in instants]


def test_tickets_of_callers_that_vanish_do_not_hold_up_a_later_burst():
    """1,000 denied orders vanish; a burst that comes after two windows waits seconds, not 100."""
    crowd = Crowd(max_wait_s=0.25)
    crowd.add("gone", 1000, vanishing=1.0)
    crowd.add("later", 30, at_s=4)
    crowd.world.run()
    assert crowd.last("later") - 4 <= 9


@pytest.mark.parametrize("vanishing", [0.5, 0.8])
def test_tickets_of_callers_that_partly_vanish_do_not_hold_up_a_later_burst(vanishing):
    """The rest keep coming; a burst among them is served as fast as the tokens allow, not at the queue's end."""
    crowd = Crowd(max_wait_s=0.25)
    crowd.add("first", 1000, vanishing=vanishing)
    crowd.add("later", 30, at_s=10)
    crowd.world.run()
    assert crowd.last("later") - 10 <= 12


def test_tickets_lead_stays_while_callers_come_back():
    """A true queue is not mistaken for a vanished one: after 20 s the 500th order's instant is still behind it."""
    crowd = Crowd(max_wait_s=0.25)
    crowd.add("first", 500)
    told = []
    crowd.world.after(20, lambda: told.append(ask(crowd.buckets, SPEC)))
    crowd.world.run()
    assert 27 <= told[0] <= 33


def test_tickets_after_a_block_start_at_its_end():
    """Orders denied by a block come back one by one after it, not all at once."""
    world = World()
    buckets = MemoryBuckets(world.clock, starts_full=True)
    buckets.block(SPEC, for_s=600)
    assert [round(ask(buckets, SPEC), 6) for _ in range(3)] == [600.0, 600.1, 600.2]
