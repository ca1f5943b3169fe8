"""A person decides what the exchange cannot tell, and only that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from sluicegate.domain.errors import InvalidOrder, NothingToSettle
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.records import Question
from sluicegate.services.settle import Decision, Fate
from tests.unit.domain import examples
from tests.unit.services.desk import ID, accept, do, doubtful, live, now, stay_home, trail
from tests.unit.services.test_resolve import look_until, stranger
from tests.unit.services.world import World

DAY_S = 24 * 3600.0


def unprovable() -> World:
    """Return a world with an order in doubt of which the exchange cannot tell any more."""
    world = doubtful()
    world.clock.advance(DAY_S)
    stay_home(world, "look")
    assert Question.UNPROVABLE == now(world).last_code
    return world


def vanished(*, filled: bool = False) -> World:
    """Return a world with an order that was live and is shown nowhere."""
    world = live()
    if filled:
        world.venue.fill(world.venue.orders[0], Decimal("0.3"))
    look_until(world, 30)
    world.venue.orders.clear()
    look_until(world, 60)
    assert Question.NOT_SHOWN == now(world).last_code
    return world


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        (Fate.ABSENT, State.DEAD),
        (Fate.LIVE, State.LIVE),
        (Fate.CANCELLED, State.CANCELLED),
        (Fate.FILLED, State.FILLED),
        (Fate.REJECTED, State.REJECTED),
    ],
)
def test_order_in_question_becomes_what_a_person_says(fate: Fate, state: State) -> None:
    """The decision is an event with its note, and the question is answered."""
    world = unprovable()
    settled = world.settler.settle(ID, Decision(fate, "the statement says so"))
    assert state is settled.state is now(world).state
    last = world.store.events(ID)[-1]
    assert (f"settled_{fate}", "the statement says so") == (last.event, last.detail["note"])
    assert [] == world.store.questions(limit=9)


def test_absent_order_becomes_a_dead_letter_and_is_never_sent_by_itself() -> None:
    """Only a person replays it, under a link id of its own."""
    world = unprovable()
    world.settler.settle(ID, Decision(Fate.ABSENT, "support says it was never there"))
    look_until(world, 60)
    stay_home(world, "execute")
    [letter] = world.store.dead_letters()
    assert ("settled_absent", Question.UNPROVABLE) == (letter.reason, letter.code)


def test_settled_order_that_shows_up_after_all_is_corrected() -> None:
    """What the exchange shows is the truth, whatever a person said."""
    world = vanished()
    world.settler.settle(ID, Decision(Fate.CANCELLED, "not in the list"))
    order = now(world)
    assert (State.CANCELLED, Event.SEEN_FILLED) != (order.state, None)
    moved = world.store.transition(order, Event.SEEN_FILLED, {"cum_exec_qty": Decimal("0.01")}, {})
    assert moved is not None
    assert State.FILLED is moved.state


def test_live_order_is_followed_again() -> None:
    """A person found it, and says under which id."""
    world = World()
    accept(world)
    stranger(world, price="59000")
    do(world, "execute")
    stay_home(world, "look")
    world.settler.settle(ID, Decision(Fate.LIVE, "ours: moved by hand", exchange_order_id="x-1"))
    assert "foreign:O-1" not in world.store.open_incidents()
    stay_home(world, "look")
    assert (State.LIVE, "x-1") == (now(world).state, now(world).exchange_order_id)


def test_filled_order_is_filled_as_far_as_asked_or_as_said() -> None:
    """Without a quantity it is the whole; a smaller one is said."""
    world = unprovable()
    assert Decimal("0.01") == world.settler.settle(ID, Decision(Fate.FILLED, "n")).cum_exec_qty
    world = unprovable()
    decision = Decision(Fate.CANCELLED, "n", filled=Decimal("0.004"))
    assert Decimal("0.004") == world.settler.settle(ID, decision).cum_exec_qty


@pytest.mark.parametrize("world", [live, doubtful])
def test_order_of_which_the_exchange_can_tell_is_not_settled(world: object) -> None:
    """Evidence comes first: a person cannot call a live order absent."""
    opened: World = world()  # type: ignore[operator]
    before = trail(opened)
    with pytest.raises(NothingToSettle, match="does not wait for a person"):
        opened.settler.settle(ID, Decision(Fate.ABSENT, "n"))
    assert before == trail(opened)


def test_settled_order_is_not_settled_again() -> None:
    """A second decision would undo the first."""
    world = unprovable()
    world.settler.settle(ID, Decision(Fate.CANCELLED, "n"))
    with pytest.raises(NothingToSettle):
        world.settler.settle(ID, Decision(Fate.FILLED, "n"))


def test_decision_that_contradicts_known_fills_is_refused() -> None:
    """What was executed was there: it is neither absent nor rejected, nor filled by less."""
    world = vanished(filled=True)
    assert State.PARTIALLY_FILLED is now(world).state
    for decision in (
        Decision(Fate.ABSENT, "n"),
        Decision(Fate.REJECTED, "n"),
        Decision(Fate.CANCELLED, "n", filled=Decimal("0.002")),
        Decision(Fate.FILLED, "n", filled=Decimal(0)),
    ):
        with pytest.raises(InvalidOrder):
            world.settler.settle(ID, decision)
    assert State.PARTIALLY_FILLED is now(world).state


def test_amount_of_quote_coin_is_not_taken_for_a_filled_quantity() -> None:
    """A spot market buy asks for an amount; what it filled must be said."""
    world = unprovable()
    quote = examples.market(category="spot", qty="500")
    world.store.orders[ID] = replace(now(world), request=quote)
    with pytest.raises(InvalidOrder, match="say how much"):
        world.settler.settle(ID, Decision(Fate.FILLED, "n"))
