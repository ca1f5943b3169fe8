"""No order stays parked when no halt is left: whoever parked it, however late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluicegate.domain.lifecycle import State
from sluicegate.domain.outcomes import Action, Refused
from tests.unit.services.desk import ID, accept, depart, do, now
from tests.unit.services.interleaving import Actor
from tests.unit.services.world import Message, World


def halt(world: World) -> None:
    """Halt the account as a refused key does."""
    world.halts.halt_account("main", code="10003", message="API key is invalid", cause="c", fix="f")


def until(actor: Actor, place: str) -> None:
    """Let an actor go on to a call of a port."""
    while actor.place != place:
        assert not actor.is_done, f"it never came to {place}"
        actor.step()


def pass_time(world: World, seconds: int) -> None:
    """Let schedulers do their rounds."""
    for _ in range(seconds):
        world.clock.advance(1)
        world.tick()


def lift_before_it_parks(world: World) -> None:
    """A worker has read the halt; a person resumes; the worker parks."""
    halt(world)
    worker = Actor("execute", lambda: world.perform(Message("execute", ID)))
    until(worker, "ledger.transition_many")
    world.halts.resume("main")
    worker.run()


def lift_while_the_answer_is_written(world: World) -> None:
    """10003 was answered; a person resumes; the worker writes it down."""
    worker = depart(world, "execute")
    world.venue.flights.pop().answer = Refused("10003", "key", Action.HALT_ACCOUNT, "", "c", "f")
    until(worker, "ledger.transition_many")
    world.halts.resume("main")
    worker.run()


def die_while_resuming(world: World) -> None:
    """The halt is lifted, and then the process that resumes is killed."""
    halt(world)
    world.perform(Message("execute", ID))
    person = Actor("resume", lambda: world.halts.resume("main"))
    until(person, "ledger.list_orders")
    person.crash()


@pytest.mark.parametrize(
    "leave_parked", [lift_before_it_parks, lift_while_the_answer_is_written, die_while_resuming]
)
def test_order_parked_without_a_halt_goes_on(leave_parked) -> None:
    """The scheduler notices, and the order is sent once."""
    world = World()
    accept(world)
    leave_parked(world)
    assert State.PARKED is now(world).state
    assert ([], {}) == (world.store.halts(), world.store.open_incidents())
    pass_time(world, 10)
    assert State.ACCEPTED is now(world).state
    do(world, "execute")
    assert State.LIVE is now(world).state
    assert 1 == len(world.venue.orders)


def test_order_parked_without_a_halt_expires_after_its_deadline() -> None:
    """Its time was over while it was parked: it is not sent."""
    world = World()
    accept(world, deadline_s=3)
    lift_before_it_parks(world)
    pass_time(world, 10)
    assert State.EXPIRED is now(world).state


@pytest.mark.parametrize("scope", ["account", "egress"])
def test_order_stays_parked_while_a_halt_stands(scope: str) -> None:
    """A person's halt, the exchange's, the breaker's, the IP's: each holds."""
    world = World()
    accept(world)
    lift_before_it_parks(world)
    if scope == "account":
        halt(world)
    else:
        over_at = world.clock.now() + timedelta(hours=1)
        world.halts.halt_egress(until=over_at, code="403", message="m", cause="c", fix="f")
    pass_time(world, 60)
    assert State.PARKED is now(world).state


def test_resume_releases_and_counts_what_was_parked_long_ago() -> None:
    """The scheduler leaves a person the time to do it: the count that is shown is true."""
    world = World()
    accept(world)
    halt(world)
    world.perform(Message("execute", ID))
    pass_time(world, 60)
    person = Actor("resume", lambda: counted.append(world.halts.resume("main")[1]))
    counted: list[int] = []
    until(person, "ledger.list_orders")
    pass_time(world, 3)
    person.run()
    assert [1] == counted
