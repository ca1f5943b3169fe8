"""What the exchange shows is written down once, in whatever order it arrives."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from ledger_cases import NOON, accept, accept_one, fill, new_order

from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, Event, State
from sluicegate.domain.orders import ChangeKind, Order, OrderId
from sluicegate.domain.records import Change, ChangeState, Fill, Sighting
from sluicegate.ledger.repository import SqlLedger

LATER = NOON + timedelta(seconds=60)


def seen(order: Order, status: str, *, cum: str = "0", avg: str | None = None, **facts: Any) -> Sighting:
    """Return a sighting of an order."""
    base: dict[str, Any] = {
        "link_id": order.link_id,
        "exchange_order_id": "x-" + order.order_id,
        "symbol": order.symbol,
        "side": order.request.side.value,
        "status": status,
        "qty": order.request.qty,
        "price": order.request.price,
        "cum_exec_qty": Decimal(cum),
        "avg_price": None if avg is None else Decimal(avg),
        "reject_reason": "EC_NoError",
        "category": order.category.value,
        "updated_ms": 1000,
    }
    return Sighting(**(base | facts))


def executed(order: Order, exec_id: str, qty: str, price: str, **facts: Any) -> Fill:
    """Return a fill of an order."""
    base: dict[str, Any] = {
        "exec_id": exec_id,
        "link_id": order.link_id,
        "qty": Decimal(qty),
        "price": Decimal(price),
        "fee": Decimal("0.0001"),
        "fee_coin": "USDT",
        "is_maker": True,
        "executed_at": NOON,
        "exchange_order_id": "x-" + order.order_id,
        "category": order.category.value,
        "symbol": order.symbol,
        "side": order.request.side.value,
    }
    return Fill(**(base | facts))


def show(ledger: SqlLedger, *evidence: Sighting | Fill, account: str = "main") -> Any:
    """Let the ledger witness one batch."""
    sightings = [item for item in evidence if isinstance(item, Sighting)]
    fills = [item for item in evidence if isinstance(item, Fill)]
    return ledger.witness(account, sightings, fills, at=NOON, look_at=LATER)


def sent(ledger: SqlLedger, **fields: Any) -> Order:
    """Return an order that is being sent."""
    order = accept_one(ledger, **fields)
    moved = ledger.transition(order, Event.CLAIMED, {"lease_until": NOON, "horizon_ms": 5}, {})
    assert moved is not None
    return moved


def test_sighting_before_the_acknowledgement_moves_the_order(ledger: SqlLedger) -> None:
    """Evidence is faster than the response: the order is live, and the acknowledgement finds it so."""
    order = sent(ledger)

    witnessed = show(ledger, seen(order, "New"))

    now = ledger.get(order.order_id)
    assert [(order, now)] == list(witnessed.moved)
    assert (
        now.state, now.exchange_order_id, now.exchange_status, now.wake_at, now.lease_until, now.horizon_ms
    ) == (State.LIVE, "x-" + order.order_id, "New", LATER, None, None)  # fmt: skip
    assert "seen_open" == ledger.events(order.order_id)[-1].event


@pytest.mark.parametrize(("asked", "price"), [("59100", "59100"), ("59200", "60000")])
def test_end_shows_what_an_amend_in_doubt_had_changed(ledger: SqlLedger, asked: str, price: str) -> None:
    """An amend was applied, its answer lost, the order filled: the ledger takes the amended price, no other."""
    order = sent(ledger, price="60000")
    show(ledger, seen(order, "New"))
    change = ledger.add_change(amend(order, {"price": asked}))
    assert ledger.move_change(change, ChangeState.SUBMITTING, {"attempts": 1, "wake_at": LATER}, {}) is not None

    show(ledger, seen(order, "Filled", cum="0.010", avg="59100", price=Decimal(59100)))

    now = ledger.get(order.order_id)
    assert (State.FILLED, Decimal(price)) == (now.state, now.request.price)


def test_less_than_was_asked_waits_for_a_look_at_what_was_sent(ledger: SqlLedger) -> None:
    """A stream alone cannot tell a rounded order from another's: it is not adopted, but looked at at once."""
    order = sent(ledger, qty="0.0129", on_step="round_down")
    doubtful = ledger.transition(order, Event.DOUBTED, {"wake_at": LATER}, {})
    assert doubtful is not None

    assert () == show(ledger, seen(order, "New", qty=Decimal("0.012"))).moved

    now = ledger.get(order.order_id)
    assert (State.IN_DOUBT, "", NOON) == (now.state, now.exchange_order_id, now.wake_at)


