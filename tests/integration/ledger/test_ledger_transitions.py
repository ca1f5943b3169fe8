"""Orders move by the lifecycle table, by compare-and-set, with their trail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from ledger_cases import NOON, StillClock, accept, accept_one, dead_letter, fill, new_order, request
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.lifecycle import END_STATES, TABLE, Event, IllegalTransition, State
from sluicegate.domain.orders import Order, OrderId
from sluicegate.ports import Ledger, Move, Patch

ROADS: dict[State, list[Event]] = {
    State.ACCEPTED: [],
    State.SUBMITTING: [Event.CLAIMED],
    State.IN_DOUBT: [Event.CLAIMED, Event.DOUBTED],
    State.LIVE: [Event.SEEN_OPEN],
    State.PARTIALLY_FILLED: [Event.SEEN_PARTIALLY_FILLED],
    State.PARKED: [Event.PARKED],
    State.FILLED: [Event.SEEN_FILLED],
    State.CANCELLED: [Event.SEEN_CANCELLED],
    State.REJECTED: [Event.SEEN_REJECTED],
    State.EXPIRED: [Event.EXPIRED],
    State.DEAD: [Event.DEAD_LETTERED],
}


def drive(ledger: Ledger, order: Order, events: list[Event]) -> Order:
    """Lead an order along events."""
    for event in events:
        moved = ledger.transition(order, event, {}, {})
        assert moved is not None
        order = moved
    return order


@pytest.mark.parametrize("state", list(State))
def test_transition_every_pair_follows_the_table(ledger: Ledger, state: State) -> None:
    """Each event leads from each state where the table says, and is refused where it says nothing."""
    orders = accept(ledger, *(new_order() for _ in Event))
    for order, event in zip(orders, Event, strict=True):
        before = drive(ledger, order, ROADS[state])
        target = TABLE.get((state, event))
        if target is None:
            with pytest.raises(IllegalTransition):
                ledger.transition(before, event, {}, {})
            assert before == ledger.get(order.order_id)
            continue
        after = ledger.transition(before, event, {"wake_at": NOON + timedelta(seconds=1)}, {"why": "test"})
        assert after == ledger.get(order.order_id)
        assert after is not None
        assert (target, before.version + 1) == (after.state, after.version)
        assert (after.wake_at is None) == (target in END_STATES)
        last = ledger.events(order.order_id)[-1]
        assert (event, state, target, after.version) == (last.event, last.from_state, last.to_state, last.version)


def test_transition_patch_sets_every_column(ledger: Ledger, clock: StillClock) -> None:
    """All columns of a patch are stored and returned; the original content keeps its fingerprint."""
    order = accept_one(ledger, client_order_id="my-1")
    clock.sleep(5)
    patch: Patch = {
        "due_at": NOON + timedelta(seconds=1),
        "wake_at": NOON + timedelta(seconds=2),
        "lease_until": NOON + timedelta(seconds=3),
        "horizon_ms": 1_900_000_000_000,
        "attempts": 4,
        "acked_at": NOON + timedelta(seconds=4),
        "exchange_order_id": "9aac161b-8ed6-450d-9cab-c5cc67c21784",
        "cum_exec_qty": Decimal("0.0040"),
        "avg_price": Decimal("59999.95"),
        "last_code": "10006",
        "last_message": "Too many visits!",
        "request": request(client_order_id="my-1", price="60001"),
    }

    moved = ledger.transition(order, Event.CLAIMED, patch, {})

    assert moved is not None
    assert patch == {name: getattr(moved, name) for name in patch}
    assert moved == ledger.get(order.order_id)
    assert (order.fingerprint, NOON + timedelta(seconds=5)) == (moved.fingerprint, moved.updated_at)


def test_transition_to_an_end_clears_wake_and_lease(ledger: Ledger) -> None:
    """Nothing wakes an order that is over."""
    order = ledger.transition(accept_one(ledger), Event.CLAIMED, {"lease_until": NOON}, {})
    assert order is not None

    over = ledger.transition(order, Event.EXPIRED, {"wake_at": NOON, "lease_until": NOON}, {})

    assert over is not None
    assert (over.wake_at, over.lease_until) == (None, None)
    assert over == ledger.get(order.order_id)


def test_transition_from_old_snapshot_changes_nothing(ledger: Ledger) -> None:
    """Whoever decides on an old snapshot gets None, and leaves no trace."""
    order = accept_one(ledger)
    moved = ledger.transition(order, Event.CLAIMED, {}, {})

    lost = ledger.transition(order, Event.DEAD_LETTERED, {}, {}, dead_letter=dead_letter(order.order_id))

    assert lost is None
    assert moved == ledger.get(order.order_id)
    assert [event.event for event in ledger.events(order.order_id)] == ["accepted", "claimed"]
    assert ledger.dead_letters() == []


def test_transition_without_wake_at_shows_the_one_that_is_stored(ledger: Ledger) -> None:
    """The scheduler moves `wake_at` without a version; a move returns the stored one."""
    order = accept_one(ledger)
    ledger.take_due(NOON, states=[State.ACCEPTED], limit=1, snooze=timedelta(seconds=30))

    moved = ledger.transition(order, Event.CLAIMED, {}, {})

    assert moved == ledger.get(order.order_id)
    assert moved is not None
    assert NOON + timedelta(seconds=30) == moved.wake_at


def test_transition_unknown_order_gives_none(ledger: Ledger, clock: StillClock) -> None:
    """An order that the ledger does not have cannot be moved."""
    order = accept_one(ledger)
    stranger = Order(**{name: getattr(order, name) for name in Order.__slots__} | {"order_id": OrderId("x")})

    assert ledger.transition(stranger, Event.CLAIMED, {}, {}) is None


def test_transition_that_fails_midway_leaves_nothing(ledger: Ledger) -> None:
    """A move and its event are one: what cannot be written as JSON undoes both."""
    order = accept_one(ledger)

    with pytest.raises(Exception, match="JSON"):
        ledger.transition(order, Event.CLAIMED, {}, {"nan": float("nan")})

    assert order == ledger.get(order.order_id)
    assert len(ledger.events(order.order_id)) == 1


def test_events_tell_the_whole_story(ledger: Ledger, clock: StillClock) -> None:
    """Every move and every note is a line, oldest first, with who, when and why."""
    order = accept_one(ledger)
    clock.sleep(1)
    claimed = ledger.transition(order, Event.CLAIMED, {}, {"attempt": 1})
    assert claimed is not None
    clock.sleep(1)
    ledger.note(order.order_id, "late_outcome", {"why": {"nested": [1, "ü", None]}})
    clock.sleep(1)
    ledger.transition(claimed, Event.DOUBTED, {}, {})

    story = [(e.version, e.event, e.from_state, e.to_state, e.at, e.actor) for e in ledger.events(order.order_id)]

    def at(seconds: int) -> object:
        return NOON + timedelta(seconds=seconds)

    assert [
        (1, "accepted", "", "accepted", at(0), "test"),
        (2, "claimed", "accepted", "submitting", at(1), "test"),
        (2, "late_outcome", "submitting", "submitting", at(2), "test"),
        (3, "doubted", "submitting", "in_doubt", at(3), "test"),
    ] == story
    assert ledger.events(order.order_id)[2].detail == {"why": {"nested": [1, "ü", None]}}


def test_note_unknown_order_raises(ledger: Ledger) -> None:
    """A note belongs to an order."""
    with pytest.raises(OrderNotFound, match="nothing-here"):
        ledger.note(OrderId("nothing-here"), "seen", {})


@pytest.mark.parametrize("statement", ["UPDATE order_events SET event = 'x'", "DELETE FROM order_events"])
def test_events_cannot_be_changed_or_deleted(ledger: Ledger, engine: Engine, statement: str) -> None:
    """The database itself refuses to rewrite the trail."""
    order = accept_one(ledger)

    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))

    assert len(ledger.events(order.order_id)) == 1


def test_wake_moves_only_earlier(ledger: Ledger) -> None:
    """A wake-up brings the next look forward and never puts it off."""
    order = accept(ledger, new_order(), wake_at=NOON + timedelta(seconds=10))[0]
    ledger.wake(order.order_id, NOON + timedelta(seconds=20))
    assert NOON + timedelta(seconds=10) == ledger.get(order.order_id).wake_at
    ledger.wake(order.order_id, NOON + timedelta(seconds=5))
    assert NOON + timedelta(seconds=5) == ledger.get(order.order_id).wake_at
    assert order.version == ledger.get(order.order_id).version


def test_wake_order_that_sleeps_for_ever_wakes_it_while_open(ledger: Ledger) -> None:
    """None is later than any time, unless the order is over."""
    open_order, over = accept(ledger, new_order(), new_order())
    ledger.transition(open_order, Event.PARKED, {"wake_at": None}, {})
    ledger.transition(over, Event.EXPIRED, {}, {})

    ledger.wake(open_order.order_id, NOON)
    ledger.wake(over.order_id, NOON)

    assert ledger.get(open_order.order_id).wake_at == NOON
    assert ledger.get(over.order_id).wake_at is None


def test_add_executions_skips_known_ones(ledger: Ledger) -> None:
    """A fill is stored once an order, also when one call brings it twice."""
    one, other = accept(ledger, new_order(), new_order())
    first = fill(one.order_id, "e1")
    later = fill(one.order_id, "e0", executed_at=NOON + timedelta(seconds=1))

    assert ledger.add_executions([]) == 0
    assert ledger.add_executions([first, first]) == 1
    assert ledger.add_executions([later, first, fill(other.order_id, "e1")]) == 2
    assert [first, later] == ledger.executions(one.order_id)


def test_add_executions_of_unknown_order_raises(ledger: Ledger) -> None:
    """A fill needs its order; the others of the call are not stored either."""
    order = accept_one(ledger)

    with pytest.raises(OrderNotFound):
        ledger.add_executions([fill(order.order_id, "e1"), fill("nothing-here", "e1")])

    assert ledger.executions(order.order_id) == []


def test_roads_cover_every_state() -> None:
    """The pairs above start from every state."""
    assert set(State) == set(ROADS)


def claims(*orders: Order) -> list[Move]:
    """Return the moves by which a worker claims orders."""
    patch: Patch = {"attempts": 1, "lease_until": NOON, "wake_at": NOON}
    return [Move(order, Event.CLAIMED, patch, {"attempt": 1}) for order in orders]


def test_transition_many_moves_each_as_transition_does(ledger: Ledger) -> None:
    """Orders moved together stand, and are told of in their trails, as if each had been moved alone."""
    *together, alone = accept(ledger, *(new_order() for _ in range(4)))
    moved = ledger.transition_many(claims(*together))
    single = ledger.transition(alone, Event.CLAIMED, claims(alone)[0].patch, {"attempt": 1})
    assert single is not None
    for order, after in zip(together, moved, strict=True):
        assert after == ledger.get(order.order_id)
        assert after is not None
        mine, theirs = ledger.events(order.order_id)[-1], ledger.events(alone.order_id)[-1]
        assert replace(theirs, order_id=order.order_id) == mine
        assert (single.state, single.version, single.attempts) == (after.state, after.version, after.attempts)


def test_transition_many_leaves_out_what_someone_else_moved(ledger: Ledger) -> None:
    """An order that moved since its snapshot stays as it is; those beside it are moved."""
    orders = accept(ledger, *(new_order() for _ in range(3)))
    ledger.transition(orders[1], Event.PARKED, {}, {})
    gone = replace(orders[0], order_id=OrderId("nobody"))
    first, lost, absent, last = ledger.transition_many(claims(orders[0], orders[1], gone, orders[2]))
    assert lost is None
    assert absent is None
    assert first is not None
    assert last is not None
    states = [ledger.get(order.order_id).state for order in orders]
    assert [State.SUBMITTING, State.PARKED, State.SUBMITTING] == states
    assert [2, 2, 2] == [len(ledger.events(order.order_id)) for order in orders]


def test_transition_many_keeps_what_the_scheduler_wrote_meanwhile(ledger: Ledger) -> None:
    """A move that sets no `wake_at` neither loses nor invents it, in the ledger and in what is returned."""
    orders = accept(ledger, new_order(), new_order())
    taken = ledger.take_due(NOON, states=[State.ACCEPTED], limit=1, snooze=timedelta(seconds=30))
    moved = ledger.transition_many([Move(order, Event.AMENDED_UNSENT, {}, {}) for order in orders])
    assert len(taken) == 1
    assert [ledger.get(order.order_id) for order in orders] == moved


def test_transition_many_stores_dead_letters_and_different_patches(ledger: Ledger) -> None:
    """Moves of different kinds fit in one call; an order that dies leaves its letter."""
    live, dead = accept(ledger, new_order(), new_order())
    live, dead = (drive(ledger, order, [Event.CLAIMED]) for order in (live, dead))
    letter = dead_letter(dead.order_id)
    patch: Patch = {"exchange_order_id": "e-1", "acked_at": NOON}
    moves = [Move(live, Event.ACKNOWLEDGED, patch, {}), Move(dead, Event.DEAD_LETTERED, {}, {}, letter)]
    assert [State.LIVE, State.DEAD] == [after.state for after in ledger.transition_many(moves) if after]
    assert letter == ledger.dead_letter(dead.order_id)
    assert ledger.get(live.order_id).exchange_order_id == "e-1"


def test_transition_many_with_one_impossible_move_writes_nothing(ledger: Ledger) -> None:
    """An event that cannot happen to one of the orders stops the whole call before anything is written."""
    orders = accept(ledger, new_order(), new_order())
    with pytest.raises(IllegalTransition):
        ledger.transition_many([*claims(orders[0]), Move(orders[1], Event.AMENDED, {}, {})])
    assert [State.ACCEPTED] * 2 == [ledger.get(order.order_id).state for order in orders]


def test_transition_many_by_contenders_gives_each_order_to_one(ledger: Ledger) -> None:
    """Threads claim overlapping sets: every order goes to exactly one, and nobody waits in a circle."""
    orders = accept(ledger, *(new_order() for _ in range(30)))

    def claim(number: int) -> list[OrderId]:
        some = orders[number:] + orders[:number]
        return [order.order_id for order in ledger.transition_many(claims(*some)) if order is not None]

    with ThreadPoolExecutor(6) as crew:
        won = [order_id for ids in crew.map(claim, range(0, 30, 5)) for order_id in ids]
    assert sorted(order.order_id for order in orders) == sorted(won)
