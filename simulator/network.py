"""The way to and from the exchange: a delay with log-normal jitter."""

from __future__ import annotations

import math
import random


class Network:
    """Draw one-way delays.

    Args:
        delay_ms: The shortest one-way trip.
        jitter_ms: Median of the log-normal part on top; 0 for none.
        seed: Same seed, same sequence of delays.
    """

    _SIGMA = 0.5

    def __init__(self, delay_ms: float = 0.0, jitter_ms: float = 0.0, seed: int = 1) -> None:
        self.delay_ms = delay_ms
        self.jitter_ms = jitter_ms
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311 - a reproducible model, no secret

    @property
    def is_instant(self) -> bool:
        """Say whether there is no delay at all."""
        return not self.delay_ms and not self.jitter_ms

    def trip_s(self) -> float:
        """Return the duration of the next one-way trip."""
        jitter = self._random.lognormvariate(math.log(self.jitter_ms), self._SIGMA) if self.jitter_ms else 0.0
        return (self.delay_ms + jitter) / 1000
