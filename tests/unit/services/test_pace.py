"""Orders are handed out of each line at the pace of its quota, most urgent first, and the rest waits untouched."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Category, NewOrder, OrderId, Receipt
from sluicegate.ports import LaneKind
from sluicegate.services.lanes import CREATE, CREATE_BATCH
from sluicegate.services.pace import AHEAD_S, SURPLUS
from sluicegate.services.submit import CHUNK, DIRECT, FULL_QUEUE
from tests.unit.domain import examples
from tests.unit.services.world import Message, World

PATHS = {LaneKind.ALONE: CREATE, LaneKind.TOGETHER: CREATE_BATCH}
RATE = 4
"""Both lanes of the world: two a second each."""


def submit(world: World, count: int, **fields: object) -> list[OrderId]:
    """Hand orders over in one call."""
    first = len(world.store.orders)
    ids = [OrderId(f"O-{first + number:05}") for number in range(count)]
    now = world.clock.now()
    world.submitter.accept(
        [NewOrder(one, examples.order(client_order_id=f"c-{one}", **fields), now) for one in ids]
    )
    return ids


def published(world: World) -> list[OrderId]:
    """Return the orders of the waiting messages, and take these away."""
    told, world.broker.waiting = world.broker.waiting, []
    return [order_id for message in told for order_id in (message.order_id, *message.others)]


def test_long_line_is_handed_out_at_the_pace_of_its_quota() -> None:
    """Of a thousand orders as many go out in ten seconds as the quota carries, a little more, and none twice."""
    world = World()
    submit(world, 1000)
    seen = Counter(published(world))
    assert sum(seen.values()) == DIRECT
    for _round in range(40):
        world.clock.advance(0.25)
        world.releaser.release()
        seen.update(order for order in published(world) if order not in seen)
    handed_out = sum(seen.values()) - DIRECT
    assert 10 * RATE <= handed_out <= RATE * (1 + AHEAD_S) + 10 * RATE * SURPLUS + 1


def test_newcomer_of_a_waiting_line_does_not_overtake_it() -> None:
    """While orders wait in the ledger, a new one of their line is not published past them."""
    world = World()
    submit(world, 200)
    world.releaser.release()
    published(world)
    [late] = submit(world, 1)
    assert published(world) == []
    assert world.store.orders[late].state is State.ACCEPTED


def test_line_that_begins_hurries_the_scheduler_and_one_that_waits_does_not() -> None:
    """More orders than a call publishes itself do not wait for the scheduler's next round."""
    world = World()
    submit(world, DIRECT)
    assert 0 == world.broker.hurries
    submit(world, DIRECT + 1)
    assert 1 == world.broker.hurries
    submit(world, 100)
    world.releaser.release()
    hurries = world.broker.hurries
    submit(world, 100)
    assert hurries == world.broker.hurries


def test_orders_handed_over_together_keep_their_order_across_transactions() -> None:
    """Only the first of a call are published by it, and the scheduler is hurried once."""
    world = World()
    receipts = world.submitter.submit([examples.order(client_order_id=None)] * (3 * CHUNK + 10))
    first = [receipt.order_id for receipt in receipts[:DIRECT] if isinstance(receipt, Receipt)]
    assert (first, 1) == (published(world), world.broker.hurries)


def test_orders_handed_over_together_do_not_overtake_each_other_when_the_queue_empties() -> None:
    """The first found a full queue and wait in the ledger; those of the next transaction go behind them."""
    world = World()
    full = [Message("look", OrderId(f"x-{number}")) for number in range(FULL_QUEUE)]
    world.broker.waiting = list(full)
    accept, accepted = world.store.accept, []

    def take(orders: Any, **how: Any) -> Any:
        world.broker.waiting = [message for message in world.broker.waiting if message not in full]
        accepted.append(orders)
        return accept(orders, **how)

    world.store.accept = take  # type: ignore[method-assign]
    world.submitter.submit([examples.order(client_order_id=None)] * (2 * CHUNK))
    assert (2, []) == (len(accepted), published(world))


def test_newcomer_goes_out_at_once_when_its_line_is_empty_again() -> None:
    """The scheduler takes back that a line waits as soon as it does not."""
    world = World()
    submit(world, DIRECT + 8)
    world.releaser.release()
    [late] = submit(world, 1)
    assert late not in published(world)
    for _round in range(8):
        world.clock.advance(0.25)
        world.releaser.release()
    published(world)
    [later] = submit(world, 1)
    assert [later] == published(world)


def test_urgent_order_goes_before_those_that_waited_longer() -> None:
    """Within a line `priority` decides, then age."""
    world = World()
    submit(world, 200)
    world.releaser.release()
    published(world)
    world.clock.advance(1)
    [urgent] = submit(world, 1, priority=9)
    world.releaser.release()
    first, *_rest = published(world)
    assert urgent == first


def test_order_that_found_no_token_goes_back_to_the_head_of_its_line() -> None:
    """It keeps its place: the next tick hands it out before those that were never looked at."""
    world = World()
    ids = submit(world, 300)
    company = ids[:20]
    world.broker.waiting.clear()
    results = world.executor.execute(company)
    back = [order_id for order_id in company if results[order_id] == "accepted"]
    assert back
    world.clock.advance(3)
    world.releaser.release()
    assert published(world)[: len(back)][:3] == back[:3]


def test_line_whose_lanes_are_blocked_is_not_handed_out() -> None:
    """Until the exchange's reset nobody would find a token, so nobody is told to look."""
    world = World()
    submit(world, 200)
    world.releaser.release()
    published(world)
    lanes, _beside = world.accounts.lanes("main", "1001", PATHS, Category.LINEAR)
    for lane in lanes:
        world.buckets.acquire([lane.spec], max_wait_s=9, lease_s=9)
        world.buckets.block(lane.spec, for_s=30)
    world.clock.advance(2)
    world.releaser.release()
    assert published(world) == []
    world.clock.advance(40)
    world.releaser.release()
    world.clock.advance(2)
    world.releaser.release()
    assert published(world) != []


def test_halted_line_is_held_back_whatever_its_quota() -> None:
    """A silent IP has no quota at all, and orders must still expire, or wait for the end of the halt, at once."""
    world = World()
    ids = submit(world, 60)
    [late] = submit(world, 1, deadline_s=3)
    published(world)
    until = world.clock.now() + timedelta(seconds=600)
    world.halts.halt_egress(until=until, code="http_403", message="", cause="", fix="")
    world.clock.advance(15)  # those that were published directly sleep for a while
    world.releaser.release()
    assert published(world) == []
    assert State.EXPIRED is world.store.get(late).state
    assert all((due := world.store.get(one).due_at) is not None and due >= until for one in ids)


@pytest.mark.parametrize("is_halted", [False, True])
def test_deadline_ends_orders_wherever_they_stand_in_their_line(is_halted: bool) -> None:
    """A thousand wait ahead; those whose deadline has passed expire in the next round, and none before."""
    world = World()
    submit(world, 1000)
    hurried = submit(world, 3, deadline_s=5)
    if is_halted:
        world.halts.halt_account("main", code="10003", message="", cause="", fix="")
    world.clock.advance(4.9)
    assert 0 == world.releaser.release()["expired"]
    world.clock.advance(0.2)
    assert 3 == world.releaser.release()["expired"]
    assert {State.EXPIRED} == {world.store.orders[order_id].state for order_id in hurried}
    assert 3 == sum(order.state is State.EXPIRED for order in world.store.orders.values())
