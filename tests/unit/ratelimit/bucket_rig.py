"""A clock moved by hand and a little world of events for tests of the token buckets."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sluicegate.domain.errors import BucketDenied
from sluicegate.ports import Buckets, BucketSpec, Grant

LEASE_S = 10.0


class HandClock:
    """A clock that stands still until it is moved; whole microseconds, so that nothing is rounded."""

    def __init__(self) -> None:
        self.now_us = 1_000_000_000

    def now(self) -> datetime:
        """Return the time as a date."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.now_us)

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now_us / 1_000_000

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.now_us += round(seconds * 1_000_000)


class World:
    """Runs what is planned in order of time, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._turn = itertools.count()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Plan something."""
        at = self.clock.now_us + round(seconds * 1_000_000)
        heapq.heappush(self._plans, (at, next(self._turn), what))

    def run(self) -> None:
        """Let time pass until nothing is planned."""
        while self._plans:
            self.clock.now_us, _, what = heapq.heappop(self._plans)
            what()


def ask(buckets: Buckets, *specs: BucketSpec, max_wait_s: float = 0.0, lease_s: float = LEASE_S) -> Grant | float:
    """Return the grant, or in how many seconds to come back."""
    try:
        return buckets.acquire(specs, max_wait_s=max_wait_s, lease_s=lease_s)
    except BucketDenied as denied:
        return denied.retry_after_s


def take(buckets: Buckets, *specs: BucketSpec, max_wait_s: float = 0.0, lease_s: float = LEASE_S) -> Grant:
    """Return a grant that must be given."""
    return buckets.acquire(specs, max_wait_s=max_wait_s, lease_s=lease_s)


def most_in_a_window(instants: list[int], window: int) -> int:
    """Return the largest number of instants in any half-open interval of one window."""
    ordered = sorted(instants)
    most = first = 0
    for last, instant in enumerate(ordered):
        while instant - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most
