"""Arrival: when did a request reach the exchange? Read off the exchange's own clock, without knowing its offset.

A token may come back one window after the request that spent it *arrived*. The answer tells the exchange's time
`T`, in whole milliseconds, just after the request was handled; the bucket's clock said `s` when the request left.

    reading   x = T - s     the exchange's clock minus the bucket's, plus the way there
    floor     m = min x     over recent answers: the same plus the fastest way there
    lateness  x - m         how much longer this request was under way than the fastest one

No request that leaves from instant `t` on arrives before `t + m` on the exchange's clock. This one arrived before
`T + 1 ms`. So its token may be spent from `s + lateness + 1 ms + window` on. The unknown offset is gone. All
readings are taken on the clock of the buckets, whoever sends, from whatever host: one floor for all of them, which
a second host with a shorter way to the exchange lowers with its first answers.

A floor of n answers lies above the fastest way to come, by about (spread / n); `DOUBT` times that is added to each
return. The floor is believed after `CONFIRMATIONS` answers that did not undercut it by more than this doubt and
the margin. One that does takes back as many of them as it needs to have been within the doubt: few when an answer
of a jittery way was a little faster than any before, all when the way is shorter or a clock was set back. Until
there are enough again the safe rule holds: one window after the answer; no token ever returns later than by that
rule.

What must hold, so that no rolling window at the exchange ever holds more than the limit:

- A believed floor is at most that doubt and one margin above what the fastest request to come will read. It is an
  estimate: an order that undercuts it further may be refused, once.
- The exchange does not set its clock back; or if it does, no request is slower than the fastest by more than the
  margin until an answer has shown the step. Setting it forward is harmless: tokens come back by the safe rule
  until the old floor is forgotten. So are clocks of different rates.
- `T` is not earlier than the arrival, up to the millisecond in which it is told.
- Those of the buckets (`bucket.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONFIRMATIONS: Final = 50
"""Answers that must agree with the floor before it is believed: at 10 a second five seconds' worth."""

DOUBT: Final = 10
"""How many times (spread / answers) a floor may lie too high."""

MEMORY: Final = 16
"""The spread is a moving average over about so many answers."""

PERIOD_US: Final = 60_000_000
"""The floor is that of the current and the last period: 60 to 120 s of answers."""

RESOLUTION_US: Final = 1_000
"""The exchange tells whole milliseconds; the arrival may lie anywhere in the last one."""

MARGIN_S: Final = 0.002
"""What is added to each return, to begin with: for a way there that is faster than any seen lately."""

WIDEST_US: Final = 32_000
"""No more than this is ever added to the margin because the exchange refused: 3 % of a second."""

NARROWING_US: Final = 60_000_000
"""What was added is halved after so long without a refusal."""

_UNKNOWN: Final = 1 << 62


@dataclass(slots=True)
class ArrivalEstimate:
    """The floor of the readings of one exchange, and whether to believe it.

    All times are whole microseconds. `lua/settle.lua` is the other implementation.

    Attributes:
        since: start of the current period.
        lowest: the lowest reading of the current period, and `lowest_before` of the one before.
        agreed: answers that agreed with the floor, in the current period and in the one before.
        spread: average lateness of recent answers.
    """

    since: int = -_UNKNOWN
    lowest: int = _UNKNOWN
    agreed: int = 0
    lowest_before: int = _UNKNOWN
    agreed_before: int = 0
    spread: int = 0

    def observe(self, now: int, reading: int, margin: int) -> int | None:
        """Take the reading of one answer.

        Args:
            now: the bucket's clock.
            reading: the exchange's time in the answer minus the bucket's time when the request left.
            margin: how far beyond the doubt a reading may undercut the floor.

        Returns:
            How much later than on the fastest way the request may have arrived; None: not known yet, use the
            safe rule.
        """
        self._turn(now)
        floor = min(self.lowest, self.lowest_before)
        doubt = self._doubt()
        short = floor - margin - doubt - reading
        if short > 0:
            shaken = max(0, DOUBT * self.spread // short - 1)
            self.agreed, self.agreed_before = min(self.agreed + self.agreed_before, shaken), 0
            doubt = self._doubt()
        self.lowest = min(self.lowest, reading)
        self.agreed += 1
        late = max(0, reading - floor)
        self.spread += (late - self.spread) // MEMORY
        return late + doubt if self.agreed + self.agreed_before > CONFIRMATIONS else None

    def _doubt(self) -> int:
        return DOUBT * self.spread // (self.agreed + self.agreed_before + 1)

    def _turn(self, now: int) -> None:
        """Begin a new period when this one is over, or when it lies ahead: the bucket's clock stepped back."""
        age = now - self.since
        if 0 <= age < PERIOD_US:
            return
        kept = 0 <= age < 2 * PERIOD_US
        self.lowest_before = self.lowest if kept else _UNKNOWN
        self.agreed_before = self.agreed if kept else 0
        self.since, self.lowest, self.agreed = now, _UNKNOWN, 0


def widened(extra: int, since: int, now: int) -> int:
    """Return what is left of an addition to the margin that was made at `since`."""
    return extra >> min(max(0, (now - since) // NARROWING_US), 62)


def widen(left: int) -> int:
    """Return the addition to the margin after one more refusal, given what was left of the last."""
    return min(WIDEST_US, max(RESOLUTION_US, 2 * left))
