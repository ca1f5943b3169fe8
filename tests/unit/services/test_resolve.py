"""Resolving on evidence alone: what is found, what is proved, and what only a person can tell."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import AmendRequest, NewOrder, OrderId
from sluicegate.domain.records import Question
from sluicegate.services.resolve import Resolver
from tests.unit.domain import examples
from tests.unit.services.desk import ID, accept, do, doubtful, live, lose, lose_answer, now, stay_home, trail
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import VenueOrder, Verdict
from tests.unit.services.world import Message, World

DAY_S = 24 * 3600.0
STOPS = {
    "linear": {"trigger_price": "61000", "trigger_direction": 1},
    "spot stop": {"category": "spot", "trigger_price": "61000", "order_filter": "StopOrder"},
    "spot TP/SL": {"category": "spot", "trigger_price": "61000", "order_filter": "tpslOrder"},
}


def stranger(world: World, **changes: object) -> VenueOrder:
    """Let somebody else place an order under our link id."""
    request = examples.order(**changes)
    order = VenueOrder(len(world.venue.orders) + 1, "sg-O-1", request, request.qty, request.price, 0)
    world.venue.orders.append(order)
    return order


def look_until(world: World, seconds: float) -> None:
    """Let schedulers and control workers do their rounds for a while."""
    end_s = world.clock.elapsed_s + seconds
    while world.clock.elapsed_s < end_s:
        world.clock.advance(min(5.0, end_s - world.clock.elapsed_s))
        world.tick()
        for message in list(world.broker.waiting):
            world.broker.waiting.remove(message)
            if message.task == "look":
                world.perform(message)


@pytest.mark.parametrize("qty", ["0", "-1"])
def test_value_that_no_order_may_have_is_not_taken_over(qty: str) -> None:
    """An amend in doubt explains a smaller quantity, but none that would make the order unreadable."""
    world = live(on_step="round_down")
    world.changes.amend(ID, AmendRequest.model_validate({"qty": "2"}))
    lose(world, "change")
    world.venue.flights.clear()
    world.venue.orders[0].qty = Decimal(qty)
    stay_home(world, "look")
    order = now(world)
    assert Decimal("0.01") == order.request.qty
    assert Question.FOREIGN == order.last_code
    assert order.request == type(order.request).model_validate(order.request.to_json())


def test_fault_about_one_order_stops_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that nobody can make sense of is counted; the next one has its turn."""
    world = live()
    other = OrderId("O-2")
    world.clock.advance(5)  # tokens come back
    world.submitter.accept([NewOrder(other, examples.order(client_order_id="c-2"), world.clock.now())])
    actor = Actor("execute", lambda: world.perform(Message("execute", other)))
    while not actor.is_done:
        actor.step()
        if world.venue.flights:
            world.venue.deliver(world.venue.flights[-1], Verdict.TAKES)
    world.clock.advance(60)
    looked: list[OrderId] = []

    def look(_resolver: Resolver, order_id: OrderId) -> str:
        looked.append(order_id)
        raise ZeroDivisionError

    monkeypatch.setattr(Resolver, "look", look)
    done: list[dict[str, int]] = []
    Actor("follow", lambda: done.append(world.follower.follow())).run()
    assert {ID, other} == set(looked)
    assert 2 == done[0]["faults"]


# --- a foreign order under our id -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "Sell"},
        {"qty": "0.02"},
        {"price": "59000"},
        {"time_in_force": "PostOnly"},
        {"trigger_price": "61000", "trigger_direction": 1},
        {"reduce_only": True},
    ],
)
def test_foreign_order_under_our_id_is_neither_adopted_nor_sent(changes: dict[str, Any]) -> None:
    """Whatever field differs: the order stays in doubt, a person is told once, and nothing goes out for days."""
    world = World()
    accept(world)
    stranger(world, **changes)
    do(world, "execute")  # the venue says that the link id is taken
    look_until(world, 60)
    order = now(world)
    assert (State.IN_DOUBT, Question.FOREIGN) == (order.state, order.last_code)
    assert "foreign:O-1" in world.store.open_incidents()
    assert 1 == world.store.open_incidents()["foreign:O-1"].count
    world.venue.orders.clear()  # and history forgets the stranger
    look_until(world, 3 * DAY_S)
    assert State.IN_DOUBT is now(world).state
    assert [] == world.venue.flights
    assert 1 == now(world).attempts


def test_order_that_was_rounded_is_known_by_what_was_sent() -> None:
    """Its answer was lost; what rounding made of it is written down before it goes out."""
    world = World()
    accept(world, qty="0.0129", price="59999.97", on_step="round_down")
    lose_answer(world, "execute")
    assert (Decimal("0.012"), Decimal("59999.9")) == (world.venue.orders[0].qty, world.venue.orders[0].price)
    stay_home(world, "look")
    assert State.LIVE is now(world).state


