"""Amends and cancels against time: whatever state the order is in, and whatever happens meanwhile."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sluicegate.domain.errors import TooLate
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import AmendRequest
from sluicegate.domain.records import Change, ChangeState
from tests.unit.services.desk import ID, accept, depart, do, live, lose, lose_answer, stay_home
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import Verdict
from tests.unit.services.world import Message, World

MOST_ATTEMPTS = 4


def amend(world: World, **fields: str) -> Change:
    """Ask for an amend that cannot be done at once."""
    change = world.changes.amend(ID, AmendRequest.model_validate(fields))
    assert change is not None
    return change


def cancel(world: World) -> Change:
    """Ask for a cancel that cannot be done at once."""
    change = world.changes.cancel(ID)
    assert change is not None
    return change


def now(world: World, change: Change) -> Change:
    """Return a change as it stands."""
    return world.store.all_changes[change.change_id]


# --- cancel against time --------------------------------------------------------------------------------------


def test_cancel_before_the_order_was_sent_spends_no_request() -> None:
    """It is cancelled in the ledger at once, and no worker sends it any more."""
    world = World()
    accept(world)
    assert world.changes.cancel(ID) is None
    stay_home(world, "execute")
    assert State.CANCELLED is world.store.orders[ID].state
    assert [] == world.venue.orders


def test_cancel_while_the_order_is_being_sent_follows_the_acknowledgement() -> None:
    """Nothing is sent before the answer is there; then the cancel goes out."""
    world = World()
    accept(world)
    sending = depart(world, "execute")
    change = cancel(world)
    actor = Actor("change", lambda: world.perform(Message("change", ID)))
    actor.run()
    assert ["place"] == [flight.kind for flight in world.venue.flights]
    world.venue.deliver(world.venue.flights[-1], Verdict.TAKES)
    sending.run()
    do(world, "change")
    assert ("Cancelled", ChangeState.DONE) == (world.venue.orders[0].status, now(world, change).state)


def test_cancel_asked_for_while_the_order_is_refused_keeps_it_from_being_sent_again() -> None:
    """The exchange said "too many": before the next attempt comes the cancel, and no further request is spent."""
    world = World()
    accept(world)
    sending = depart(world, "execute")
    change = cancel(world)
    world.venue.deliver(world.venue.flights[-1], Verdict.LIMITS)
    sending.run()
    world.clock.advance(5)
    stay_home(world, "execute")
    stay_home(world, "change")
    assert State.CANCELLED is world.store.orders[ID].state
    assert ChangeState.DONE is now(world, change).state


def test_amend_asked_for_while_the_order_is_refused_is_sent_with_its_next_attempt() -> None:
    """The order that came back unsent goes out with the new price, soon after it was changed."""
    world = World()
    accept(world)
    sending = depart(world, "execute")
    amend(world, price="59100")
    world.venue.deliver(world.venue.flights[-1], Verdict.LIMITS)
    sending.run()
    world.clock.advance(5)
    stay_home(world, "change")
    woken_at = world.store.orders[ID].wake_at
    assert woken_at is not None
    assert woken_at <= world.clock.now()
    do(world, "execute")
    assert Decimal(59100) == world.venue.orders[0].price


def test_cancel_of_an_order_in_doubt_follows_when_it_is_found() -> None:
    """An order in doubt is not cancelled blindly; found, it is."""
    world = World()
    accept(world)
    lose_answer(world, "execute")
    cancel(world)
    assert "in_doubt" in stay_home(world, "change")
    world.resolver.look(ID)
    do(world, "change")
    assert "Cancelled" == world.venue.orders[0].status


def test_change_of_an_order_in_doubt_asks_ever_more_rarely() -> None:
    """A change that must wait leaves no lines in the audit trail, and does not come back every second for ever."""
    world = World()
    accept(world)
    lose(world, "execute")
    world.venue.flights.clear()
    change = cancel(world)
    lines = len(world.store.events(ID))
    world.clock.advance(60)
    stay_home(world, "change")
    woken_at = now(world, change).wake_at
    assert woken_at is not None
    assert 10 == (woken_at - world.clock.now()).total_seconds()
    assert lines == len(world.store.events(ID))


def test_cancel_of_a_partially_filled_order_ends_the_rest() -> None:
    """What was filled stays filled; the rest is cancelled."""
    world = live()
    world.venue.fill(world.venue.orders[0], Decimal("0.3"))
    world.resolver.look(ID)
    change = cancel(world)
    do(world, "change")
    world.resolver.look(ID)
    order = world.store.orders[ID]
    assert (State.CANCELLED, Decimal("0.003")) == (order.state, order.cum_exec_qty)
    assert ChangeState.DONE is now(world, change).state


def test_cancel_of_an_order_that_filled_meanwhile_leads_to_one_look() -> None:
    """The exchange refuses it: the order is looked at, and nothing is sent again."""
    world = live()
    change = cancel(world)
    world.venue.fill(world.venue.orders[0], Decimal(1))
    do(world, "change")
    assert (ChangeState.PENDING, "110008") == (now(world, change).state, now(world, change).last_code)
    assert "void" == stay_home(world, "change")
    assert State.FILLED is world.store.orders[ID].state
    assert (ChangeState.VOID, 1) == (now(world, change).state, now(world, change).attempts)
    assert "nothing to do" == stay_home(world, "change")
    with pytest.raises(TooLate):
        world.changes.cancel(ID)


def test_cancel_refused_as_too_late_while_the_order_lives_is_sent_again() -> None:
    """The exchange does not know the order yet when the cancel arrives: a look shows it live, so it must go."""
    world = live()
    change = cancel(world)
    do(world, "change", Verdict.OVERLOOKS)
    assert "New" == world.venue.orders[0].status
    world.clock.advance(2.1)
    do(world, "change")
    assert ("Cancelled", ChangeState.DONE) == (world.venue.orders[0].status, now(world, change).state)
    assert 2 == now(world, change).attempts


def test_cancel_refused_as_too_late_again_and_again_is_given_up_and_pages() -> None:
    """Each attempt follows a look that shows the order live; they are bounded, and a person is told."""
    world = live()
    change = cancel(world)
    for _attempt in range(MOST_ATTEMPTS):
        do(world, "change", Verdict.OVERLOOKS)
        world.clock.advance(2.1)
    assert ChangeState.REFUSED is now(world, change).state
    assert "cancel_failed:main" in world.store.open_incidents()
    assert "nothing to do" == stay_home(world, "change")


def test_cancel_of_an_order_that_someone_else_cancelled_is_done() -> None:
    """It has what it asked for."""
    world = live()
    change = cancel(world)
    world.venue.orders[0].status = "Cancelled"
    world.resolver.look(ID)
    stay_home(world, "change")
    assert ChangeState.DONE is now(world, change).state


def test_cancel_does_not_wait_for_an_amend_whose_worker_died() -> None:
    """A cancel is worth more than the order of changes: it goes out at once."""
    world = live()
    amend(world, price="59100")
    depart(world, "change").crash()
    cancel(world)
    do(world, "change")
    assert "Cancelled" == world.venue.orders[0].status


def test_cancel_makes_waiting_amends_void() -> None:
    """They would change an order that must go."""
    world = live()
    change = amend(world, price="59100")
    cancel(world)
    do(world, "change")
    assert ChangeState.VOID is now(world, change).state


def test_cancel_in_doubt_is_sent_again_within_seconds() -> None:
    """Two cancels do no harm, and a live order that must go is not left alone until a horizon has passed."""
    world = live()
    cancel(world)
    lose(world, "change")
    world.venue.flights.clear()
    world.clock.advance(2.1)
    do(world, "change")
    assert "Cancelled" == world.venue.orders[0].status


@pytest.mark.parametrize("is_lost", [True, False])
def test_cancel_that_cannot_be_carried_out_is_given_up_and_pages(is_lost: bool) -> None:
    """Attempts are bounded, whatever goes wrong, and an order that stays live against its owner's will is told."""
    world = live()
    change = cancel(world)
    for _attempt in range(MOST_ATTEMPTS):
        if is_lost:
            lose(world, "change")
            world.venue.flights.clear()
        else:
            depart(world, "change").crash()
            world.venue.flights.clear()
            world.clock.advance(20)
    stay_home(world, "change")
    assert ChangeState.REFUSED is now(world, change).state
    assert "cancel_failed:main" in world.store.open_incidents()
    assert "nothing to do" == stay_home(world, "change")


