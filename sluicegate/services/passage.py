"""Passages: requests that have their tokens, and what became of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeGuard

from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.outcomes import (
    NO_HEADERS,
    Acknowledged,
    Action,
    NeverSent,
    Outcome,
    RateHeaders,
    Refused,
    is_unanswered,
)
from sluicegate.ports import Answer, Lane, Trip

HOLDS_S = 5.0
"""So long after its tokens are there a request may be claimed: their lease is longer than a claim by this."""


def is_over_limit(outcome: Outcome | None) -> TypeGuard[Refused]:
    """Tell whether the exchange said "too many"."""
    return isinstance(outcome, Refused) and outcome.action is Action.BACK_OFF


@dataclass(slots=True)
class Passage:
    """One request on its way: tell it what became of the request.

    Attributes:
        waited_s: how long it waited for its tokens.
        is_sent: False until the request may have left.
        left_at_s: when it was signed, monotonic; None: not known.
        ready_at_s: when its tokens were there, monotonic.
        is_unanswered: it may have left, and nothing came back.
    """

    waited_s: float = 0.0
    is_sent: bool = False
    headers: RateHeaders | None = None
    outcome: Outcome | None = None
    left_at_s: float | None = None
    ready_at_s: float = math.inf
    is_unanswered: bool = False

    def check(self, now_s: float) -> None:
        """See whether the tokens still hold, before the claim: a process may have stood still since.

        Raises:
            BucketDenied: others may have them by the time at which the request would arrive.
        """
        if now_s - self.ready_at_s > HOLDS_S:
            raise BucketDenied("its tokens were there too long ago", retry_after_s=0.0)

    def leave(self) -> None:
        """Say that the request goes out: from now until it is known what became of it, it may arrive."""
        self.is_sent = self.is_unanswered = True

    def report(self, *answers: Answer) -> None:
        """Say what the request came to: for each order in it.

        One that was refused for the limit speaks for all: the exchange counted more than we did.
        """
        telling = next((answer for answer in answers if is_over_limit(answer.outcome)), answers[0])
        outcome = self.outcome = telling.outcome
        self.left_at_s = telling.left_at_s
        self.is_sent = not isinstance(outcome, NeverSent)
        self.headers = None if isinstance(outcome, NeverSent) else outcome.headers
        self.is_unanswered = is_unanswered(outcome)

    def answered(self, headers: RateHeaders = NO_HEADERS) -> None:
        """Say that a query was answered."""
        self.is_unanswered = False
        self.headers = headers

    def trip(self, venue: str, ready_at_s: float) -> Trip | None:
        """Return how the request travelled; None when its answer does not tell.

        Args:
            venue: where it went.
            ready_at_s: when its wait was over, monotonic.
        """
        told = self.outcome.exchange_time_ms if isinstance(self.outcome, Acknowledged | Refused) else None
        if told is None or self.left_at_s is None:
            return None
        return Trip(venue, max(0.0, self.left_at_s - ready_at_s), told)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Orders on their way through one lane.

    Attributes:
        orders: how many may go.
        passages: one for each request.
    """

    lane: Lane
    orders: int
    passages: tuple[Passage, ...]