@pytest.mark.parametrize("changes", [{"qty": "0.011"}, {"price": "59999.8"}])
def test_order_that_is_less_than_what_was_sent_is_foreign(changes: dict[str, str]) -> None:
    """Less than was asked, but not what rounding made of it: another's."""
    world = doubtful(qty="0.0129", price="59999.97", on_step="round_down")
    stranger(world, **{"qty": "0.012", "price": "59999.9", **changes})
    stay_home(world, "look")
    assert (State.IN_DOUBT, Question.FOREIGN) == (now(world).state, now(world).last_code)


def test_rounded_order_of_an_older_trail_is_adopted() -> None:
    """Where the trail does not say what was sent, less may be what rounding made of it."""
    world = doubtful(qty="0.0129", on_step="round_down")
    for event in world.store.events(ID):
        dict.pop(event.detail, "sent", None)
    stranger(world, qty="0.011")
    stay_home(world, "look")
    assert State.LIVE is now(world).state


def test_order_found_after_its_link_id_was_refused_is_adopted() -> None:
    """110072 about our own order of an earlier try: it is what was asked, so it is ours."""
    world = World()
    accept(world)
    lose_answer(world, "execute")
    world.venue.orders[0].visible_at_ms = world.venue.now_ms() + 60_000
    world.clock.advance(10)
    stay_home(world, "look")
    assert State.ACCEPTED is now(world).state
    do(world, "execute")
    assert "110072" == now(world).last_code
    world.venue.orders[0].visible_at_ms = 0
    stay_home(world, "look")
    assert State.LIVE is now(world).state
    assert 1 == len(world.venue.orders)


def test_live_order_in_whose_place_another_is_shown_is_told() -> None:
    """Bybit's own id tells: another order goes by our link id."""
    world = live()
    world.venue.orders.clear()
    stranger(world)
    world.venue.orders[0].number = 77
    stay_home(world, "look")
    order = now(world)
    assert (State.LIVE, Question.FOREIGN, "x-1") == (order.state, order.last_code, order.exchange_order_id)
    assert "foreign:O-1" in world.store.open_incidents()


def test_order_amended_before_it_was_sent_is_ours_with_either_price() -> None:
    """What it was asked to be at some time explains what is shown."""
    world = World()
    accept(world)
    assert world.changes.amend(ID, AmendRequest(price=Decimal(59100))) is None
    lose(world, "execute")
    world.venue.flights.clear()
    stranger(world)
    stay_home(world, "look")
    assert State.LIVE is now(world).state


# --- kinds of orders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_apart", [False, True], ids=["listed with all", "under its filter alone"])
@pytest.mark.parametrize("status", ["New", "Cancelled"])
@pytest.mark.parametrize("asked", STOPS.values(), ids=STOPS)
def test_conditional_order_in_doubt_is_found_under_its_filter(
    asked: dict[str, Any], status: str, is_apart: bool
) -> None:
    """Open or closed, listed with everything or under its own filter alone: it is found, and not sent twice."""
    world = World()
    accept(world, **asked)
    lose_answer(world, "execute")
    world.venue.listed_under = {str(asked.get("order_filter", "StopOrder"))} if is_apart else {""}
    world.venue.orders[0].status = status
    stay_home(world, "look")
    assert now(world).state is (State.LIVE if status == "New" else State.CANCELLED)


# --- what absence proves --------------------------------------------------------------------------------------


def test_order_that_never_arrived_is_sent_again_after_the_horizon() -> None:
    """Within the exchange's memory an absence is a proof."""
    world = doubtful()
    world.clock.advance(5)
    stay_home(world, "look")
    assert State.IN_DOUBT is now(world).state
    world.clock.advance(5)
    stay_home(world, "look")
    assert State.ACCEPTED is now(world).state


def test_order_looked_for_after_a_day_is_never_called_absent() -> None:
    """It may have been rejected or cancelled and forgotten: a person is asked, and nothing is sent."""
    world = doubtful(deadline_s=3600)
    world.clock.advance(DAY_S)
    stay_home(world, "look")
    order = now(world)
    assert (State.IN_DOUBT, Question.UNPROVABLE) == (order.state, order.last_code)
    lines = len(world.store.events(ID))
    look_until(world, 3600)
    assert State.IN_DOUBT is now(world).state
    assert lines == len(world.store.events(ID))
    assert [ID] == [found.order_id for found in world.store.questions(limit=9)]


