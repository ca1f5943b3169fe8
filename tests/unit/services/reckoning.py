"""The reckoning: everyone finishes, and what ledger and venue hold is given to the checker."""

from __future__ import annotations

from sluicegate.services import settle as person
from tests.chaos.checker import UNSETTLED, check
from tests.chaos.evidence import Evidence, Promises
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import Verdict
from tests.unit.services.world import World

MOST_ROUNDS = 400


def go_on(world: World, actor: Actor) -> None:
    """Let an actor take one step; a request that is on its way arrives and is taken."""
    actor.step()
    arrive(world)


def finish(world: World, actor: Actor) -> None:
    """Let an actor go on to its end."""
    while not actor.is_done:
        go_on(world, actor)


def arrive(world: World) -> None:
    """Let every request that is on its way arrive."""
    for flight in list(world.venue.flights):
        world.venue.deliver(flight, Verdict.TAKES)


def reckon(world: World, promises: Promises) -> None:
    """Let schedulers and workers do their rounds until nothing is left to do, and hold ledger against venue."""
    for _round in range(MOST_ROUNDS):
        arrive(world)
        world.tick()
        waiting, world.broker.waiting = world.broker.waiting, []
        for message in waiting:
            finish(world, Actor("settling", lambda message=message: world.perform(message)))
        _answer_questions(world)
        if not any(breach.rule in UNSETTLED for breach in check(_evidence(world, promises))):
            break
        world.clock.advance(0.5)
    found = check(_evidence(world, promises))
    assert not found, "\n".join(map(str, found))


def _answer_questions(world: World) -> None:
    """Let a person decide what the venue has forgotten, as it was."""
    for order in world.store.questions(limit=9):
        there = world.venue.find(order.link_id)
        if there is None:
            decision = person.Decision(person.Fate.ABSENT, "it was never there")
        else:
            assert not there.is_open, f"{order.order_id} is open, and a person is asked: {order.last_message}"
            exchange_order_id = f"x-{there.number}"
            decision = person.Decision(person.Fate.CANCELLED, "statement", exchange_order_id=exchange_order_id)
        world.settler.settle(order.order_id, decision)


def _evidence(world: World, promises: Promises) -> Evidence:
    store = world.store
    return Evidence(
        orders=store.orders,
        exchange=[order.row() for order in world.venue.orders],
        events={order_id: store.events(order_id) for order_id in store.orders},
        changes={order_id: store.changes(order_id) for order_id in store.orders},
        executions={order_id: store.executions(order_id) for order_id in store.orders},
        dead_letters=store.letters,
        promises=promises,
    )