def amend(order: Order, fields: dict[str, str]) -> Change:
    """Return a request to amend an order."""
    return Change("A-" + order.order_id, order.order_id, 0, ChangeKind.AMEND, fields, ChangeState.PENDING, 0, NOON)


def test_fill_before_any_sighting_proves_the_order(ledger: SqlLedger) -> None:
    """A fill alone shows that the order is on the exchange, with its quantity and average."""
    order = sent(ledger)

    assert (
        2 == show(ledger, executed(order, "e1", "0.004", "60000"), executed(order, "e2", "0.001", "60010")).fills
    )

    now = ledger.get(order.order_id)
    assert (State.PARTIALLY_FILLED, Decimal("0.005"), Decimal(60002)) == (
        now.state, now.cum_exec_qty, now.avg_price
    )  # fmt: skip


def test_evidence_shown_twice_writes_nothing_the_second_time(ledger: SqlLedger) -> None:
    """A second push of the same order and fill leaves no row behind."""
    order = sent(ledger)
    batch = (seen(order, "Filled", cum="0.010", avg="60000"), executed(order, "e1", "0.010", "60000"))
    show(ledger, *batch)
    before = ledger.get(order.order_id), ledger.events(order.order_id)

    again = show(ledger, *batch, replace(batch[0], reject_reason="EC_OrigClOrdIDDoesNotExist"))

    assert ((), 0, 0, ()) == (again.moved, again.fills, again.foreign, again.strangers)
    assert before == (ledger.get(order.order_id), ledger.events(order.order_id))


HISTORY = [
    ("seen", "New", "0", None),
    ("fill", "e1", "0.003", "60000"),
    ("seen", "PartiallyFilled", "0.003", "60000"),
    ("fill", "e2", "0.007", "60010"),
    ("seen", "Filled", "0.010", "60007"),
    ("seen", "Filled", "0.010", "60007"),
]
CANCELLED = [*HISTORY[:3], ("fill", "e2", "0.002", "60010"), ("seen", "Cancelled", "0.005", "60004")]


@pytest.mark.parametrize(
    ("history", "end"), [(HISTORY, State.FILLED), (CANCELLED, State.CANCELLED)], ids=["filled", "cancelled"]
)
@pytest.mark.parametrize("seed", range(12))
def test_history_in_any_order_and_number_ends_the_same(
    ledger: SqlLedger, history: list[Any], end: State, seed: int
) -> None:
    """Shuffled, doubled and cut into batches at random, the evidence leads to the same order and fills."""
    rng = random.Random(seed)
    order = sent(ledger)
    pieces = [
        seen(order, what, cum=qty, avg=price) if kind == "seen" else executed(order, what, qty, price)
        for kind, what, qty, price in history
    ]
    pieces += rng.choices(pieces, k=4)
    rng.shuffle(pieces)
    highest = Decimal(0)
    while pieces:
        cut = rng.randint(1, 4)
        show(ledger, *pieces[:cut])
        del pieces[:cut]
        now = ledger.get(order.order_id)
        assert now.cum_exec_qty >= highest
        highest = now.cum_exec_qty

    expected = Decimal("0.010") if end is State.FILLED else Decimal("0.005")
    average = Decimal(60007) if end is State.FILLED else Decimal(60004)
    assert (end, expected, average) == (now.state, now.cum_exec_qty, now.avg_price)
    assert ["e1", "e2"] == sorted(e.exec_id for e in ledger.executions(order.order_id))
    assert [] == ledger.take_missing_fills(LATER, limit=10)