def test_cancel_that_does_not_reach_the_exchange_for_minutes_waits_pages_and_is_carried_out() -> None:
    """Without a connection nothing was sent: no attempt is spent, a person is told, and it goes out in the end."""
    world = live()
    change = cancel(world)
    world.venue.is_reachable = False
    for _attempt in range(5 * MOST_ATTEMPTS):
        stay_home(world, "change")
        wake_at = now(world, change).wake_at
        assert wake_at is not None
        assert (wake_at - world.clock.now()).total_seconds() <= 5
        world.clock.advance(5)
    assert (ChangeState.PENDING, 0) == (now(world, change).state, now(world, change).attempts)
    assert "cancel_failed:main" in world.store.open_incidents()
    world.venue.is_reachable = True
    do(world, "change")
    assert ("Cancelled", ChangeState.DONE) == (world.venue.orders[0].status, now(world, change).state)


def test_cancel_asked_for_while_no_connection_comes_about_keeps_the_order_from_being_sent() -> None:
    """The order came back with no attempt spent; before it is sent again comes the cancel."""
    world = World()
    accept(world)
    world.venue.is_reachable = False
    actor = Actor("execute", lambda: world.perform(Message("execute", ID)))
    while "signed" not in actor.place:
        actor.step()
    change = cancel(world)
    actor.run()
    world.venue.is_reachable = True
    world.clock.advance(5)
    assert "its changes come first" in stay_home(world, "execute")
    stay_home(world, "change")
    assert (State.CANCELLED, ChangeState.DONE) == (world.store.orders[ID].state, now(world, change).state)


