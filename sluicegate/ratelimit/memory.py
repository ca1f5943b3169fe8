"""Token buckets in one process: the same rules as in Redis, for tests and models.

`bucket.py` explains the rules; the Lua files are the other implementation, and property tests hold them together.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, BucketState, Clock, Grant, Lane, LaneGrant, LaneKind, Trip
from sluicegate.ratelimit.arrival import MARGIN_S, RESOLUTION_US, ArrivalEstimate, widen, widened
from sluicegate.ratelimit.lease import (
    CEDED_WINDOWS,
    LEARNED_FOR_S,
    Observed,
    bucket_state,
    check_lanes,
    check_specs,
    check_times,
    lane_grant,
    new_nonce,
    reading_us,
    ready_us,
    to_us,
)


@dataclass(slots=True)
class _Bucket:
    """What Redis keeps of a bucket; instants in microseconds."""

    documented: int = 0
    window: int = 0
    learned: int = 0
    learned_until: int = 0
    blocked_until: int = 0
    ticket_at: int = 0
    ticket_since: int = 0
    asked: int = 0
    widened: int = 0
    widened_at: int = 0
    flight: dict[str, int] = field(default_factory=dict)

    def limit(self, now: int) -> int:
        return self.learned if self.learned_until > now else self.documented

    def away(self, now: int) -> list[tuple[int, str]]:
        """Return the tokens in flight, earliest to come back first."""
        return sorted((at, token) for token, at in self.flight.items() if at > now)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one caller sees of a bucket."""

    bucket: _Bucket
    limit: int
    cost: int
    gate: int
    back: float

    @property
    def ready(self) -> float:
        return max(self.gate, self.back)

    @property
    def comes_at(self) -> float:
        """Return when to look again: what costs more than the limit is never ready, but the limit may change."""
        return self.ready if self.ready < math.inf else self.gate + self.bucket.window

    def room(self, ready: int, step: int, orders: int) -> int:
        """Return for how many orders there are tokens at an instant at which there are for one."""
        if step == 0:
            return orders
        return min(orders, 1 + (self.limit - len(self.bucket.away(ready)) - self.cost) // step)


class MemoryBuckets:
    """Token buckets of one process; safe to share between its threads.

    Args:
        clock: its `monotonic` is the time of all buckets.
        starts_full: True: the first caller finds full buckets. False: as in Redis, nothing passes until one window
            after the first call.
        margin_s: as in `RedisBuckets`.
    """

    def __init__(self, clock: Clock, *, starts_full: bool = False, margin_s: float = MARGIN_S) -> None:
        self._clock = clock
        self._margin = to_us(margin_s)
        self._venues: dict[str, ArrivalEstimate] = {}
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._epoch: float | None = -math.inf if starts_full else None

    def forget(self) -> None:
        """Lose everything, as Redis does on FLUSHALL."""
        with self._lock:
            self._buckets.clear()
            self._venues.clear()
            self._epoch = None

    def acquire(self, specs: Sequence[BucketSpec], *, max_wait_s: float, lease_s: float) -> Grant:
        """Take tokens from every bucket named, or from none; see `Buckets`."""
        check_specs(specs)
        check_times(max_wait_s, lease_s)
        max_wait, lease = to_us(max_wait_s), to_us(lease_s)
        with self._lock:
            now = self._now()
            looks = [self._look(spec, now) for spec in specs]
            ready = max(look.ready for look in looks)
            if ready - now <= max_wait:
                lease_id = f"{int(ready)}-{new_nonce()}"
                for look in looks:
                    _put(look.bucket.flight, lease_id, look.cost, int(ready) + lease)
                return Grant(lease_id, (int(ready) - now) / 1_000_000, tuple(specs), lease_s)
            late = [look for look in looks if look.ready - now > max_wait]
            retry_at = max(_give_ticket(look, now, lease) for look in late)
            raise BucketDenied(f"no token within {max_wait_s} s", retry_after_s=(retry_at - now) / 1_000_000)

    def acquire_lane(
        self,
        lanes: Sequence[Lane],
        beside: Sequence[BucketSpec],
        *,
        orders: int,
        max_wait_s: float,
        lease_s: float,
    ) -> LaneGrant:
        """Take tokens from the lane that grants first; see `Buckets`."""
        check_lanes(lanes, beside, orders)
        check_times(max_wait_s, lease_s)
        max_wait, lease = to_us(max_wait_s), to_us(lease_s)
        with self._lock:
            now = self._now()
            common = [self._look(spec, now) for spec in beside]
            lane, look = self._choose(lanes, orders, now)
            looks = [*common, look]
            ready = max(look.ready for look in looks)
            if ready - now > max_wait:
                retry_at = max(look.comes_at for look in looks if look.ready - now > max_wait)
                message = f"no token within {max_wait_s:g} s"
                raise BucketDenied(message, retry_after_s=(retry_at - now) / 1_000_000)
            is_alone = lane.kind is LaneKind.ALONE
            steps = [(one, one.cost if is_alone else 0) for one in common]
            steps.append((look, look.cost if is_alone else lane.step))
            granted = min(one.room(int(ready), step, orders) for one, step in steps)
            lease_id = f"{int(ready)}-{new_nonce()}"
            wait_s = (int(ready) - now) / 1_000_000
            given = lane_grant(
                lanes, beside, kind=lane.kind, lease_id=lease_id, wait_s=wait_s, lease_s=lease_s, orders=granted
            )
            for grant in given.grants:
                for spec in grant.specs:
                    _put(self._bucket(spec.name).flight, grant.lease_id, spec.cost, int(ready) + lease)
            return given

    def _choose(self, lanes: Sequence[Lane], orders: int, now: int) -> tuple[Lane, _Look]:
        preferred = sorted(lanes, key=lambda lane: lane.kind, reverse=orders > 1)
        lane, look = preferred[0], self._look(preferred[0].spec, now)
        if look.ready > now and len(preferred) > 1:
            other = self._look(preferred[1].spec, now)
            if other.ready < look.ready:
                return preferred[1], other
        return lane, look

    def settle(
        self, grant: Grant, *, sent: bool, observed: RateHeaders | None = None, trip: Trip | None = None
    ) -> None:
        """Say what became of the tokens; see `Buckets`."""
        told = Observed.of(observed)
        ready = ready_us(grant.lease_id)
        with self._lock:
            now = self._now()
            for spec in grant.specs:
                flight, window = self._bucket(spec.name).flight, to_us(spec.window_s)
                for token in [token for token, at in flight.items() if at <= min(now, ready) - window]:
                    del flight[token]
                if not sent:
                    _give_back(flight, grant.lease_id, spec.cost)
                    continue
                at: float = max(now, ready) + window
                if spec is grant.specs[0] and trip is not None:
                    at = min(at, self._first_return(spec, ready, trip, now))
                _put(flight, grant.lease_id, spec.cost, int(at))
            if sent and told.limit > 0:
                self._learn(grant, told, now)

    def block(self, spec: BucketSpec, *, for_s: float, is_refusal: bool = False) -> None:
        """Let nothing through a bucket for a while; see `Buckets`."""
        with self._lock:
            bucket = self._bucket(spec.name)
            bucket.documented, bucket.window = spec.limit, to_us(spec.window_s)
            now = self._now()
            was_blocked = bucket.blocked_until > now
            bucket.blocked_until = max(bucket.blocked_until, now + max(0, to_us(for_s)))
            if is_refusal:
                bucket.widened = widen(widened(bucket.widened, bucket.widened_at, now))
                bucket.widened_at = now
                out = sum(at > now and token.startswith("~") for token, at in bucket.flight.items())
                theirs = min(out + (not was_blocked), bucket.limit(now) - 1)
                _cede(bucket.flight, [now + CEDED_WINDOWS * bucket.window] * theirs)

    def states(self) -> list[BucketState]:
        """Return every bucket that is known, by name."""
        with self._lock:
            now = self._now()
            epoch = now if self._epoch is None else self._epoch
            rows = []
            for name, bucket in sorted(self._buckets.items()):
                if bucket.documented:
                    gate = int(max(now, epoch + bucket.window, bucket.blocked_until))
                    limit, in_flight = bucket.limit(now), len(bucket.away(now))
                    rows.append(bucket_state(name, limit, in_flight, gate - now, bucket.window))
            return rows

    def _now(self) -> int:
        return round(self._clock.monotonic() * 1_000_000)

    def _bucket(self, name: str) -> _Bucket:
        return self._buckets.setdefault(name, _Bucket())

    def _look(self, spec: BucketSpec, now: int) -> _Look:
        if self._epoch is None:
            self._epoch = now
        bucket = self._bucket(spec.name)
        bucket.documented, bucket.window = spec.limit, to_us(spec.window_s)
        limit, away = bucket.limit(now), bucket.away(now)
        missing = len(away) + spec.cost - limit
        back: float = now
        if missing > 0:
            back = away[missing - 1][0] if missing <= len(away) else math.inf
        gate = int(max(now, bucket.blocked_until, self._epoch + bucket.window))
        look = _Look(bucket, limit, spec.cost, gate, back)
        _count_callers(look, now)
        return look

    def _first_return(self, spec: BucketSpec, ready: int, trip: Trip, now: int) -> float:
        exchange, left_after = reading_us(trip)
        if not exchange:
            return math.inf
        estimate = self._venues.setdefault(trip.venue, ArrivalEstimate())
        late = estimate.observe(now, exchange - ready - left_after, self._margin)
        if late is None:
            return math.inf
        bucket = self._bucket(spec.name)
        margin = self._margin + widened(bucket.widened, bucket.widened_at, now)
        return ready + left_after + late + RESOLUTION_US + to_us(spec.window_s) + margin

    def _learn(self, grant: Grant, told: Observed, now: int) -> None:
        spec = grant.specs[0]
        bucket, believe = self._bucket(spec.name), to_us(LEARNED_FOR_S)
        if bucket.learned != told.limit or bucket.learned_until < now + believe / 2:
            bucket.learned, bucket.learned_until = told.limit, now + believe
        if told.remaining >= 0:
            ready, window = ready_us(grant.lease_id), to_us(spec.window_s)
            latest = now + to_us(grant.lease_s)
            ours = [at for token, at in bucket.flight.items() if not token.startswith("~")]
            explained = sum(ready < at <= latest for at in ours)
            foreign = max(0, told.limit - told.remaining - explained)
            _cede(bucket.flight, [now + window + window * left // foreign for left in range(foreign, 0, -1)])


def _count_callers(look: _Look, now: int) -> None:
    bucket = look.bucket
    if bucket.ticket_at <= now or bucket.ticket_since > now:
        return
    bucket.asked += look.cost
    elapsed = now - bucket.ticket_since
    if elapsed >= 2 * bucket.window:
        due = elapsed * look.limit / bucket.window
        if 2 * bucket.asked < due:
            bucket.ticket_at = now + math.floor((bucket.ticket_at - now) * bucket.asked / due)
        bucket.asked = 0
        bucket.ticket_since = now


def _give_ticket(look: _Look, now: int, lease: int) -> int:
    bucket = look.bucket
    pace = math.ceil(bucket.window * look.cost / look.limit)
    back = look.back
    if back > now + bucket.window:
        sent_at = now if back == math.inf else back - lease
        back = min(back, max(now, sent_at) + bucket.window)
    first = int(max(look.gate, back, now + pace))
    if bucket.ticket_at <= now:
        bucket.ticket_since, bucket.asked = first, 0
    at = max(bucket.ticket_at, first)
    bucket.ticket_at = at + pace
    return at


def _put(flight: dict[str, int], owner: str, count: int, at: int) -> None:
    for i in range(1, count + 1):
        flight[f"{owner}:{i}"] = at


def _cede(flight: dict[str, int], back_at: Sequence[int]) -> None:
    """Keep tokens out of the bucket that someone else uses; see settle.lua."""
    for i, at in enumerate(back_at, 1):
        flight[f"~:{i}"] = max(at, flight.get(f"~:{i}", 0))


def _give_back(flight: dict[str, int], lease_id: str, count: int) -> None:
    for i in range(1, count + 1):
        flight.pop(f"{lease_id}:{i}", None)
