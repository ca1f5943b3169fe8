"""Orders are stored once, whole, and found again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_cases import NOON, accept, accept_one, new_order

from sluicegate.domain.errors import LedgerConflict, OrderNotFound
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import OrderId, Receipt
from sluicegate.ports import Ledger, OrderFilter


def test_accept_new_order_gives_receipt_and_first_event(ledger: Ledger) -> None:
    """An accepted order is in the ledger with the event that says so."""
    new = new_order(client_order_id="my-1", deadline_s=60, priority=3)

    receipts = ledger.accept([new], wake_at=NOON)

    assert [Receipt(new.order_id, new.link_id, "main", "my-1", State.ACCEPTED, is_new=True)] == receipts
    order = ledger.get(new.order_id)
    assert new.request == order.request
    assert (
        order.state, order.version, order.priority, order.due_at, order.wake_at
    ) == (State.ACCEPTED, 1, 3, NOON, NOON)  # fmt: skip
    assert NOON + timedelta(seconds=60) == order.deadline_at
    (event,) = ledger.events(new.order_id)
    assert (
        event.event, event.from_state, event.to_state, event.version, event.actor, event.at
    ) == ("accepted", "", "accepted", 1, "test", NOON)  # fmt: skip
    assert {"request": new.request.to_json()} == event.detail


def test_accept_nothing_gives_nothing(ledger: Ledger) -> None:
    """No orders, no receipts."""
    assert ledger.accept([], wake_at=NOON) == []


def test_accept_same_content_again_gives_first_receipt(ledger: Ledger) -> None:
    """The same key with the same content is the same order, in whatever state it is now."""
    order = accept_one(ledger, client_order_id="my-1", qty="0.010")
    ledger.transition(order, Event.CLAIMED, {}, {})

    (receipt,) = ledger.accept([new_order(client_order_id="my-1", qty="0.01")], wake_at=NOON)

    assert Receipt(
        order.order_id, order.link_id, "main", "my-1", State.SUBMITTING, is_new=False
    ) == receipt  # fmt: skip
    assert len(ledger.events(order.order_id)) == 2


def test_accept_other_content_under_known_id_gives_conflict(ledger: Ledger) -> None:
    """The same key with other content is a conflict that names the holder, and the others are stored."""
    order = accept_one(ledger, client_order_id="my-1")

    conflict, receipt = ledger.accept(
        [new_order(client_order_id="my-1", qty="7"), new_order(client_order_id="my-2")], wake_at=NOON
    )

    assert isinstance(conflict, LedgerConflict)
    assert order.order_id == conflict.order_id
    assert "my-1" in str(conflict)
    assert isinstance(receipt, Receipt)
    assert receipt.is_new


def test_accept_repeats_inside_one_call_store_one_order(ledger: Ledger) -> None:
    """Repeats within a call are treated like repeats of an earlier call."""
    first = new_order(client_order_id="my-1")
    answers = ledger.accept(
        [first, new_order(client_order_id="my-1"), new_order(client_order_id="my-1", qty="9")], wake_at=NOON
    )

    assert isinstance(answers[0], Receipt)
    assert isinstance(answers[1], Receipt)
    assert isinstance(answers[2], LedgerConflict)
    assert (answers[0].is_new, answers[1].is_new) == (True, False)
    assert first.order_id == answers[1].order_id == answers[2].order_id
    assert ledger.count_orders() == {("main", State.ACCEPTED): 1}


def test_accept_same_new_order_twice_is_a_repeat(ledger: Ledger) -> None:
    """Whoever does not know whether a commit came through hands over the same orders again."""
    orders = [new_order(), new_order(client_order_id="x")]
    first = ledger.accept(orders, wake_at=NOON)

    second = ledger.accept(orders, wake_at=NOON)

    assert [r.order_id for r in first if isinstance(r, Receipt)] == [o.order_id for o in orders]
    assert [r.is_new for r in second if isinstance(r, Receipt)] == [False, False]


def test_accept_same_client_id_of_two_accounts_stores_two(ledger: Ledger) -> None:
    """The key belongs to an account."""
    a, b = accept(ledger, new_order(client_order_id="x"), new_order(client_order_id="x", account="other"))

    assert a.order_id != b.order_id
    assert b == ledger.find("other", "x")


def test_accept_order_due_later_sleeps_until_then(ledger: Ledger) -> None:
    """An order wakes at the later of the given time and its own `due_at`."""
    later = NOON + timedelta(hours=1)

    due_later, due_before = accept(
        ledger, new_order(due_at=later), new_order(due_at=NOON), wake_at=NOON + timedelta(minutes=1)
    )

    assert (later, later) == (due_later.due_at, due_later.wake_at)
    assert NOON + timedelta(minutes=1) == due_before.wake_at


def test_accept_thousands_in_one_call_keeps_their_order(ledger: Ledger) -> None:
    """Receipts come in the order of the orders, across every batch."""
    orders = [new_order(client_order_id=f"c{(i * 7919) % 1500}") for i in range(1500)]

    receipts = ledger.accept(orders, wake_at=NOON)

    assert [o.order_id for o in orders] == [r.order_id for r in receipts]
    assert ledger.count_orders() == {("main", State.ACCEPTED): 1500}
    assert len(ledger.events(orders[1234].order_id)) == 1


def test_accept_replay_keeps_the_link_to_its_original(ledger: Ledger) -> None:
    """A replay knows what it replaces, and so does its first event."""
    original = accept_one(ledger)

    (replay,) = accept(ledger, new_order(replay_of=original.order_id))

    assert original.order_id == replay.replay_of
    assert original.order_id == ledger.events(replay.order_id)[0].detail["replay_of"]


def test_get_unknown_order_raises(ledger: Ledger) -> None:
    """An unknown id is an error; an unknown key is None."""
    with pytest.raises(OrderNotFound, match="nothing-here"):
        ledger.get(OrderId("nothing-here"))
    assert ledger.find("main", "nothing-here") is None
    assert ledger.events(OrderId("nothing-here")) == []


def test_list_orders_filters_and_pages_newest_first(ledger: Ledger) -> None:
    """Every filter narrows; `before` continues below the last one seen."""
    orders = accept(
        ledger,
        new_order(),
        new_order(account="b"),
        new_order(symbol="ETHUSDT"),
        new_order(),
        new_order(account="b"),
    )
    ids = [order.order_id for order in orders]
    ledger.transition(orders[0], Event.CLAIMED, {}, {})

    def listed(wanted: OrderFilter) -> list[int]:
        return [ids.index(order.order_id) for order in ledger.list_orders(wanted)]

    assert listed(OrderFilter()) == [4, 3, 2, 1, 0]
    assert listed(OrderFilter(account="b")) == [4, 1]
    assert listed(OrderFilter(symbol="ETHUSDT")) == [2]
    assert listed(OrderFilter(states=[State.SUBMITTING, State.LIVE])) == [0]
    assert listed(OrderFilter(states=[])) == []
    assert listed(OrderFilter(limit=2)) == [4, 3]
    assert listed(OrderFilter(limit=2, before=ids[3])) == [2, 1]


def test_accepted_within_counts_half_open_window(ledger: Ledger) -> None:
    """The window excludes its beginning and includes its end, of one account."""
    minute = timedelta(minutes=1)
    times = [NOON - minute, NOON - minute + timedelta(microseconds=1), NOON, NOON + timedelta(microseconds=1)]
    accept(ledger, *(new_order(at=at) for at in times), new_order(account="other"))

    assert ledger.accepted_within("main", NOON, minute) == 2
    assert ledger.accepted_within("nobody", NOON, minute) == 0


def test_counts_tell_accounts_and_states(ledger: Ledger) -> None:
    """Orders are counted by account and state."""
    first, *_ = accept(ledger, new_order(), new_order(), new_order(account="b"))
    ledger.transition(first, Event.CLAIMED, {}, {})

    counts = ledger.count_orders()

    assert counts == {("main", State.SUBMITTING): 1, ("main", State.ACCEPTED): 1, ("b", State.ACCEPTED): 1}


def test_oldest_due_at_looks_at_accepted_and_due_only(ledger: Ledger) -> None:
    """What is claimed, or due later, does not wait."""
    assert ledger.oldest_due_at(NOON) is None
    earliest, _, _ = accept(
        ledger,
        new_order(at=NOON - timedelta(seconds=9)),
        new_order(at=NOON - timedelta(seconds=4)),
        new_order(due_at=NOON + timedelta(seconds=1)),
    )
    assert NOON - timedelta(seconds=9) == ledger.oldest_due_at(NOON)
    ledger.transition(earliest, Event.CLAIMED, {}, {})
    assert NOON - timedelta(seconds=4) == ledger.oldest_due_at(NOON)
    assert ledger.oldest_due_at(NOON - timedelta(seconds=5)) is None


def test_oldest_horizon_is_the_earliest_of_the_orders_in_doubt(ledger: Ledger) -> None:
    """An order that is not in doubt has no horizon that anybody waits for."""
    assert ledger.oldest_horizon_ms() is None
    for order, horizon_ms in zip(accept(ledger, new_order(), new_order(), new_order()), (9, 5, 7), strict=True):
        claimed = ledger.transition(order, Event.CLAIMED, {"horizon_ms": horizon_ms}, {})
        assert claimed is not None
        if horizon_ms != 5:
            ledger.transition(claimed, Event.DOUBTED, {}, {})
    assert 7 == ledger.oldest_horizon_ms()
