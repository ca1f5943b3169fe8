"""One dead order becomes one new order, whoever comes in between and wherever a process dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sluicegate.domain.errors import InvalidOrder
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import Receipt
from sluicegate.services.dead_letters import DeadLetters
from tests.unit.services.desk import ID, accept, do, now
from tests.unit.services.interleaving import Actor, Interleaved, Mishap
from tests.unit.services.venue import Verdict
from tests.unit.services.world import World


@dataclass
class Desk:
    """A world with one dead order, and the desk where people replay and discard it."""

    world: World = field(default_factory=World)
    said: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        accept(self.world)
        do(self.world, "execute", Verdict.REFUSES)
        assert State.DEAD is now(self.world).state
        ledger: Any = Interleaved("ledger", self.world.store)
        self.letters = DeadLetters(ledger, self.world.submitter, self.world.clock)

    def replay(self, **changed: str) -> Actor:
        """Return a person who replays the order."""
        return self._person(lambda: self.letters.replay(ID, changed))

    def discard(self) -> Actor:
        """Return a person who discards the letter."""
        return self._person(lambda: self.letters.discard(ID, "client gave up"))

    def see(self) -> Actor:
        """Return the follower, who sees the order on the exchange after all."""
        return self._person(lambda: self.world.store.transition(now(self.world), Event.SEEN_OPEN, {}, {}))

    def _person(self, act: Callable[[], object]) -> Actor:
        def tell() -> None:
            try:
                self.said.append(act())
            except InvalidOrder as e:
                self.said.append(e)

        return Actor("person", tell)

    def replays(self) -> list[str]:
        """Return the orders that replace the dead one."""
        return [order.order_id for order in self.world.store.orders.values() if order.replay_of == ID]


def stops(first: Callable[[Desk], Actor]) -> int:
    """Count the calls of a port that someone makes."""
    actor, steps = first(Desk()), 0
    while not actor.is_done:
        actor.step()
        steps += 1
    return steps


def replay_one(desk: Desk) -> Actor:
    """Replay under one id."""
    return desk.replay(client_order_id="fix-1")


OTHERS: dict[str, Callable[[Desk], Actor]] = {
    "discard": Desk.discard,
    "see": Desk.see,
    "replay": lambda desk: desk.replay(client_order_id="fix-2"),
}


@pytest.mark.parametrize("is_killed", [False, True], ids=["goes on", "is killed"])
@pytest.mark.parametrize("other", OTHERS)
def test_replay_interrupted_before_any_call_of_a_port_leaves_one_truth(other: str, is_killed: bool) -> None:
    """Someone replays and is stopped; another comes between; the first goes on, or is dead."""
    for stop in range(1, stops(replay_one)):
        desk = Desk()
        person = replay_one(desk)
        for _ in range(stop):
            person.step()
        had = desk.replays()
        OTHERS[other](desk).run()
        between = desk.replays()
        if is_killed:
            person.crash()
        else:
            person.run()
        letter = desk.world.store.dead_letter(ID)
        assert desk.replays() == ([] if letter.replayed_as is None else [letter.replayed_as])
        assert letter.replayed_as is None or letter.discarded_at is None
        if other == "see" and not had:
            assert [] == desk.replays(), "the order is live twice"
        if other == "replay":
            assert 1 == len(between) == len(desk.replays())


def test_same_replay_twice_gives_the_same_receipt() -> None:
    """Also when the ledger's answer to the first was lost; the order is published in the end."""
    desk = Desk()
    person = desk.replay()
    while person.place != "ledger.replay_dead_letter":
        person.step()
    person.step(Mishap.FAILS_AFTER)
    person.run()
    desk.replay().run()
    desk.replay().run()
    first, second = desk.said
    assert isinstance(first, Receipt)
    assert first == second
    assert [first.order_id] == desk.replays()
    desk.world.clock.advance(10)
    desk.world.tick()
    assert first.order_id in {message.order_id for message in desk.world.broker.waiting}


def test_replay_is_published_at_once() -> None:
    """It does not wait for the scheduler."""
    desk = Desk()
    desk.replay().run()
    [receipt] = desk.said
    assert isinstance(receipt, Receipt)
    assert receipt.is_new
    assert receipt.order_id in {message.order_id for message in desk.world.broker.waiting}


@pytest.mark.parametrize("changed", [{}, {"qty": "0.02"}, {"client_order_id": "fix-2"}])
def test_replay_of_a_closed_letter_is_refused(changed: dict[str, str]) -> None:
    """The error says what became of it."""
    desk = Desk()
    desk.discard().run()
    desk.replay(**changed).run()
    assert "was discarded already" in str(desk.said[-1])
    assert [] == desk.replays()
