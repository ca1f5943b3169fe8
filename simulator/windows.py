"""Counting inside time windows, exactly."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Window(Protocol):
    """Admit at most `limit` units in a window of time."""

    limit: int

    def take(self, now_ns: int, units: int) -> int:
        """Admit as many of `units` as still fit and return how many that is."""

    def free(self, now_ns: int) -> int:
        """Return how many units would fit now."""

    def resets_in_ns(self, now_ns: int) -> int:
        """Return how long until at least one unit fits, 0 if one fits now."""


class RollingWindow:
    """A sliding log: at most `limit` admitted units in any half-open interval of one window.

    A unit admitted at t counts against every t' with t' - t < window; exactly one window later it is free again.
    The log holds at most `limit` entries, so memory is bounded by the limit.
    """

    __slots__ = ("_log", "_used", "_window_ns", "limit")

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self._window_ns = window_ns
        self._log: deque[tuple[int, int]] = deque()
        self._used = 0

    def take(self, now_ns: int, units: int) -> int:
        """Admit as many of `units` as still fit and return how many that is."""
        admitted = min(units, self.free(now_ns))
        if admitted > 0:
            self._log.append((now_ns, admitted))
            self._used += admitted
        return max(admitted, 0)

    def free(self, now_ns: int) -> int:
        """Return how many units would fit now."""
        log = self._log
        horizon = now_ns - self._window_ns
        while log and log[0][0] <= horizon:
            self._used -= log.popleft()[1]
        return max(self.limit - self._used, 0)

    def resets_in_ns(self, now_ns: int) -> int:
        """Return how long until at least one unit fits, 0 if one fits now."""
        if self.free(now_ns) > 0 or not self._log:
            return 0
        return self._log[0][0] + self._window_ns - now_ns


class FixedWindow:
    """A counter that starts afresh at every multiple of the window.

    Its weakness, known and wanted here: two full windows may touch, so that a rolling window sees twice the limit.
    """

    __slots__ = ("_index", "_used", "_window_ns", "limit")

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self._window_ns = window_ns
        self._index = -1
        self._used = 0

    def take(self, now_ns: int, units: int) -> int:
        """Admit as many of `units` as still fit and return how many that is."""
        admitted = min(units, self.free(now_ns))
        self._used += admitted
        return admitted

    def free(self, now_ns: int) -> int:
        """Return how many units would fit now."""
        index = now_ns // self._window_ns
        if index != self._index:
            self._index = index
            self._used = 0
        return max(self.limit - self._used, 0)

    def resets_in_ns(self, now_ns: int) -> int:
        """Return how long until at least one unit fits, 0 if one fits now."""
        if self.free(now_ns) > 0:
            return 0
        return (self._index + 1) * self._window_ns - now_ns


class Peak:
    """Remember the largest number of units seen in any rolling window."""

    __slots__ = ("_log", "_sum", "_window_ns", "largest")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._log: deque[tuple[int, int]] = deque()
        self._sum = 0
        self.largest = 0

    def add(self, now_ns: int, units: int) -> None:
        """Count `units` that happened now."""
        log = self._log
        log.append((now_ns, units))
        self._sum += units
        horizon = now_ns - self._window_ns
        while log[0][0] <= horizon:
            self._sum -= log.popleft()[1]
        self.largest = max(self.largest, self._sum)