def test_late_fill_of_a_cancelled_order_raises_its_quantity(ledger: SqlLedger) -> None:
    """A cancel that raced with a fill: the order stays cancelled, what was executed counts."""
    order = sent(ledger)
    show(ledger, seen(order, "Cancelled"))

    show(ledger, executed(order, "e1", "0.002", "60000"))

    now = ledger.get(order.order_id)
    assert (State.CANCELLED, Decimal("0.002"), None) == (now.state, now.cum_exec_qty, now.wake_at)


def test_conditional_order_shows_when_it_triggers(ledger: SqlLedger) -> None:
    """Each step of a conditional order is an event; a late word does not make it wait again."""
    order = sent(ledger, trigger_price="61000", trigger_direction=1)
    for status in ("Untriggered", "Triggered", "New", "Untriggered"):
        show(ledger, seen(order, status))

    now = ledger.get(order.order_id)
    assert (State.LIVE, "New") == (now.state, now.exchange_status)
    assert 3 == sum(event.event == "seen_open" for event in ledger.events(order.order_id))


def test_spot_order_cancelled_with_fills_keeps_them(ledger: SqlLedger) -> None:
    """`PartiallyFilledCanceled` is how spot ends an order that was executed in part."""
    order = sent(ledger, category="spot")

    show(ledger, seen(order, "PartiallyFilledCanceled", cum="0.004", avg="59999.9"))

    now = ledger.get(order.order_id)
    assert (State.CANCELLED, Decimal("0.004"), Decimal("59999.9")) == (now.state, now.cum_exec_qty, now.avg_price)


def test_order_that_was_given_up_lives_by_evidence(ledger: SqlLedger) -> None:
    """A dead order that the exchange shows is not dead."""
    order = sent(ledger)
    dead = ledger.transition(order, Event.DEAD_LETTERED, {}, {})
    assert dead is not None

    show(ledger, executed(dead, "e1", "0.001", "60000"))

    assert (State.PARTIALLY_FILLED, LATER) == (
        ledger.get(order.order_id).state, ledger.get(order.order_id).wake_at
    )  # fmt: skip


@pytest.mark.parametrize("other", [{"symbol": "ETHUSDT"}, {"side": "Sell"}, {"category": "spot"}])
def test_stranger_under_our_link_id_is_kept_apart(ledger: SqlLedger, other: dict[str, str]) -> None:
    """What cannot be our order moves nothing, though it carries its link id."""
    order = sent(ledger)
    shown = replace(seen(order, "Filled", cum="0.010"), **other)
    traded = replace(executed(order, "e1", "0.010", "60000"), **other)

    witnessed = show(ledger, shown, traded)

    assert (shown, traded) == witnessed.strangers
    assert order == ledger.get(order.order_id)
    assert [] == ledger.executions(order.order_id)


def test_stream_of_another_account_moves_nothing_of_ours(ledger: SqlLedger) -> None:
    """A link id counts on its own account alone."""
    order = sent(ledger)
    assert 1 == len(show(ledger, seen(order, "New"), account="other").strangers)
    assert order == ledger.get(order.order_id)


def test_foreign_orders_are_kept_and_never_adopted(ledger: SqlLedger) -> None:
    """Orders placed elsewhere have a table of their own; an older word about one changes nothing."""
    order = sent(ledger)
    theirs = replace(seen(order, "New"), link_id="", exchange_order_id="f-1")
    ended = replace(theirs, status="Filled", cum_exec_qty=Decimal("0.010"), updated_ms=2000)

    show(ledger, theirs)
    assert ["New"] == [known.status for known in ledger.foreign_open("main")]
    show(ledger, ended)
    assert 0 == show(ledger, theirs, ended).foreign

    assert [] == ledger.foreign_open("main")
    assert order == ledger.get(order.order_id)