def test_order_that_shows_up_after_all_is_followed_again() -> None:
    """A question is answered by what the exchange shows, whenever it shows it."""
    world = doubtful()
    world.clock.advance(DAY_S)
    stay_home(world, "look")
    stranger(world)  # this very order
    stay_home(world, "look")
    order = now(world)
    assert (State.LIVE, "") == (order.state, order.last_code)
    assert [] == world.store.questions(limit=9)


def test_order_whose_link_id_is_taken_is_not_absent_though_nothing_shows_it() -> None:
    """110072 and an empty history: it is somewhere, so it is neither sent again nor given up."""
    world = World()
    accept(world)
    order = stranger(world)
    order.visible_at_ms = world.venue.now_ms() + 10**9
    do(world, "execute")
    world.clock.advance(10)
    stay_home(world, "look")
    assert (State.IN_DOUBT, Question.UNPROVABLE) == (now(world).state, now(world).last_code)
    assert 1 == now(world).attempts


def test_fills_prove_an_order_that_no_list_shows() -> None:
    """Executions are kept for two years: they lead out of doubt, and count to the last digit."""
    world = World()
    accept(world)
    lose_answer(world, "execute")
    world.venue.fill(world.venue.orders[0], Decimal("0.3"))
    world.venue.orders[0].visible_at_ms = world.venue.now_ms() + 10**9
    world.clock.advance(DAY_S)
    stay_home(world, "look")
    order = now(world)
    assert (State.PARTIALLY_FILLED, Decimal("0.003")) == (order.state, order.cum_exec_qty)
    assert [Decimal("0.003")] == [fill.qty for fill in world.store.executions(ID)]


# --- live, and gone -------------------------------------------------------------------------------------------


def test_live_order_that_disappeared_is_told_after_a_while() -> None:
    """No list shows it: it is looked for, nothing is guessed, and then a person is asked."""
    world = live()
    look_until(world, 30)
    [gone] = world.venue.orders
    world.venue.orders.clear()
    look_until(world, 100)
    assert (State.LIVE, Question.NOT_SHOWN) == (now(world).state, now(world).last_code)
    assert 1 == trail(world).count(Event.MISSED.value)
    assert "unsettled:main" not in world.store.open_incidents()
    look_until(world, 120)
    world.review.review()
    assert "unsettled:main" in world.store.open_incidents()
    world.venue.orders.append(gone)
    look_until(world, 130)
    world.review.review()
    assert (State.LIVE, "") == (now(world).state, now(world).last_code)
    assert "unsettled:main" not in world.store.open_incidents()


def test_young_live_order_that_is_not_listed_yet_is_no_question() -> None:
    """Lists lag behind acknowledgements."""
    world = live()
    world.venue.orders[0].visible_at_ms = world.venue.now_ms() + 4000
    look_until(world, 3)
    assert Event.MISSED.value not in trail(world)


def test_change_that_explains_what_is_shown_is_not_taken_for_another_value() -> None:
    """An amend in doubt asked for 59100; a shown 58000 is somebody else's, and is not written down as ours."""
    world = live()
    world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
    lose(world, "change")
    world.venue.orders[0].price = Decimal(58000)
    world.resolver.look(ID)
    assert Decimal(60000) == now(world).request.price
    world.venue.orders[0].price = Decimal(59100)
    world.resolver.look(ID)
    assert Decimal(59100) == now(world).request.price


# --- too long in doubt ----------------------------------------------------------------------------------------


def test_orders_that_stay_in_doubt_are_told_once_and_the_incident_closes_itself() -> None:
    """The exchange does not answer: after horizon and margin there is one incident, until it is over."""
    world = World()
    for number in (1, 2):
        new = NewOrder(OrderId(f"O-{number}"), examples.order(client_order_id=f"c-{number}"), world.clock.now())
        world.submitter.accept([new])
        order = world.store.orders[new.order_id]
        claimed = world.store.transition(order, Event.CLAIMED, {"attempts": 1, "horizon_ms": 0}, {})
        assert claimed is not None
        horizon_ms = world.venue.to_exchange_ms(world.clock.now())
        world.store.transition(claimed, Event.DOUBTED, {"horizon_ms": horizon_ms, "wake_at": None}, {})
    world.clock.advance(60)
    world.review.review()
    assert {} == world.store.open_incidents()
    world.clock.advance(5)
    assert {"in_doubt": 2, "unsettled": 0} == world.review.review()
    world.review.review()
    incident = world.store.open_incidents()["in_doubt:main"]
    assert 1 == incident.count
    assert "2 are overdue" in incident.detail
    for number in (1, 2):
        order_id = OrderId(f"O-{number}")
        world.store.orders[order_id] = replace(world.store.orders[order_id], state=State.LIVE)
    world.review.review()
    assert {} == world.store.open_incidents()
