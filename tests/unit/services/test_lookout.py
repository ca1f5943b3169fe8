"""A venue that does not answer is left alone: its orders wait, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.lifecycle import State
from sluicegate.services.lookout import AWAY_S, FAILURES, MOST_AT_ONCE
from tests.unit.services.desk import ID, doubtful
from tests.unit.services.interleaving import Actor, Mishap
from tests.unit.services.world import World


def waiting() -> World:
    """Return a world with an order that stays in doubt for as long as a test lasts."""
    world = doubtful()
    order = world.store.orders[ID]
    world.store.orders[ID] = replace(order, horizon_ms=world.venue.now_ms() + 10**6)
    return world


def ask(world: World) -> Actor:
    """Start a look and stop it where the venue is asked; one that is turned away ends."""
    actor = Actor("look", lambda: world.resolver.look(ID))
    while not actor.is_done and not actor.place.startswith("query."):
        actor.step()
    return actor


def fail(world: World) -> None:
    """Ask once, in vain."""
    actor = ask(world)
    assert not actor.is_done, "it was not asked"
    actor.step(Mishap.FAILS_BEFORE)
    actor.run()


def test_dead_venue_never_holds_every_thread() -> None:
    """However many looks there are, some threads are free for ticks and for other venues."""
    world = waiting()
    asking = [ask(world) for _thread in range(8)]
    assert MOST_AT_ONCE == sum(not actor.is_done for actor in asking)
    for actor in asking:
        actor.run()
    after = ask(world)
    assert not after.is_done
    after.run()


def test_venue_that_failed_several_times_is_asked_by_one_at_a_time() -> None:
    """After some failures nobody asks for a while; then one does, and the others wait for what it learns."""
    world = waiting()
    for _time in range(FAILURES):
        fail(world)
    assert ask(world).is_done
    world.clock.advance(AWAY_S)
    probe = ask(world)
    assert not probe.is_done
    assert ask(world).is_done
    probe.step(Mishap.FAILS_BEFORE)
    probe.run()
    assert ask(world).is_done
    world.clock.advance(AWAY_S)
    ask(world).run()
    several = [ask(world), ask(world)]
    assert [False, False] == [actor.is_done for actor in several]
    for actor in several:
        actor.run()


def test_single_failure_changes_nothing() -> None:
    """One unreadable answer keeps nobody waiting, and an answer between two failures ends the count."""
    world = waiting()
    for _round in range(4):
        for _time in range(FAILURES - 1):
            fail(world)
        ask(world).run()


def test_order_of_a_dead_venue_stays_in_doubt_and_is_looked_at_later() -> None:
    """Turned away, the order keeps its place in the agenda."""
    world = waiting()
    for _time in range(FAILURES):
        fail(world)
    words: list[Any] = []
    Actor("look", lambda: words.append(world.resolver.look(ID))).run()
    assert "did not answer" in words[0]
    order = world.store.orders[ID]
    assert (State.IN_DOUBT, False) == (order.state, order.wake_at is None)


def test_silence_of_one_venue_does_not_hold_up_another() -> None:
    """Venues are told apart by their environment."""
    world = waiting()
    for _time in range(FAILURES):
        fail(world)
    main, order = world.accounts.get("main"), world.store.orders[ID]
    assert world.lookout.find(replace(main, environment="testnet"), order).sighting is None
    with pytest.raises(ExchangeUnavailable):
        world.lookout.find(main, order)
