"""Amend and cancel requests move by compare-and-set and leave their trail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_cases import NOON, SNOOZE, StillClock, accept_one, change

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import ChangeKind, Order
from sluicegate.domain.records import Change, ChangeState
from sluicegate.ports import ChangePatch, Ledger


def test_add_change_numbers_them_in_order(ledger: Ledger) -> None:
    """Changes of one order are numbered from 1; each is a line of the trail that leaves the state alone."""
    order = accept_one(ledger)
    amend = ledger.add_change(change(order.order_id, "c1", ChangeKind.AMEND, fields={"qty": "0.02"}))
    cancel = ledger.add_change(change(order.order_id, "c2"))

    assert (amend.sequence, cancel.sequence) == (1, 2)
    assert ledger.changes(order.order_id) == [amend, cancel]
    asked = ledger.events(order.order_id)[1:]
    assert [(e.event, e.version, e.from_state, e.to_state) for e in asked] == [
        ("amend_requested", 1, "accepted", "accepted"),
        ("cancel_requested", 1, "accepted", "accepted"),
    ]
    assert asked[0].detail == {"change_id": "c1", "qty": "0.02"}
    assert ledger.get(order.order_id) == order


def test_add_change_of_unknown_order_raises(ledger: Ledger) -> None:
    """A change needs its order."""
    with pytest.raises(OrderNotFound, match="nothing-here"):
        ledger.add_change(change("nothing-here", "c1"))


def test_move_change_sets_columns_and_writes_event(ledger: Ledger, clock: StillClock) -> None:
    """A move stores its patch, raises the version, and is a line of the order's trail."""
    order = accept_one(ledger)
    asked = ledger.add_change(change(order.order_id, "c1"))
    clock.sleep(1)
    patch: ChangePatch = {
        "attempts": 1,
        "wake_at": NOON + SNOOZE,
        "horizon_ms": 1_900_000_000_000,
        "last_code": "10006",
        "last_message": "Too many visits!",
    }

    moved = ledger.move_change(asked, ChangeState.SUBMITTING, patch, {"attempt": 1})

    assert moved is not None
    assert {name: getattr(moved, name) for name in patch} == patch
    assert (moved.state, moved.version) == (ChangeState.SUBMITTING, asked.version + 1)
    assert ledger.open_changes(order.order_id) == [moved]
    last = ledger.events(order.order_id)[-1]
    assert (last.event, last.at) == ("cancel_submitting", NOON + timedelta(seconds=1))
    assert last.detail == {"change_id": "c1", "attempt": 1}


@pytest.mark.parametrize("state", [ChangeState.DONE, ChangeState.REFUSED, ChangeState.VOID])
def test_move_change_settled_stays_settled(ledger: Ledger, state: ChangeState) -> None:
    """A settled change sleeps for ever, is not open, and cannot be moved."""
    order = accept_one(ledger)
    asked = ledger.add_change(change(order.order_id, "c1"))

    settled = ledger.move_change(asked, state, {"wake_at": NOON}, {})

    assert settled is not None
    assert settled.wake_at is None
    assert ledger.open_changes(order.order_id) == []
    assert ledger.changes(order.order_id) == [settled]
    assert ledger.move_change(settled, ChangeState.PENDING, {}, {}) is None


def test_move_change_from_old_snapshot_changes_nothing(ledger: Ledger) -> None:
    """One of two who decide on the same snapshot wins; the other leaves no trace."""
    order = accept_one(ledger)
    asked = ledger.add_change(change(order.order_id, "c1"))
    moved = ledger.move_change(asked, ChangeState.SUBMITTING, {}, {})
    lines = len(ledger.events(order.order_id))

    assert ledger.move_change(asked, ChangeState.DONE, {}, {}) is None
    assert ledger.changes(order.order_id) == [moved]
    assert len(ledger.events(order.order_id)) == lines


def test_move_change_without_wake_at_shows_the_one_that_is_stored(ledger: Ledger) -> None:
    """The scheduler moves `wake_at` without a version; a move on the older snapshot returns the stored one."""
    order = accept_one(ledger)
    asked = ledger.add_change(change(order.order_id, "c1"))
    ledger.take_due_changes(NOON, limit=1, snooze=SNOOZE)

    moved: Change | None = ledger.move_change(asked, ChangeState.SUBMITTING, {}, {})

    assert moved is not None
    assert moved.wake_at == NOON + SNOOZE


def test_change_done_with_its_order_is_written_with_it(ledger: Ledger) -> None:
    """An order moves and its change becomes done, in one transaction."""
    order, asked = accept_one_with_change(ledger)
    moved = ledger.transition(order, Event.AMENDED_UNSENT, {"due_at": NOON + SNOOZE}, {}, done=asked)
    assert moved is not None
    assert moved.due_at == ledger.get(order.order_id).due_at == NOON + SNOOZE
    [stored] = ledger.changes(order.order_id)
    assert (stored.state, stored.wake_at, stored.last_code) == (ChangeState.DONE, None, "0")
    assert [e.event for e in ledger.events(order.order_id)][-2:] == ["amend_done", "amended_unsent"]


def test_change_that_was_moved_keeps_its_order_where_it_is(ledger: Ledger) -> None:
    """Somebody else settled the change: the order is not touched."""
    order, asked = accept_one_with_change(ledger)
    ledger.move_change(asked, ChangeState.SUBMITTING, {}, {})
    before = ledger.events(order.order_id)
    assert ledger.transition(order, Event.AMENDED_UNSENT, {"due_at": NOON + SNOOZE}, {}, done=asked) is None
    assert ledger.get(order.order_id) == order
    assert ledger.events(order.order_id) == before


def test_order_that_was_moved_keeps_its_change_open(ledger: Ledger) -> None:
    """Somebody else moved the order: the change is not touched."""
    order, asked = accept_one_with_change(ledger)
    ledger.transition(order, Event.DEFERRED, {}, {})
    before = ledger.events(order.order_id)
    assert ledger.transition(order, Event.AMENDED_UNSENT, {}, {}, done=asked) is None
    assert ledger.changes(order.order_id) == [asked]
    assert ledger.events(order.order_id) == before


def test_rest_change_lets_it_sleep_unless_it_was_moved(ledger: Ledger) -> None:
    """The sleep leaves no version and no line; a change that someone moved meanwhile keeps its own instant."""
    order, asked = accept_one_with_change(ledger)
    before = ledger.events(order.order_id)
    ledger.rest_change(asked, NOON + 2 * SNOOZE)
    [resting] = ledger.open_changes(order.order_id)
    assert (resting.wake_at, resting.version) == (NOON + 2 * SNOOZE, asked.version)
    assert ledger.events(order.order_id) == before
    moved = ledger.move_change(resting, ChangeState.SUBMITTING, {"wake_at": NOON + SNOOZE}, {})
    ledger.rest_change(resting, NOON + 3 * SNOOZE)
    assert [moved] == ledger.open_changes(order.order_id)


def accept_one_with_change(ledger: Ledger) -> tuple[Order, Change]:
    """Store an order and an amend of it."""
    order = accept_one(ledger)
    return order, ledger.add_change(change(order.order_id, "c1", ChangeKind.AMEND, fields={"qty": "0.02"}))
