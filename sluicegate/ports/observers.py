"""Those who count and measure what happens."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class StreamObserver(Protocol):
    """Counts what streams bring, besides what `Observer` counts. Never raises."""

    def moved(self, account: str, state: str) -> None:
        """Count one order that came into a state."""

    def streamed(self, account: str, topic: str, result: str, count: int = 1) -> None:
        """Count rows of a topic by what became of them."""

    def lagged(self, topic: str, seconds: float) -> None:
        """Measure how long after the exchange made an event it stood in the ledger."""

    def reconnected(self, account: str, reason: str) -> None:
        """Count one lost connection."""

    def differed(self, account: str, kind: str, count: int = 1) -> None:
        """Count differences between ledger and exchange that a comparison found."""


class Observer(Protocol):
    """Counts what happens. Never raises: a failing observer is counted and dropped."""

    def response(self, *, account: str, endpoint: str, category: str, ret_code: str, elapsed_s: float) -> None:
        """Count one answer of the exchange, or the lack of one."""

    def moved(self, account: str, state: str) -> None:
        """Count one order that came into a state."""

    def stage(self, stage: str, seconds: float) -> None:
        """Measure one stage of an order's way: queue, token, exchange, total."""

    def retried(self, reason: str) -> None:
        """Count one retry."""

    def waited(self, seconds: float) -> None:
        """Measure one wait for a token."""

    def spent(self, bucket: str, tokens: int) -> None:
        """Count tokens that a request took from a bucket."""

    def key_expires(self, account: str, at: datetime | None) -> None:
        """Show when the API key of an account ends; None for one that does not."""

    def paged(self, kind: str, result: str) -> None:
        """Count one page."""

    def clock_offset(self, account: str, seconds: float) -> None:
        """Show the exchange's clock minus ours."""
