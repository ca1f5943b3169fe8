"""A dead order is replaced by one new order, in one transaction with its letter."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_cases import NOON, accept_one, kill, new_order

from sluicegate.domain.errors import LedgerConflict, OrderNotFound
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import OrderId, Receipt
from sluicegate.ports import Ledger, OrderFilter

MINUTE = timedelta(minutes=1)


def replay(ledger: Ledger, original: OrderId, **fields: object) -> Receipt | LedgerConflict:
    """Replay a dead order as a new one."""
    fresh = new_order(at=NOON + MINUTE, replay_of=original, **{"client_order_id": f"replay-{original}", **fields})
    return ledger.replay_dead_letter(fresh, wake_at=NOON + 2 * MINUTE)


def count(ledger: Ledger) -> int:
    """Count all orders."""
    return len(ledger.list_orders(OrderFilter()))


def test_replay_stores_the_order_and_marks_the_letter(ledger: Ledger) -> None:
    """The new order names the dead one, the letter names the new one, and both trails say so."""
    original = kill(ledger)

    receipt = replay(ledger, original)

    assert isinstance(receipt, Receipt)
    assert receipt.is_new
    order = ledger.get(receipt.order_id)
    assert (order.state, order.replay_of, order.wake_at) == (State.ACCEPTED, original, NOON + 2 * MINUTE)
    assert [e.event for e in ledger.events(order.order_id)] == ["accepted"]
    letter = ledger.dead_letter(original)
    assert (letter.replayed_as, letter.discarded_at) == (order.order_id, None)
    last = ledger.events(original)[-1]
    assert (last.event, last.to_state, last.at, last.detail) == (
        "dead_letter_replayed", "dead", NOON + MINUTE, {"replayed_as": order.order_id}
    )  # fmt: skip


def test_replay_again_with_the_same_content_gives_the_same_receipt(ledger: Ledger) -> None:
    """Whoever does not know whether it was done does it again."""
    original = kill(ledger)
    first = replay(ledger, original)
    assert isinstance(first, Receipt)

    again = replay(ledger, original)

    assert isinstance(again, Receipt)
    assert (again.order_id, again.is_new) == (first.order_id, False)
    assert [e.event for e in ledger.events(original)].count("dead_letter_replayed") == 1


@pytest.mark.parametrize("fields", [{"qty": "7"}, {"client_order_id": "mine"}])
def test_replay_again_with_other_content_is_refused(ledger: Ledger, fields: dict[str, str]) -> None:
    """One dead order becomes one new order, whatever that one is called."""
    original = kill(ledger)
    first = replay(ledger, original)
    assert isinstance(first, Receipt)

    again = replay(ledger, original, **fields)

    assert isinstance(again, LedgerConflict)
    assert f"replayed as {first.order_id} already" in str(again)
    assert count(ledger) == 2


def test_replay_of_a_discarded_letter_is_refused(ledger: Ledger) -> None:
    """Given up is given up."""
    original = kill(ledger)
    ledger.discard_dead_letter(original, at=NOON)

    refused = replay(ledger, original)

    assert isinstance(refused, LedgerConflict)
    assert "was discarded already" in str(refused)
    assert count(ledger) == 1


def test_replay_of_an_order_that_is_there_after_all_is_refused(ledger: Ledger) -> None:
    """The exchange has shown it: its letter may still be open, and a second one must not go out."""
    original = kill(ledger)
    ledger.transition(ledger.get(original), Event.SEEN_OPEN, {}, {})

    refused = replay(ledger, original)

    assert isinstance(refused, LedgerConflict)
    assert "is live by now" in str(refused)
    assert ledger.dead_letter(original).is_open
    assert count(ledger) == 1


def test_replay_under_an_id_that_is_taken_is_refused(ledger: Ledger) -> None:
    """Not even by the same content: the letter would be closed, and nothing new be sent."""
    original = kill(ledger)
    accept_one(ledger, client_order_id="mine")

    refused = replay(ledger, original, client_order_id="mine")

    assert isinstance(refused, LedgerConflict)
    assert "mine" in str(refused)
    assert ledger.dead_letter(original).is_open


def test_replay_of_an_order_without_a_letter_raises(ledger: Ledger) -> None:
    """There is nothing to replay."""
    with pytest.raises(OrderNotFound):
        replay(ledger, accept_one(ledger).order_id)
    with pytest.raises(OrderNotFound):
        replay(ledger, OrderId("nothing-here"))
