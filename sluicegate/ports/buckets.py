"""Token buckets shared by all workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from sluicegate.domain.outcomes import RateHeaders


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One bucket: a scope of one Bybit limit.

    Attributes:
        name: stable key, e.g. `mainnet:1001:/v5/order/create:linear_inverse` or `egress:default`.
        limit: tokens, as documented for the account's tier; what the exchange says later wins.
        window_s: how long a spent token stays away.
        cost: tokens that one request takes from this bucket.
    """

    name: str
    limit: int
    window_s: float = 1.0
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens taken from several buckets at once.

    Attributes:
        lease_id: names the tokens until they are settled.
        wait_s: how long to wait before sending; the tokens are reserved.
        lease_s: after so long, counted from the end of the wait, they come back by themselves.
    """

    lease_id: str
    wait_s: float
    specs: tuple[BucketSpec, ...]
    lease_s: float


class LaneKind(IntEnum):
    """How orders travel: each in a request of its own, or all in one."""

    ALONE = 1
    TOGETHER = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """An endpoint through which orders may go.

    Attributes:
        path: the endpoint.
        kind: `ALONE`: a request for each order. `TOGETHER`: one request for all.
        spec: its bucket; `cost` is that of the first order.
        step: tokens that each further order of the same request takes.
    """

    path: str
    kind: LaneKind
    spec: BucketSpec
    step: int = 0


@dataclass(frozen=True, slots=True)
class LaneGrant:
    """Tokens for some orders in one lane.

    Attributes:
        orders: how many orders may go; as many as asked for, or fewer.
        grants: one for each request, the endpoint's bucket first; all have the same wait.
    """

    lane: Lane
    orders: int
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Trip:
    """How a request travelled, as far as its answer tells: this says when its tokens may come back.

    Attributes:
        venue: names the exchange that was asked, e.g. `mainnet`: one clock, one way there.
        left_after_s: from the end of the grant's wait until the request left, monotonic.
        exchange_ms: the exchange's clock in the answer, ms.
    """

    venue: str
    left_after_s: float
    exchange_ms: int


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as it stands: `limit` tokens for each `window_s`."""

    name: str
    limit: int
    free: int
    in_flight: int
    blocked_for_s: float
    window_s: float


class Buckets(Protocol):
    """Token buckets shared by all workers. Every method raises `BucketUnavailable` when they cannot be read."""

    def acquire(self, specs: Sequence[BucketSpec], *, max_wait_s: float, lease_s: float) -> Grant:
        """Take tokens from every bucket named, or from none.

        Args:
            specs: the buckets and what each costs.
            max_wait_s: longest wait that the caller will sleep for.
            lease_s: after so long without `settle` the tokens come back by themselves; longer than the request's
                time limit plus the window.

        Raises:
            BucketDenied: not within `max_wait_s`; carries when to come back.
        """

    def acquire_lane(
        self,
        lanes: Sequence[Lane],
        beside: Sequence[BucketSpec],
        *,
        orders: int,
        max_wait_s: float,
        lease_s: float,
    ) -> LaneGrant:
        """Take the tokens of at least one order and at most `orders` from the lane that grants first.

        It takes what is free when the first token is, and does not wait for the rest. When both lanes grant at
        once, several orders go together and one goes alone.

        Args:
            lanes: of different kinds.
            beside: buckets that every request needs besides, e.g. the IP's.
            orders: how many orders wait; no more than one request of the lane `TOGETHER` carries.
            max_wait_s: as in `acquire`.
            lease_s: as in `acquire`.

        Raises:
            BucketDenied: no lane has a token within `max_wait_s`. No ticket was given: who waits keeps its orders
                in line itself.
        """

    def settle(
        self, grant: Grant, *, sent: bool, observed: RateHeaders | None = None, trip: Trip | None = None
    ) -> None:
        """Say what became of the tokens.

        Args:
            grant: from `acquire`.
            sent: False: no request left, the tokens return at once. True: they return one window from now, or
                sooner if `trip` tells when the request arrived.
            observed: the response's headers, which concern the first bucket of the grant: its true limit.
            trip: how the request travelled; it concerns the first bucket of the grant, too.
        """

    def block(self, spec: BucketSpec, *, for_s: float, is_refusal: bool = False) -> None:
        """Let nothing through a bucket for a while: the exchange said so.

        Args:
            spec: the bucket.
            for_s: how long.
            is_refusal: the exchange refused a request that had its tokens: they come back later for a while, and
                one more counts as someone else's.
        """

    def states(self) -> list[BucketState]:
        """Return every bucket that is known."""