def test_foreign_orders_that_no_list_shows_are_closed(ledger: SqlLedger) -> None:
    """They ended, nobody knows how; one that changed meanwhile stays open, and a later word still counts."""
    theirs = replace(seen(sent(ledger), "New"), link_id="", exchange_order_id="f-1")
    young = replace(theirs, exchange_order_id="f-2", updated_ms=theirs.updated_ms + 1)
    show(ledger, theirs, young)

    ledger.close_foreign("other", ["f-1"], before_ms=young.updated_ms, at=NOON)
    assert 2 == len(ledger.foreign_open("main"))
    ledger.close_foreign("main", ["f-1", "f-2"], before_ms=young.updated_ms, at=NOON)
    assert ["f-2"] == [known.exchange_order_id for known in ledger.foreign_open("main")]

    assert 1 == show(ledger, replace(theirs, status="PartiallyFilled", updated_ms=young.updated_ms)).foreign
    assert {"f-1", "f-2"} == {known.exchange_order_id for known in ledger.foreign_open("main")}


def test_child_orders_are_linked_to_their_parent(ledger: SqlLedger) -> None:
    """Take profit and stop loss that came with an order name it."""
    order = sent(ledger)
    child = replace(
        seen(order, "Untriggered"),
        link_id="",
        exchange_order_id="tp-1",
        side="Sell",
        parent_link_id=order.link_id,
        stop_order_type="TakeProfit",
    )
    show(ledger, child, seen(order, "Filled", cum="0.010"))

    (known,) = ledger.children(order.order_id)
    assert ("tp-1", "TakeProfit", order.order_id) == (
        known.exchange_order_id, known.stop_order_type, known.parent_order_id
    )  # fmt: skip


@pytest.mark.parametrize("exec_type", ["Funding", "AdlTrade", "BustTrade", "Settle"])
def test_rows_that_are_no_trades_fill_no_order(ledger: SqlLedger, exec_type: str) -> None:
    """Only trades fill an order, whatever link id a row carries; funding is no execution at all."""
    order = sent(ledger)

    witnessed = show(ledger, executed(order, "e1", "0.010", "60000", exec_type=exec_type))

    assert order == ledger.get(order.order_id)
    assert (0, int(exec_type != "Funding")) == (witnessed.fills, witnessed.foreign)


def test_missing_fills_are_due_after_a_grace_and_settle_when_they_come(ledger: SqlLedger) -> None:
    """An order that ended with more than its known fills is remembered until they are there."""
    order = sent(ledger)
    show(ledger, seen(order, "Filled", cum="0.010", avg="60000"))

    assert [] == ledger.take_missing_fills(NOON, limit=10)
    soon = NOON + timedelta(seconds=3)
    assert [order.order_id] == [missing.order_id for missing in ledger.take_missing_fills(soon, limit=10)]
    assert [] == ledger.take_missing_fills(soon, limit=10)  # it rests
    ledger.add_executions([fill(order.order_id, "e1", qty=Decimal("0.010"))])
    assert [] == ledger.take_missing_fills(LATER, limit=10)
    assert [] == ledger.take_missing_fills(LATER + timedelta(days=1), limit=10)


def test_quantity_that_differs_lets_the_order_be_looked_at_at_once(ledger: SqlLedger) -> None:
    """The stream does not say which amendment is the newest; a look does."""
    order = sent(ledger)
    show(ledger, seen(order, "New"))
    assert LATER == ledger.get(order.order_id).wake_at

    show(ledger, seen(order, "New", qty=Decimal("0.020")))

    assert NOON == ledger.get(order.order_id).wake_at
    assert order.request.qty == ledger.get(order.order_id).request.qty


