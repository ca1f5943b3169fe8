"""Answers that never come, and processes that die at bad moments: each history was found by chaos, and mended."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import AmendRequest, NewOrder, Order, OrderId
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import Verdict
from tests.unit.services.world import Message, World

ID = OrderId("O-1")


def accept(world: World, **changes: object) -> Order:
    """Accept an order."""
    world.submitter.accept([NewOrder(ID, examples.order(**changes), world.clock.now())])
    return world.store.orders[ID]


def travel(world: World, act: Callable[[], object], *, loses_answer: bool = False) -> Actor:
    """Let a call go on until its request is on its way, deliver that, and stop before the answer is read."""
    actor = Actor("worker", act)
    while "on its way" not in actor.place:
        assert not actor.is_done, "it sent nothing"
        actor.step()
    world.venue.deliver(world.venue.flights[-1], Verdict.TAKES, loses_answer=loses_answer)
    return actor


def do(world: World, task: str, *, loses_answer: bool = False) -> None:
    """Let a worker do a task whose request reaches the venue."""
    travel(world, lambda: world.perform(Message(task, ID)), loses_answer=loses_answer).run()


def test_amend_whose_answer_is_lost_shows_when_the_order_has_filled() -> None:
    """The order filled at its new price before the amend could be repeated: the ledger takes over what it sees."""
    world = World()
    accept(world)
    do(world, "execute")
    world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
    do(world, "change", loses_answer=True)
    world.venue.fill(world.venue.orders[0], Decimal(1))
    world.resolver.look(ID)
    order = world.store.orders[ID]
    assert (State.FILLED, Decimal(59100)) == (order.state, order.request.price)
