"""A fault that nobody foresaw about one order, line or step of a tick stops none of those behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import NewOrder, Order, OrderId
from sluicegate.services.execute import Executor
from sluicegate.services.halts import Halts
from sluicegate.services.pace import Pace
from sluicegate.services.perform import Performer
from sluicegate.services.release import Releaser
from sluicegate.services.unpark import Unparker
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor
from tests.unit.services.world import Broker, World

FIRST, SECOND = OrderId("O-1"), OrderId("O-2")
Break = Callable[..., Any]


def world_of_two(**fields: object) -> World:
    """Return a world with two orders, of which nobody has told a worker."""
    world = World()
    for number, order_id in enumerate((FIRST, SECOND)):
        more = fields if number == 0 else {}
        request = examples.order(client_order_id=order_id, deadline_s=3600, **more)
        world.submitter.accept([NewOrder(order_id, request, world.clock.now())])
    world.broker.waiting.clear()
    return world


def fail_first(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, is_first: Callable[[Any], bool]) -> None:
    """Let a method fail when what it is called with is about the first order."""
    real = getattr(owner, name)

    def call(self: Any, about: Any, *arguments: Any, **options: Any) -> Any:
        if is_first(about):
            raise ZeroDivisionError
        return real(self, about, *arguments, **options)

    monkeypatch.setattr(owner, name, call)


def is_first(about: Any) -> bool:
    """Tell whether an order, or its id, is the first one's."""
    return FIRST == (about.order_id if isinstance(about, Order) else about)


def release(world: World) -> dict[str, int]:
    """Let a scheduler do one round."""
    done: list[dict[str, int]] = []
    Actor("release", lambda: done.append(world.releaser.release())).run()
    return done[0]


def put(world: World, *events: Event) -> None:
    """Lead both orders to a state in which the next tick must do something about them."""
    for order_id in (FIRST, SECOND):
        for event in events:
            moved = world.store.transition(world.store.orders[order_id], event, {"wake_at": world.clock.now()}, {})
            assert moved is not None


def states(world: World) -> list[State]:
    """Return the states of both."""
    return [world.store.orders[order_id].state for order_id in (FIRST, SECOND)]


def test_fault_while_one_lease_is_taken_over_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second order's worker died too: it is in doubt now."""
    world = world_of_two()
    put(world, Event.CLAIMED)
    fail_first(monkeypatch, Releaser, "_doubt", is_first)
    assert 1 == release(world)["faults"]
    assert [State.SUBMITTING, State.IN_DOUBT] == states(world)


def test_fault_while_one_look_is_published_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second order is looked at."""
    world = world_of_two()
    put(world, Event.CLAIMED, Event.DOUBTED)
    fail_first(monkeypatch, Broker, "publish_look", is_first)
    assert 1 == release(world)["faults"]
    assert [("look", SECOND)] == [(message.task, message.order_id) for message in world.broker.waiting]


def test_fault_while_one_change_is_published_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second order's cancel goes out."""
    world = world_of_two()
    put(world, Event.SEEN_OPEN)
    for order_id in (FIRST, SECOND):
        world.changes.cancel(order_id)
    world.broker.waiting.clear()
    world.clock.advance(2)
    fail_first(monkeypatch, Broker, "publish_change", is_first)
    assert 1 == release(world)["faults"]
    assert [("change", SECOND)] == [(message.task, message.order_id) for message in world.broker.waiting]


def test_fault_while_one_order_is_held_back_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their account is halted: the second one is parked."""
    world = world_of_two()
    put(world, Event.DEFERRED)
    world.halts.halt_account("main", code="10003", message="", cause="", fix="")
    fail_first(monkeypatch, Performer, "hold", is_first)
    assert 1 == release(world)["faults"]
    assert [State.ACCEPTED, State.PARKED] == states(world)


def test_fault_about_one_line_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of another category go out."""
    world = world_of_two(category="inverse")
    put(world, Event.DEFERRED)
    fail_first(monkeypatch, Pace, "room", lambda line: line[1] == "inverse")
    assert 1 == release(world)["faults"]
    assert [SECOND] == [message.order_id for message in world.broker.waiting]


@pytest.mark.parametrize(
    ("owner", "name"), [(Halts, "lift_expired"), (Unparker, "unpark"), (Releaser, "_take_over")]
)
def test_fault_of_one_step_stops_no_other(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Whatever comes before it, what is due is published."""
    world = world_of_two()
    put(world, Event.DEFERRED)
    claimed = world.store.transition(world.store.orders[FIRST], Event.CLAIMED, {"wake_at": world.clock.now()}, {})
    assert claimed is not None

    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(owner, name, fail)
    assert 1 == release(world)["faults"]
    assert [SECOND] == [message.order_id for message in world.broker.waiting if message.task == "execute"]


def test_fault_about_one_category_of_a_message_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message carries orders of two categories: the second is worked on, the first comes back by itself."""
    world = world_of_two(category="inverse")
    worked_on: list[OrderId] = []

    def execute_due(_executor: Executor, company: Any) -> dict[OrderId, str]:
        if is_first(company[0]):
            raise ZeroDivisionError
        worked_on.append(company[0].order_id)
        return {company[0].order_id: "live"}

    monkeypatch.setattr(Executor, "_execute_due", execute_due)
    assert {SECOND: "live"} == world.executor.execute([FIRST, SECOND])
    assert [SECOND] == worked_on