# --- amend against time ---------------------------------------------------------------------------------------


def test_amend_below_the_filled_quantity_is_refused_without_a_request() -> None:
    """The ledger knows of the fill."""
    world = live()
    world.venue.fill(world.venue.orders[0], Decimal("0.3"))
    world.resolver.look(ID)
    change = amend(world, qty="0.002")
    stay_home(world, "change")
    assert (ChangeState.REFUSED, "quantity_out_of_bounds") == (
        now(world, change).state,
        now(world, change).last_code,
    )


def test_amend_below_what_fills_while_it_travels_is_refused_and_looked_at() -> None:
    """The fill comes between our check and the exchange's answer: the order keeps its quantity, here and there."""
    world = live()
    change = amend(world, qty="0.002")
    actor = depart(world, "change")
    world.venue.fill(world.venue.orders[0], Decimal("0.3"))
    world.venue.deliver(world.venue.flights[-1], Verdict.TAKES)
    actor.run()
    assert ChangeState.REFUSED is now(world, change).state
    world.resolver.look(ID)
    order = world.store.orders[ID]
    assert (State.PARTIALLY_FILLED, Decimal("0.01")) == (order.state, order.request.qty)
    assert Decimal("0.01") == world.venue.orders[0].qty


def test_second_amend_waits_until_the_first_can_no_longer_arrive() -> None:
    """The first one's request is late and unanswered: no message sends anything before the horizon."""
    world = live()
    amend(world, price="59100")
    late = lose(world, "change")
    world.venue.flights.clear()
    world.clock.advance(1)
    amend(world, price="59200")
    stay_home(world, "change")  # the second amend's own message
    world.clock.advance(3)
    world.venue.flights.append(late)
    world.venue.deliver(late, Verdict.TAKES)
    world.clock.advance(4)
    do(world, "change")
    do(world, "change")
    assert Decimal(59200) == world.venue.orders[0].price == world.store.orders[ID].request.price


def test_amend_refused_for_the_moment_leaves_nothing_that_may_arrive() -> None:
    """10006 was not executed: the amend goes out again without waiting for a horizon."""
    world = live()
    change = amend(world, price="59100")
    do(world, "change", Verdict.LIMITS)
    assert now(world, change).horizon_ms is None
    world.clock.advance(1.1)
    do(world, "change")
    assert ChangeState.DONE is now(world, change).state


def test_amend_in_doubt_is_given_up_after_its_last_attempt() -> None:
    """Attempts are bounded; what the exchange shows of it counts all the same."""
    world = live()
    change = amend(world, price="59100")
    for _attempt in range(MOST_ATTEMPTS):
        lose(world, "change")
        world.venue.flights.clear()
        world.clock.advance(7)
    assert ChangeState.REFUSED is now(world, change).state
    world.venue.orders[0].price = Decimal(59100)  # one of them had arrived
    world.resolver.look(ID)
    assert Decimal(59100) == world.store.orders[ID].request.price


def test_change_of_a_halted_account_waits_without_filling_the_audit_trail() -> None:
    """It is tried every few seconds for as long as the halt lasts; the trail says so once."""
    world = live()
    change = amend(world, price="59100")
    world.halts.halt_account("main", code="10003", message="", cause="", fix="")
    for _round in range(5):
        stay_home(world, "change")
        world.clock.advance(6)
    said = [event for event in world.store.events(ID) if event.event == "amend_pending"]
    assert 1 == len(said)
    world.halts.resume("main")
    do(world, "change")
    assert ChangeState.DONE is now(world, change).state


def test_amend_that_meets_a_cancelled_order_is_void() -> None:
    """Order ended before it went out."""
    world = live()
    change = amend(world, price="59100")
    world.venue.orders[0].status = "Cancelled"
    world.resolver.look(ID)
    stay_home(world, "change")
    assert ChangeState.VOID is now(world, change).state
    assert Event.AMENDED.value not in [event.event for event in world.store.events(ID)]
