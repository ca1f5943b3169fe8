"""Every instant at which a process may die, and every pair of workers: tried one by one, none left out.

Where hypothesis draws (`machine.py`), this counts: a task is stopped before its first call of a port,
its second, and so on to its last. There it dies, or another worker does the same task from beginning to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import AmendRequest
from tests.chaos.evidence import Promises
from tests.unit.services.desk import ID, accept, live, lose, lose_answer
from tests.unit.services.interleaving import Actor, Mishap
from tests.unit.services.reckoning import arrive, finish, go_on, reckon
from tests.unit.services.world import Message, World

MOST_STEPS = 120


def accepted() -> World:
    """Return a world with one order that waits."""
    world = World()
    accept(world)
    return world


def accepted_where_link_ids_repeat() -> World:
    """Return the same where nothing but claim, evidence and horizon stands between an order and its double."""
    world = accepted()
    world.venue.takes_link_ids_twice = True
    return world


def doubtful() -> World:
    """Return a world with an order in doubt that is there."""
    world = World()
    accept(world)
    lose_answer(world, "execute")
    return world


def absent() -> World:
    """Return a world with an order in doubt that never arrived, and can no longer."""
    world = World()
    accept(world)
    lose(world, "execute")
    world.venue.flights.clear()
    world.clock.advance(10)
    return world


def cancelling() -> World:
    """Return a world with a live order whose cancel waits."""
    world = live()
    world.changes.cancel(ID)
    return world


def amending() -> World:
    """Return a world with a live order whose amend waits."""
    world = live()
    world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
    return world


def filled() -> World:
    """Return a world with an order that has filled since it was last looked at."""
    world = live()
    world.venue.fill(world.venue.orders[0], Decimal(1))
    return world


def _task(name: str) -> Callable[[World], object]:
    return lambda world: world.perform(Message(name, ID))


TASKS: dict[str, tuple[Callable[[], World], Callable[[World], object]]] = {
    "execute": (accepted, _task("execute")),
    "execute without unique link ids": (accepted_where_link_ids_repeat, _task("execute")),
    "look at one that is there": (doubtful, _task("look")),
    "look at one that never came": (absent, _task("look")),
    "look at one that has filled": (filled, _task("look")),
    "cancel": (cancelling, _task("change")),
    "amend": (amending, _task("change")),
    "release": (absent, lambda world: world.tick()),
    "follow": (filled, lambda world: world.tick()),
    "ask for a cancel": (live, lambda world: world.changes.cancel(ID)),
    "review": (absent, lambda world: world.review.review()),
}


def stops(name: str) -> Iterator[tuple[World, Actor, Callable[[World], object]]]:
    """Yield a fresh world and the task stopped before each of its calls of a port, one after the other."""
    build, act = TASKS[name]
    for steps in range(1, MOST_STEPS):
        world = build()
        actor = Actor(name, lambda world=world: act(world))
        for _step in range(steps):
            go_on(world, actor)
            if actor.is_done:
                return
        yield world, actor, act
    raise AssertionError(f"{name} takes more than {MOST_STEPS} steps")


@pytest.mark.parametrize("name", TASKS)
def test_process_that_dies_before_any_call_of_a_port_loses_and_doubles_nothing(name: str) -> None:
    """Wherever the process ends, the others bring the order to where it belongs."""
    count = 0
    for world, actor, _act in stops(name):
        place = actor.place
        actor.crash()
        reckon(world, Promises())
        assert State.ACCEPTED is not world.store.orders[ID].state, place
        count += 1
    assert count >= 2


@pytest.mark.parametrize("name", TASKS)
def test_second_worker_between_any_two_calls_of_a_port_doubles_nothing(name: str) -> None:
    """A message that came twice: another worker does the whole task while the first one stands still."""
    for world, actor, act in stops(name):
        finish(world, Actor("second", lambda world=world, act=act: act(world)))
        finish(world, actor)
        reckon(world, Promises())


@pytest.mark.parametrize("mishap", [Mishap.FAILS_BEFORE, Mishap.FAILS_AFTER])
@pytest.mark.parametrize("name", TASKS)
def test_any_call_of_a_port_may_fail(name: str, mishap: Mishap) -> None:
    """Ledger, broker, buckets or exchange fail at one call, before or after they did it; the rest goes on."""
    for world, actor, _act in stops(name):
        actor.step(mishap)
        arrive(world)
        finish(world, actor)
        reckon(world, Promises())
