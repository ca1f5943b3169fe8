"""Tokens: each request pays its own, and none is sent on tokens that others may have by then."""

from __future__ import annotations

from typing import Any

import pytest

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import AmendRequest
from sluicegate.domain.outcomes import NO_HEADERS
from sluicegate.services.changes import AMEND
from sluicegate.services.lanes import CREATE
from sluicegate.services.passage import HOLDS_S
from tests.unit.services.desk import ID, accept, do, lose
from tests.unit.services.interleaving import Actor
from tests.unit.services.world import LEASE_S, Message, World


def stand_still(world: World, task: str) -> None:
    """Let a worker's process stand still between its tokens and its claim."""
    actor = Actor(task, lambda: world.perform(Message(task, ID)))
    while actor.place != "sleep":
        assert not actor.is_done, "it took no token"
        actor.step()
    world.clock.advance(HOLDS_S + 0.1)
    actor.run()


def test_order_is_not_sent_on_tokens_of_long_ago() -> None:
    """It goes back to its line, unclaimed, and out with new tokens."""
    world = World()
    accept(world)
    stand_still(world, "execute")
    assert (State.ACCEPTED, 0) == (world.store.orders[ID].state, world.store.orders[ID].attempts)
    assert [] == world.venue.flights
    do(world, "execute")
    assert State.LIVE is world.store.orders[ID].state


def test_change_is_not_sent_on_tokens_of_long_ago() -> None:
    """It waits as if there had been no token."""
    world = World()
    accept(world)
    do(world, "execute")
    world.changes.amend(ID, AmendRequest.model_validate({"price": "59000"}))
    flights = len(world.venue.flights)
    stand_still(world, "change")
    [change] = world.store.changes(ID)
    assert ("pending", 0, flights) == (change.state.value, change.attempts, len(world.venue.flights))


def in_flight(world: World, name: str) -> int:
    """Return how many tokens of a bucket are away."""
    return next(state.in_flight for state in world.buckets.states() if state.name == name)


def test_ip_token_of_an_order_without_answer_comes_back_by_its_lease() -> None:
    """The network may deliver the request late; one too many from an IP costs everybody ten minutes."""
    world = World()
    accept(world)
    lose(world, "execute")
    world.clock.advance(6)
    assert (0, 1) == (in_flight(world, CREATE), in_flight(world, "egress"))
    world.clock.advance(LEASE_S + 9)
    assert 0 == in_flight(world, "egress")


@pytest.mark.parametrize("task", ["execute", "change"])
def test_tokens_of_a_request_whose_thread_ended_are_those_of_one_without_answer(
    monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """Whatever escapes once it may have left: no token comes back as if it had not."""
    world = World()
    accept(world)
    path = CREATE
    if task == "change":
        do(world, "execute")
        world.changes.amend(ID, AmendRequest.model_validate({"price": "59000"}))
        path = AMEND
        world.clock.advance(LEASE_S + 9)

    def end(*_arguments: object, **_more: object) -> None:
        raise SystemExit

    for command in ("place", "place_many", "amend"):
        monkeypatch.setattr(world.venue, command, end)
    with pytest.raises(SystemExit):
        world.perform(Message(task, ID))
    assert 1 == in_flight(world, path)
    world.clock.advance(6)
    assert (0, 1) == (in_flight(world, path), in_flight(world, "egress"))


@pytest.mark.parametrize("is_unanswered", [True, False])
def test_ip_token_of_a_query_without_answer_comes_back_by_its_lease(is_unanswered: bool) -> None:
    """One that was answered, be it by a 502, has arrived."""
    world = World()

    def ask() -> None:
        with world.lookout.valve.open("main", "/query", None, max_wait_s=0) as passage:
            passage.is_sent = True
            raise ExchangeUnavailable("no answer", is_unanswered=is_unanswered)

    with pytest.raises(ExchangeUnavailable):
        ask()
    world.clock.advance(6)
    assert (0, int(is_unanswered)) == (in_flight(world, "/query"), in_flight(world, "egress"))


def test_each_page_of_fills_pays_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order with hundreds of fills is asked for in several requests."""
    world = World()
    order = accept(world)
    asked: list[str | None] = []
    opened: list[str] = []

    def fills(*_order: object, cursor: str | None = None) -> Any:
        asked.append(cursor)
        return [], f"page {len(asked)}" if len(asked) < 3 else None, NO_HEADERS

    monkeypatch.setattr(world.venue, "fills", fills)
    opening = world.lookout.valve.open

    def note(_self: object, account: str, path: str, *rest: Any, **how: Any) -> Any:
        opened.append(path)
        return opening(account, path, *rest, **how)

    monkeypatch.setattr(type(world.lookout.valve), "open", note)
    world.lookout.fills(world.accounts.get("main"), order)
    assert [None, "page 1", "page 2"] == asked
    assert 3 == len(opened)
