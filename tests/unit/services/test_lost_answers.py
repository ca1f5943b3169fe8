"""Answers that never come, and processes that die at bad moments: each history was found by chaos, and mended."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from sluicegate.domain.lifecycle import UNSENT_STATES, Event, State
from sluicegate.domain.orders import AmendRequest, NewOrder, Order, OrderId
from sluicegate.domain.records import ChangeState
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


def test_acknowledgements_of_orders_that_moved_meanwhile_are_written_down() -> None:
    """Others were faster than the exchange's answer: no order goes without its acknowledgement."""
    world = World()
    ids = [OrderId(f"O-{number}") for number in range(3)]
    orders = [examples.order(client_order_id=f"c-{number}") for number in ids]
    world.submitter.accept(
        [NewOrder(one, order, world.clock.now()) for one, order in zip(ids, orders, strict=True)]
    )
    [message] = world.broker.waiting
    worker = travel(world, lambda: world.perform(message))
    sent = [order for order in world.store.orders.values() if order.state is State.SUBMITTING]
    assert sent
    for order in sent:
        world.store.transition(order, Event.DOUBTED, {}, {})
    worker.run()
    after = [world.store.orders[order.order_id] for order in sent]
    assert {State.LIVE} == {order.state for order in after}
    assert all(order.acked_at and order.exchange_order_id for order in after)


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


def test_acknowledgement_of_an_order_given_up_lets_it_be_followed() -> None:
    """An answer that comes when the order counts as expired makes it live, and somebody looks at it again."""
    world = World()
    order = accept(world)
    actor = travel(world, lambda: world.executor.execute([ID]))
    doubted = world.store.transition(world.store.orders[ID], Event.DOUBTED, {}, {})
    assert doubted is not None
    world.store.transition(doubted, Event.EXPIRED, {}, {})
    actor.run()
    order = world.store.orders[ID]
    assert State.LIVE is order.state
    assert order.wake_at is not None


def test_worker_that_dies_after_an_amend_was_taken_leaves_no_half_of_it() -> None:
    """Change and order are written together: wherever the worker dies, done means that the order shows it."""
    for steps in range(1, 6):
        world = World()
        accept(world)
        do(world, "execute")
        world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
        actor = travel(world, lambda world=world: world.changes.carry_out(ID))
        for _step in range(steps):
            if not actor.is_done:
                actor.step()
        actor.crash()
        [change] = world.store.changes(ID)
        is_written = world.store.orders[ID].request.price == Decimal(59100)
        assert is_written is (change.state is ChangeState.DONE), f"after {steps} steps"


def test_amend_that_follows_a_waiting_one_waits_behind_it() -> None:
    """Two amends keep their order although the second one finds the order unsent again."""
    world = World()
    order = accept(world)
    claimed = world.store.transition(order, Event.CLAIMED, {"attempts": 1}, {})
    world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
    assert claimed is not None
    world.store.transition(claimed, Event.BACKED_OFF, {}, {})
    world.changes.amend(ID, AmendRequest(price=Decimal(59200)))
    world.changes.carry_out(ID)
    world.changes.carry_out(ID)
    assert Decimal(59200) == world.store.orders[ID].request.price


def test_stopped_worker_does_not_undo_a_later_amend() -> None:
    """A worker that wakes up long after its amend was repeated by another writes nothing."""
    world = World()
    accept(world)
    do(world, "execute")
    world.changes.amend(ID, AmendRequest(price=Decimal(59100)))
    stopped = travel(world, lambda: world.changes.carry_out(ID))
    world.clock.advance(30)
    do(world, "change")
    world.changes.amend(ID, AmendRequest(price=Decimal(59200)))
    do(world, "change")
    stopped.run()
    assert Decimal(59200) == world.store.orders[ID].request.price


def test_order_that_arrives_late_and_shows_later_is_not_cancelled_as_unsent() -> None:
    """A request at the end of its window, and queries that lag: the order is not taken for absent."""
    world = World()
    accept(world)
    world.venue.lag_ms = 2900
    actor = Actor("worker", lambda: world.executor.execute([ID]))
    while "on its way" not in actor.place:
        actor.step()
    world.clock.advance(4.9)
    world.venue.deliver(world.venue.flights[0], Verdict.TAKES, loses_answer=True)
    actor.run()
    for _round in range(40):
        world.clock.advance(0.25)
        world.releaser.release()
        world.resolver.look(ID)
        if world.store.orders[ID].state in UNSENT_STATES:
            world.changes.cancel(ID)
    assert State.LIVE is world.store.orders[ID].state
