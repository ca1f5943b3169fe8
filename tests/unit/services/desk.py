"""What a test does with a world that has one order: accept it, let its requests travel, look at it."""

from __future__ import annotations

from sluicegate.domain.orders import NewOrder, Order, OrderId
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import Flight, Verdict
from tests.unit.services.world import Message, World

ID = OrderId("O-1")


def accept(world: World, **changes: object) -> Order:
    """Accept an order."""
    world.submitter.accept([NewOrder(ID, examples.order(**changes), world.clock.now())])
    return world.store.orders[ID]


def depart(world: World, task: str) -> Actor:
    """Let a worker do a task until its request is on its way."""
    actor = Actor(task, lambda: world.perform(Message(task, ID)))
    while "on its way" not in actor.place:
        assert not actor.is_done, "it sent nothing"
        actor.step()
    return actor


def do(world: World, task: str, verdict: Verdict = Verdict.TAKES) -> None:
    """Let a worker do a task whose request is answered."""
    actor = depart(world, task)
    world.venue.deliver(world.venue.flights[-1], verdict)
    actor.run()


def lose(world: World, task: str) -> Flight:
    """Let a worker do a task whose request is late and whose answer never comes; return the request."""
    actor = depart(world, task)
    actor.run()
    return world.venue.flights[-1]


def lose_answer(world: World, task: str) -> None:
    """Let a worker do a task whose request arrives and whose answer never comes."""
    actor = depart(world, task)
    world.venue.deliver(world.venue.flights[-1], Verdict.TAKES, loses_answer=True)
    actor.run()


def stay_home(world: World, task: str) -> str:
    """Let a worker do a task that sends nothing, and return its word."""
    words: list[str] = []
    actor = Actor(task, lambda: words.append(world.perform(Message(task, ID))))
    actor.run()
    assert not world.venue.flights, "it sent something"
    return words[0]


def live(**changes: object) -> World:
    """Return a world with one live order."""
    world = World()
    accept(world, **changes)
    do(world, "execute")
    return world


def doubtful(**changes: object) -> World:
    """Return a world with one order in doubt that never arrived."""
    world = World()
    accept(world, **changes)
    lose(world, "execute")
    world.venue.flights.clear()
    return world


def now(world: World) -> Order:
    """Return the order as it stands."""
    return world.store.orders[ID]


def trail(world: World) -> list[str]:
    """Return the events of the order."""
    return [event.event for event in world.store.events(ID)]
