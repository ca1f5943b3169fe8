"""What must hold for every run of the token buckets, searched by hypothesis on a clock moved by hand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bucket_rig import HandClock, World, ask, most_in_a_window
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.ports import BucketSpec, Grant
from sluicegate.ratelimit.lease import ready_us
from sluicegate.ratelimit.memory import MemoryBuckets

LEASE_S = 2.0


class Fate(Enum):
    """What becomes of a request that was granted."""

    ANSWERED = "answered"
    UNSENT = "unsent"
    LOST = "lost"
    """It arrived, and nobody heard of it again: the answer was lost or the worker died."""


@dataclass(frozen=True)
class Plan:
    """One request of a run: when it asks and how the network and its worker behave."""

    asks_at_s: float
    cost: int
    max_wait_s: float
    there_s: float
    back_s: float
    fate: Fate


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
)


class Run:
    """Plays plans against two buckets and notes when each request arrives at the exchange."""

    def __init__(self, uid: BucketSpec, ip: BucketSpec) -> None:
        self.world = World()
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
        self.world.after(grant.wait_s + plan.there_s, lambda: self._arrive(plan.cost))
        if plan.fate is Fate.ANSWERED:
            trip_s = grant.wait_s + plan.there_s + plan.back_s
            self.world.after(trip_s, lambda: self.buckets.settle(grant, sent=True))

    def _arrive(self, cost: int) -> None:
        self.arrivals["uid"] += [self.world.clock.now_us] * cost
        self.arrivals["ip"].append(self.world.clock.now_us)


@given(st.lists(plans, max_size=40), st.integers(2, 3), st.integers(2, 4))
def test_arrivals_in_any_rolling_window_never_exceed_the_limit(run_of, uid_limit, ip_limit):
    """Whatever the delays, losses, crashes and waits, as long as a request arrives within lease minus window."""
    run = Run(BucketSpec("uid", uid_limit, 1.0), BucketSpec("ip", ip_limit, 1.1))
    for plan in run_of:
        run.add(plan)
    run.world.run()
    assert most_in_a_window(run.arrivals["uid"], 1_000_000) <= uid_limit
    assert most_in_a_window(run.arrivals["ip"], 1_100_000) <= ip_limit


steps = st.one_of(
    st.tuples(st.just("acquire"), st.integers(1, 3), st.sampled_from([0.0, 0.4, 1.2])),
    st.tuples(st.just("settle"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("sleep"), st.integers(1, 900), st.none()),
)


@given(st.lists(steps, max_size=50), st.integers(3, 5))
def test_tokens_are_neither_lost_nor_made(walk, limit):
    """In flight is what is held or was sent within one window; a denial adds nothing; at rest all is back."""
    clock = HandClock()
    buckets = MemoryBuckets(clock, starts_full=True)
    windows = {"uid": 1.0, "ip": 1.5}
    held: list[Grant] = []
    away: list[tuple[str, int]] = []
    for what, number, detail in walk:
        if what == "acquire":
            pair = BucketSpec("uid", limit, windows["uid"], number), BucketSpec("ip", 2 * limit, windows["ip"])
            answer = ask(buckets, *pair, max_wait_s=detail, lease_s=100)
            held += [answer] if isinstance(answer, Grant) else []
        elif what == "settle" and held:
            grant = held.pop(number % len(held))
            # whoever answers before its wait is over is taken to have sent at its end
            since = max(clock.now_us, ready_us(grant.lease_id))
            buckets.settle(grant, sent=detail)
            for spec in grant.specs if detail else ():
                away += [(spec.name, since + round(spec.window_s * 1_000_000))] * spec.cost
        elif what == "sleep":
            clock.sleep(number / 1000)
        for state in buckets.states():
            of_held = sum(spec.cost for grant in held for spec in grant.specs if spec.name == state.name)
            of_sent = sum(name == state.name and until > clock.now_us for name, until in away)
            assert state.in_flight == of_held + of_sent
            assert state.free == max(0, state.limit - state.in_flight)
    clock.sleep(110)
    assert all(state.free == state.limit for state in buckets.states())
