"""An exchange that refuses connections: nothing was sent, so orders wait until it is back, or their time is up."""

from __future__ import annotations

from sluicegate.domain.lifecycle import State
from tests.unit.services.desk import accept, do, now, stay_home
from tests.unit.services.world import World

MANY = 20
"""More than an order has attempts."""


def knock(world: World) -> float:
    """Try once to send the order; return how long it waits then."""
    stay_home(world, "execute")
    order = now(world)
    if order.due_at is None or order.state is not State.ACCEPTED:
        return 0.0
    wait_s = (order.due_at - world.clock.now()).total_seconds()
    world.clock.advance(wait_s)
    return wait_s


def test_order_without_deadline_outlasts_an_exchange_that_cannot_be_reached() -> None:
    """However often no connection came about, it is no dead letter; it goes out when the exchange is back."""
    world = World()
    accept(world)
    world.venue.is_reachable = False
    waits = [knock(world) for _ in range(MANY)]
    assert (State.ACCEPTED, 0, "net_connect_fail") == (now(world).state, now(world).attempts, now(world).last_code)
    assert waits == sorted(waits)
    assert (0.25, 1.0) == (waits[0], waits[-1])  # half of the least and of the longest wait
    world.venue.is_reachable = True
    do(world, "execute")
    assert (State.LIVE, 1) == (now(world).state, now(world).attempts)


def test_order_with_a_deadline_expires_when_the_exchange_stays_away() -> None:
    """Its deadline alone ends the waiting."""
    world = World()
    accept(world, deadline_s=3)
    world.venue.is_reachable = False
    for _ in range(MANY):
        knock(world)
    world.clock.advance(3)
    stay_home(world, "execute")
    assert State.EXPIRED is now(world).state
