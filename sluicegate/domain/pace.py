"""Pace: when a stream is pinged, when it counts as dead, and how long to wait before the next try. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sluicegate.domain.policy import Rng


class Pulse(Enum):
    """What a watchdog says of a connection."""

    GOOD = "good"
    PING = "ping"
    SILENT = "silent"  # nothing at all came since a ping that is overdue
    PONGLESS = "pongless"  # data comes, pongs do not: our side is not heard any more


@dataclass(frozen=True, slots=True)
class Beat:
    """The rhythm of a connection, seconds.

    Bybit advises a ping every 20 s and drops a connection after 10 minutes without ping-pong and data.
    Source: Bybit V5 WebSocket connect page, docs of 2026-07-24.

    Attributes:
        ping_s: between two pings.
        pong_s: how long a pong may take.
    """

    ping_s: float = 20.0
    pong_s: float = 5.0

    @property
    def pongless_s(self) -> float:
        """Return how long data may come without any pong."""
        return 3 * self.ping_s + self.pong_s


@dataclass(slots=True)
class Watchdog:
    """Watches one connection: data and pongs. Times are monotonic seconds.

    A connection may be dead in three ways: nothing comes at all; data comes but no pong, so that our side is not
    heard; pongs come but the topics are dead. The last does not show here: who knows what must have come sees it.
    """

    beat: Beat
    heard_at: float
    ponged_at: float
    pinged_at: float
    due_pong: bool = False

    @classmethod
    def start(cls, beat: Beat, now: float) -> Watchdog:
        """Watch a connection that has just been opened."""
        return cls(beat, heard_at=now, ponged_at=now, pinged_at=now)

    def pinged(self, now: float) -> None:
        """Note that a ping was sent."""
        self.pinged_at, self.due_pong = now, True

    def heard(self, now: float, *, is_pong: bool) -> None:
        """Note that a message came."""
        self.heard_at = now
        if is_pong:
            self.ponged_at, self.due_pong = now, False

    def pulse(self, now: float) -> Pulse:
        """Judge the connection."""
        if self.due_pong and self.heard_at < self.pinged_at <= now - self.beat.pong_s:
            return Pulse.SILENT
        if now - self.ponged_at > self.beat.pongless_s:
            return Pulse.PONGLESS
        return Pulse.PING if now - self.pinged_at >= self.beat.ping_s else Pulse.GOOD


def full_jitter(tries: int, *, base_s: float, cap_s: float, rng: Rng) -> float:
    """Return how long to wait before the next try.

    Args:
        tries: that failed in a row; 0 for the first.
        base_s: the longest first wait.
        cap_s: the longest wait of all.
        rng: from 0 to 1. Everybody who was cut off at the same time waits differently long.
    """
    return rng() * min(cap_s, base_s * 2.0 ** min(tries, 30))
