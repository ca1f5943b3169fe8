"""What a producer follows its orders with, and what a scheduler asks for when it starts; no worker is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.process import ask_comparisons
from sluicegate.bootstrap import Container
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import OrderRequest
from tests.rig import Rig

ORDER: dict[str, Any] = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.01"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run an exchange and a Valkey, and nothing of ours."""
    stack = Rig(tmp_path_factory.mktemp("following"), accounts={"a1": "1001"})
    try:
        stack.start(workers=0, schedulers=0, cancels=0)
        yield stack
    finally:
        stack.stop()


def submit(rig: Rig) -> Any:
    """Submit an order; returns its id."""
    request = OrderRequest.model_validate({**ORDER, "order_type": "Limit", "price": "60000"})
    return rig.gate.submit(request).order_id


def test_wait_ends_at_an_order_that_is_filled_in_part(rig: Rig) -> None:
    """It is on the exchange, though nobody saw it live before."""
    order_id = submit(rig)
    ledger = rig.container.ledger
    claimed = ledger.transition(ledger.get(order_id), Event.CLAIMED, {"attempts": 1}, {})
    assert claimed is not None
    ledger.transition(claimed, Event.SEEN_PARTIALLY_FILLED, {}, {})

    assert State.PARTIALLY_FILLED is rig.gate.wait(order_id, timeout_s=1).state


def test_stream_begins_when_it_is_called(rig: Rig) -> None:
    """What happens between the call and the first event that is taken belongs to it."""
    updates = rig.gate.stream(idle_s=5)
    order_id = submit(rig)

    assert order_id == next(iter(updates)).event.order_id


def test_processes_of_one_host_name_and_pid_do_not_share_a_lease(rig: Rig) -> None:
    """Containers on a host's network may: the second is told that the account is taken."""
    other = Container(rig.container.settings, rig.container.role)
    try:
        first = rig.container.stream_leases.take("a1")
        assert first > 0
        assert 0 == other.stream_leases.take("a1")
        assert first == rig.container.stream_leases.take("a1")
    finally:
        other.close()


def test_scheduler_that_starts_has_every_account_compared(rig: Rig) -> None:
    """Whatever happened while nobody compared is found soon, not after the rest of an interval."""
    assert rig.container.ledger.view("a1").reconcile_at is None

    ask_comparisons(rig.container)

    assert rig.container.ledger.view("a1").reconcile_at is not None
