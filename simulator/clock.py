"""The exchange's two clocks: one that people may shift, one that only measures."""

from __future__ import annotations

import time


class Clock:
    """Tell the exchange's time.

    Everything a client can see (timestamps, retention, the signing window) uses the shiftable wall clock.
    Rate windows and delays use the monotonic clock, so shifting the exchange's time never refunds a limit.
    """

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        """Return the exchange's wall clock in ms since the epoch."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def now_ns(self) -> int:
        """Return the exchange's wall clock in ns since the epoch."""
        return time.time_ns() + self.offset_ms * 1_000_000

    @staticmethod
    def elapsed_ns() -> int:
        """Return a monotonic reading in ns; only differences mean anything."""
        return time.monotonic_ns()
