"""A follower reads every event once, also when a later one is shown first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sluicegate.domain.orders import OrderEvent, OrderId
from sluicegate.ports import OrderUpdate
from sluicegate.services.tail import LONG_AGO, PATIENCE_S, Tail

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Events:
    """A ledger of events, and a clock."""

    def __init__(self) -> None:
        self.shown: dict[int, OrderUpdate] = {}
        self.at = NOON

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def monotonic(self) -> float:
        """Return the time, seconds."""
        return self.at.timestamp()

    def show(self, *positions: int, age: timedelta = timedelta(0)) -> None:
        """Let events become visible; their writer noted the time so long before."""
        for position in positions:
            event = OrderEvent(OrderId("1"), 1, self.at - age, "claimed", "accepted", "submitting", "test")
            self.shown[position] = OrderUpdate(position, "main", "linear", "BTCUSDT", "c", event)

    def events_after(self, position: int, *, limit: int) -> list[OrderUpdate]:
        """Return what is visible."""
        return [self.shown[key] for key in sorted(self.shown) if key > position][:limit]


def read(tail: Tail) -> list[int]:
    """Return the positions that were read."""
    return [update.position for update in tail.read()]


def test_event_that_commits_late_is_waited_for() -> None:
    """A gap is an event on its way; those behind it wait, and none is left out."""
    events: Any = Events()
    tail = Tail(events, events, 0)
    events.show(1, 3)
    assert [1] == read(tail)
    assert [] == read(tail)

    events.show(2)

    assert [2, 3] == read(tail)
    assert [] == read(tail)


def test_event_that_never_commits_does_not_hold_the_others_for_ever() -> None:
    """After a while a gap counts as a transaction that failed."""
    events: Any = Events()
    tail = Tail(events, events, 0)
    events.show(2)
    assert [] == read(tail)

    events.at = NOON + timedelta(seconds=PATIENCE_S)

    assert [2] == read(tail)


def test_event_that_commits_late_is_waited_for_however_old_the_next_is() -> None:
    """A writer notes the time before it waits for locks, and one instant for thousands of rows."""
    events: Any = Events()
    tail = Tail(events, events, 0)
    events.show(2, age=timedelta(seconds=20))
    assert [] == read(tail)

    events.show(1)

    assert [1, 2] == read(tail)


def test_gap_of_long_ago_is_not_waited_for() -> None:
    """Whoever resumes behind thousands of old events meets many gaps of transactions that failed."""
    events: Any = Events()
    events.show(2, 4, 6, age=LONG_AGO + timedelta(seconds=1))
    assert [2, 4, 6] == read(Tail(events, events, 0))