def test_many_orders_in_one_batch_move_each_by_its_own_evidence(ledger: SqlLedger) -> None:
    """A batch of many statements' size goes through whole."""
    orders = accept(ledger, *(new_order() for _ in range(700)))
    fills = [executed(order, "e", "0.010", "60000") for order in orders]
    ended = [seen(order, "Filled", cum="0.010", avg="60000") for order in orders]

    assert 700 == show(ledger, *itertools.chain(*zip(ended, fills, strict=True))).fills

    counts = ledger.count_orders()
    assert {("main", State.FILLED): 700} == counts
    assert Decimal("0.010") == ledger.executions(OrderId(orders[-1].order_id))[0].qty


@pytest.mark.parametrize("facts", [{"qty": Decimal(1)}, {"price": Decimal(1)}, {"order_type": "Market"}])
def test_order_in_doubt_is_not_taken_for_another_that_goes_by_its_link_id(
    ledger: SqlLedger, facts: dict[str, Any]
) -> None:
    """What differs from what was asked moves nothing: somebody looks, and weighs amends as well."""
    claimed = ledger.transition(accept_one(ledger), Event.CLAIMED, {}, {})
    assert claimed is not None
    order = ledger.transition(claimed, Event.DOUBTED, {"wake_at": LATER}, {})
    assert order is not None
    done = ledger.witness("main", [seen(order, "New", **facts)], [], at=NOON, look_at=LATER)
    assert ((), ()) == (done.moved, done.strangers)
    stored = ledger.get(order.order_id)
    assert (State.IN_DOUBT, NOON) == (stored.state, stored.wake_at)


@pytest.mark.parametrize(("status", "cum"), [("New", "0"), ("PartiallyFilled", "0.004")])
def test_order_cancelled_as_unsent_that_the_exchange_shows_is_reopened_and_cancelled_there(
    ledger: SqlLedger, status: str, cum: str
) -> None:
    """Only we said that it was over: the truth is taken over, and with it comes the cancel that was asked for."""
    order = accept_one(ledger)
    assert ledger.transition(order, Event.CANCELLED_UNSENT, {}, {}) is not None

    show(ledger, seen(order, status, cum=cum, avg="60000" if cum != "0" else None))
    show(ledger, seen(order, status, cum=cum, avg="60000" if cum != "0" else None))

    now = ledger.get(order.order_id)
    assert now.state in ON_EXCHANGE_STATES
    assert (Decimal(cum), "x-" + order.order_id) == (now.cum_exec_qty, now.exchange_order_id)
    [change] = ledger.open_changes(order.order_id)
    assert (ChangeKind.CANCEL, ChangeState.PENDING, NOON) == (change.kind, change.state, change.wake_at)
    assert ["reopened", "cancel_requested"] == [e.event for e in ledger.events(order.order_id)][2:4]


def test_order_cancelled_on_the_exchange_is_not_reopened_by_an_older_sighting(ledger: SqlLedger) -> None:
    """Evidence comes in any order: what the exchange called over stays over."""
    order = sent(ledger)
    show(ledger, seen(order, "Cancelled"))
    show(ledger, seen(order, "New"))
    assert State.CANCELLED is ledger.get(order.order_id).state
    assert [] == ledger.open_changes(order.order_id)


def test_live_order_is_known_by_the_exchanges_own_id(ledger: SqlLedger) -> None:
    """Another order under its link id, and its fills, move nothing."""
    claimed = ledger.transition(accept_one(ledger), Event.CLAIMED, {}, {})
    assert claimed is not None
    order = ledger.transition(claimed, Event.ACKNOWLEDGED, {"exchange_order_id": "x-1", "wake_at": LATER}, {})
    assert order is not None
    other, fills = seen(order, "Filled", cum="0.01"), [executed(order, "e1", "0.01", "60000")]
    assert () == ledger.witness("main", [other], fills, at=NOON, look_at=LATER).moved
    stored = ledger.get(order.order_id)
    assert (State.LIVE, NOON, []) == (stored.state, stored.wake_at, ledger.executions(order.order_id))
