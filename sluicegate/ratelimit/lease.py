"""The terms of a lease: what both kinds of bucket ask and answer in the same way.

A lease id is `READY-NONCE`: the instant (server time, microseconds) from which its holder may send, and a random
part. The instant travels in the id because `settle` needs it and nothing else has to remember it. Orders that got
their tokens together and go in a request each have a lease each: `READY-NONCE.1`, `READY-NONCE.2` and so on.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, BucketState, Grant, Lane, LaneGrant, LaneKind, Trip

LEARNED_FOR_S = 3600.0
"""How long a limit told by the exchange is believed: tiers change at most daily, and every response renews it."""

CEDED_WINDOWS = 10
"""For so long after a refusal one token more is left to whoever else spends the quota, until what they then use
shows: docs/adr/0019."""

LONGEST_LEASE_S = 3600.0
"""A key of tokens in flight lives at least so long after each acquire."""

NO_LANE = 0
"""Marks a bucket that every request needs, whatever lane it takes."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a response says about its bucket, checked.

    Attributes:
        limit: tokens per window; 0 when the response does not say.
        remaining: tokens that the exchange has left for us; -1 when the response does not say.
    """

    limit: int = 0
    remaining: int = -1

    @classmethod
    def of(cls, headers: RateHeaders | None) -> Observed:
        """Check headers; whatever makes no sense counts as not said."""
        if headers is None or headers.limit is None or headers.limit <= 0:
            return cls()
        if headers.remaining is None or not 0 <= headers.remaining <= headers.limit:
            return cls(headers.limit)
        return cls(headers.limit, headers.remaining)


def to_us(seconds: float) -> int:
    """Return whole microseconds, rounded up: a wait, a window and a lease may only grow."""
    return math.ceil(seconds * 1_000_000 - 1e-3)  # the subtrahend keeps 0.1 s from becoming 100001 us


def new_nonce() -> str:
    """Return the random part of a lease id: unlike any other, in this process and after a fork."""
    return secrets.token_hex(6)


def ready_us(lease_id: str) -> int:
    """Return the instant from which the holder of a lease may send."""
    return int(lease_id.partition("-")[0])


def reading_us(trip: Trip | None) -> tuple[int, int]:
    """Return the exchange's time in the answer and how long after the wait the request left; zeros: not told."""
    if trip is None or trip.exchange_ms <= 0 or not 0 <= trip.left_after_s < math.inf:
        return 0, 0
    return trip.exchange_ms * 1000, to_us(trip.left_after_s)


def check_specs(specs: Sequence[BucketSpec]) -> None:
    """Refuse specs that make no sense.

    A cost above the limit is no error: the exchange may have told a larger limit. If not, it is always denied.

    Raises:
        ValueError: no bucket, the same one twice, a cost or limit below 1, an empty window.
    """
    if not specs:
        raise ValueError("name at least one bucket")
    if len({spec.name for spec in specs}) != len(specs):
        raise ValueError("a bucket is named twice; add up the costs instead")
    for spec in specs:
        if spec.cost < 1 or spec.limit < 1:
            raise ValueError(f"bucket {spec.name}: cost and limit must be 1 or more")
        if to_us(spec.window_s) <= 0:
            raise ValueError(f"bucket {spec.name}: the window must be longer than 0 s")


def check_lanes(lanes: Sequence[Lane], beside: Sequence[BucketSpec], orders: int) -> None:
    """Refuse lanes that make no sense.

    Raises:
        ValueError: as `check_specs`; no lane, two of a kind, no order.
    """
    check_specs([*(lane.spec for lane in lanes), *beside])
    if not lanes or len({lane.kind for lane in lanes}) != len(lanes):
        raise ValueError("name one or two lanes, of different kinds")
    if orders < 1:
        raise ValueError(f"orders must be 1 or more, not {orders}")


def lane_grant(
    lanes: Sequence[Lane],
    beside: Sequence[BucketSpec],
    *,
    kind: int,
    lease_id: str,
    wait_s: float,
    lease_s: float,
    orders: int,
) -> LaneGrant:
    """Return the grants of the requests that a lane was given tokens for."""
    lane = next(lane for lane in lanes if lane.kind == kind)
    if lane.kind is LaneKind.ALONE:
        specs = (lane.spec, *beside)
        grants = tuple(Grant(f"{lease_id}.{i}", wait_s, specs, lease_s) for i in range(1, orders + 1))
        return LaneGrant(lane, orders, grants)
    paid = replace(lane.spec, cost=lane.spec.cost + lane.step * (orders - 1))
    return LaneGrant(lane, orders, (Grant(lease_id, wait_s, (paid, *beside), lease_s),))


def check_times(max_wait_s: float, lease_s: float) -> None:
    """Refuse times that make no sense.

    Raises:
        ValueError: a wait below 0, a lease that is not above 0, or one longer than idle keys live.
    """
    if not 0 <= max_wait_s < math.inf:
        raise ValueError(f"max_wait_s must be 0 or more, not {max_wait_s}")
    if not 0 < lease_s <= LONGEST_LEASE_S:
        raise ValueError(f"lease_s must be above 0 and {LONGEST_LEASE_S} at most, not {lease_s}")


def bucket_state(name: str, limit: int, in_flight: int, blocked_us: int, window_us: int) -> BucketState:
    """Return how a bucket stands; reserved tokens count as in flight, and a blocked bucket has nothing free."""
    free = 0 if blocked_us > 0 else max(0, limit - in_flight)
    return BucketState(name, limit, free, in_flight, blocked_us / 1_000_000, window_us / 1_000_000)
