"""A wrong deployment must not dead-letter everything: the account halts, its orders park, a person is paged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import NewOrder, OrderId
from sluicegate.domain.outcomes import Acknowledged, Action, Outcome, Refused
from sluicegate.ports import Answer, LaneKind
from sluicegate.services.halts import BREAKER
from sluicegate.services.lanes import CREATE, Lanes
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor
from tests.unit.services.venue import Verdict
from tests.unit.services.world import BREAKER as LIMITS
from tests.unit.services.world import Message, World

BAD = "0.00015"
"""No multiple of the step: a gate denies it."""


def submit(world: World, number: int, **fields: object) -> OrderId:
    """Accept one order."""
    new = NewOrder(
        OrderId(f"O-{number:03}"), examples.order(client_order_id=f"c-{number}", **fields), world.clock.now()
    )
    world.submitter.accept([new])
    return new.order_id


def execute(world: World, order_id: OrderId, verdict: Verdict = Verdict.TAKES) -> None:
    """Let a worker execute an order; a request that goes out gets an answer."""
    actor = Actor("execute", lambda: world.perform(Message("execute", order_id)))
    while not actor.is_done:
        actor.step()
        while world.venue.flights:
            world.venue.deliver(world.venue.flights[0], verdict)
    world.clock.advance(0.6)


def states(world: World) -> Counter[State]:
    """Count the orders by state."""
    return Counter(order.state for order in world.store.orders.values())


@pytest.mark.parametrize("by", ["gate", "exchange"])
def test_wrong_deployment_parks_its_orders_and_pages_once(by: str) -> None:
    """Some become dead letters; then the account halts with an incident, and the rest waits for a person."""
    world = World()
    for number in range(30):
        qty = BAD if by == "gate" else "0.01"
        execute(world, submit(world, number, qty=qty), Verdict.REFUSES)
    assert {State.DEAD: LIMITS.least - 1, State.PARKED: 31 - LIMITS.least} == states(world)
    halt = world.halts.on("main")
    assert halt is not None
    assert BREAKER == halt.code
    incident = world.store.open_incidents()["halt:account:main"]
    assert 1 == incident.count
    assert "4 of 4 orders of the last 60 s" in incident.detail


def test_bad_orders_among_good_ones_are_dead_letters() -> None:
    """Half and less of an account's orders may be wrong without anyone being woken."""
    world = World()
    for number in range(20):
        qty = "0.01" if number % 2 == 0 else BAD
        execute(world, submit(world, number, qty=qty))
    assert {State.LIVE: 10, State.DEAD: 10} == states(world)
    assert world.halts.on("main") is None


def test_dead_letters_of_long_ago_do_not_count() -> None:
    """A few a minute, all day long, are single orders' faults."""
    world = World()
    for number in range(20):
        execute(world, submit(world, number, qty=BAD))
        world.clock.advance(LIMITS.window_s / (LIMITS.least - 1))
    assert {State.DEAD: 20} == states(world)


def test_resumed_account_goes_on() -> None:
    """The cause is mended: parked orders go out, and what is still wrong is judged anew."""
    world = World()
    ids = [submit(world, number, qty=BAD if number < 6 else "0.01") for number in range(10)]
    for order_id in ids:
        execute(world, order_id)
    assert {State.DEAD: 3, State.PARKED: 7} == states(world)
    world.clock.advance(LIMITS.window_s)
    assert 7 == world.halts.resume("main")[1]
    assert {} == world.store.open_incidents()
    for order_id in ids[3:]:
        execute(world, order_id)
    assert {State.DEAD: 6, State.LIVE: 4} == states(world)


def test_account_that_was_resumed_too_early_halts_again() -> None:
    """Nothing was mended: the first bad order within the window is parked again."""
    world = World()
    ids = [submit(world, number, qty=BAD) for number in range(10)]
    for order_id in ids:
        execute(world, order_id)
    world.halts.resume("main")
    execute(world, ids[-1])
    assert world.halts.on("main") is not None
    assert State.PARKED is world.store.orders[ids[-1]].state


def test_tripped_breaker_lets_cancels_and_looks_through() -> None:
    """The exchange refuses nobody: live orders can be cancelled and are followed."""
    world = World()
    live = submit(world, 0)
    execute(world, live)
    for number in range(1, 9):
        execute(world, submit(world, number, qty=BAD))
    assert world.halts.on("main") is not None
    assert world.halts.silencing("main") is None
    assert world.changes.cancel(live) is not None
    actor = Actor("change", lambda: world.perform(Message("change", live)))
    while not actor.is_done:
        actor.step()
        while world.venue.flights:
            world.venue.deliver(world.venue.flights[0], Verdict.TAKES)
    assert "Cancelled" == world.venue.orders[0].status


def test_gate_that_fails_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a gate makes a dead letter; the order is neither sent unchecked nor tried for ever."""
    world = World()

    def fault(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.venue, "rules", fault)
    order_id = submit(world, 1)
    execute(world, order_id)
    [letter] = world.store.dead_letters()
    assert ("gate_failed", State.DEAD) == (letter.reason, world.store.orders[order_id].state)
    assert [] == world.venue.orders


REFUSAL = Refused("10001", "the 7th is wrong", Action.DEAD_LETTER, "bad_parameter", "c", "f")


def conclude_batch(world: World, outcomes: list[Outcome]) -> None:
    """Let one batch of orders come to these outcomes."""
    claimed = []
    for number, outcome in enumerate(outcomes):
        order = world.store.orders[submit(world, number)]
        moved = world.store.transition(order, Event.CLAIMED, {"attempts": 1, "lease_until": world.clock.now()}, {})
        assert moved is not None
        claimed.append((moved, Answer(outcome, 1, 0.1)))
    world.executor.performer.perform_many(claimed)


def test_breaker_counts_the_dead_letters_of_one_batch() -> None:
    """They are written in one transaction, and judged one after the other all the same."""
    world = World()
    conclude_batch(world, [REFUSAL] * 20)
    assert {State.DEAD: LIMITS.least - 1, State.PARKED: 21 - LIMITS.least} == states(world)


def test_breaker_counts_the_acknowledged_orders_of_one_batch() -> None:
    """Half of a batch may be wrong."""
    world = World()
    conclude_batch(world, [REFUSAL] * 10 + [Acknowledged("e")] * 10)
    assert {State.DEAD: 10, State.LIVE: 10} == states(world)


def test_orders_of_a_batch_refused_as_a_whole_go_again_alone() -> None:
    """Only the one that was meant dies, once it is refused alone."""
    world = World()
    conclude_batch(world, [replace(REFUSAL, is_shared=True)] * 20)
    assert {State.ACCEPTED: 20} == states(world)
    account = world.executor.accounts.get("main")
    back = list(world.store.orders.values())
    assert all(order.due_at is not None and order.due_at <= world.clock.now() for order in back)
    lanes = Lanes(are_batches_on=True)
    assert {LaneKind.ALONE: CREATE} == lanes.paths(account, [(back[0], back[0].request)])
    fresh = world.store.orders[submit(world, 20)]
    ready = [(order, order.request) for order in (fresh, *back)]
    assert [(fresh, fresh.request)] == lanes.next_company(ready)
    assert LaneKind.TOGETHER in lanes.paths(account, ready[:1])
