"""Looks by REST grow rarer while a stream is up, and come back when it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluicegate.domain.holdings import AccountView
from sluicegate.domain.lifecycle import State
from sluicegate.services.agenda import Agenda, Looks
from sluicegate.services.health import FRESH, KEEP_S, StreamHealth
from tests.unit.domain.test_comparison import order

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Books:
    """A ledger that knows one stream, and a clock."""

    def __init__(self) -> None:
        self.at = NOON
        self.stream_at: datetime | None = None

    def view(self, account: str) -> AccountView:
        """Return what is known of the stream."""
        return AccountView(account, stream_at=self.stream_at)

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds."""
        return self.at.timestamp()


def test_shown_order_of_a_healthy_stream_is_looked_at_rarely() -> None:
    """The stream tells; without it, before it showed the order, and in doubt looks are what they were."""
    books: Any = Books()
    health = StreamHealth(books, books)
    agenda = Agenda(books, books, books, Looks(streamed_s=120), health.is_up)
    shown = order(acked_at=NOON - timedelta(seconds=9))
    assert NOON + timedelta(seconds=9) == agenda.next_look(shown)

    books.at += timedelta(seconds=KEEP_S + 1)
    books.stream_at = books.at
    assert books.at + timedelta(seconds=120) == agenda.next_look(shown)
    assert books.at + timedelta(seconds=120) > agenda.next_look(replace(shown, exchange_status=""))
    assert books.at + timedelta(seconds=120) > agenda.next_look(replace(shown, state=State.IN_DOUBT))

    books.at += FRESH + timedelta(seconds=1)
    assert books.at + timedelta(seconds=120) > agenda.next_look(shown)
