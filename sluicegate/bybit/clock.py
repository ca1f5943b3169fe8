"""Clocks: the local one, and Bybit's as far as we have measured it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from sluicegate.ports import Clock


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        if seconds > 0:
            time.sleep(seconds)


class OffsetClock:
    """Bybit's clock: the local clock plus a measured offset.

    Bybit accepts a timestamp when `server_time - recv_window <= timestamp < server_time + 1000` (ms). The upper
    bound is the dangerous one: a clock one second ahead fails whatever the receive window. The offset is measured
    with the rule of NTP: the exchange's time is compared with the middle of the round trip; of recent measurements
    the one with the shortest round trip counts, because its error is at most half of it.

    Args:
        local: the local clock.

    Source: Bybit V5 integration guide and `GET /v5/market/time`, 2026-07-24.
    """

    def __init__(self, local: Clock) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._samples: list[tuple[float, float, float]] = []  # (round trip s, offset s, monotonic s)
        self._offset_s = 0.0

    _KEEP_S = 120.0

    @property
    def offset_s(self) -> float:
        """Return the exchange's clock minus ours, seconds."""
        return self._offset_s

    def now(self) -> datetime:
        """Return local time."""
        return self._local.now()

    def exchange_ms(self) -> int:
        """Return the exchange's time, ms."""
        return int((self._local.now().timestamp() + self._offset_s) * 1000)

    def to_exchange_ms(self, local: datetime) -> int:
        """Translate local time into the exchange's, ms."""
        return int((local.timestamp() + self._offset_s) * 1000)

    def to_local(self, exchange_ms: int) -> datetime:
        """Translate the exchange's time, ms, into local time."""
        return datetime.fromtimestamp(exchange_ms / 1000, UTC) - timedelta(seconds=self._offset_s)

    def observe(self, sent_at: datetime, received_at: datetime, exchange_ms: float) -> float:
        """Take one measurement.

        Args:
            sent_at: local time when the request left.
            received_at: local time when the answer came.
            exchange_ms: the exchange's time in the answer, ms.

        Returns:
            The offset now in force, seconds.
        """
        round_trip_s = max(0.0, (received_at - sent_at).total_seconds())
        middle = sent_at.timestamp() + round_trip_s / 2
        sample = (round_trip_s, exchange_ms / 1000 - middle, self._local.monotonic())
        with self._lock:
            self._samples = self._still_valid(sample)
            self._offset_s = min(self._samples)[1]
            return self._offset_s

    def adopt(self, offset_s: float) -> None:
        """Take an offset that another process of this host measured, unless this one measured itself."""
        with self._lock:
            if not self._samples:
                self._offset_s = offset_s

    def forget(self) -> None:
        """Drop all measurements: the exchange said that our clock is wrong."""
        with self._lock:
            self._samples = []

    def _still_valid(self, newest: tuple[float, float, float]) -> list[tuple[float, float, float]]:
        """Keep recent measurements that agree with the newest; one that does not was made before a clock step."""
        round_trip_s, offset_s, at = newest
        kept = [
            sample
            for sample in self._samples
            if at - sample[2] <= self._KEEP_S
            and abs(sample[1] - offset_s) <= (sample[0] + round_trip_s) / 2 + 0.005
        ]
        return [*kept[-15:], newest]
