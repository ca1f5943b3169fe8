"""Real workers that send by WebSocket: orders, amends, cancels and doubts end as they do over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sluicegate import OrderRequest
from sluicegate.domain.lifecycle import State
from tests.rig import Rig, running, wait_until

ORDER = {
    "account": "a1",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.01",
    "price": "59000",
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run one stack whose accounts send by WebSocket."""
    settings = {
        "EXCHANGE__ORDER_ENTRY": "websocket",
        "EXCHANGE__RECV_WINDOW_MS": "2000",
        "EXCHANGE__HORIZON_MARGIN_MS": "500",
    }
    accounts = {"a1": "1001", "wrongenv": "mainnet"}
    with running(tmp_path_factory.mktemp("entry"), workers=1, accounts=accounts, settings=settings) as stack:
        yield stack


def submit(rig: Rig, count: int, **fields: Any) -> list[str]:
    """Hand orders over together; returns their ids."""
    wanted = [OrderRequest.model_validate({**ORDER, **fields})] * count
    return [receipt.order_id for receipt in rig.gate.submit_many(wanted)]  # type: ignore[union-attr]


def await_state(rig: Rig, order_ids: list[str], state: State) -> None:
    """Wait until all orders have come to a state."""
    wait_until(
        lambda: {order.state for order in rig.container.ledger.get_many(order_ids)} == {state},  # type: ignore[arg-type]
        f"{len(order_ids)} orders are {state.value}",
    )


def test_orders_and_cancels_go_by_socket_and_each_once(rig: Rig) -> None:
    """Thirty orders in both lanes are on the exchange once each; their cancels reach it too."""
    ids = submit(rig, 30)
    await_state(rig, ids, State.LIVE)
    there = rig.exchange_orders()
    assert {1} == {there[f"sg-{order_id}"] for order_id in ids}
    assert rig.truth("stats")["streams"]["connections"]["trade"] >= 1
    for order_id in ids[:5]:
        rig.gate.cancel(order_id)
    await_state(rig, ids[:5], State.CANCELLED)


def test_connection_that_breaks_after_the_order_costs_nothing_and_doubles_nothing(rig: Rig) -> None:
    """The order was made and nobody said so: it is found, and sent once."""
    rig.fault("drop_after", uid=1001, count=2)
    ids = submit(rig, 12)
    await_state(rig, ids, State.LIVE)
    there = rig.exchange_orders()
    assert {1} == {there[f"sg-{order_id}"] for order_id in ids}
    trails = [event.event for order_id in ids for event in rig.container.ledger.events(order_id)]  # type: ignore[arg-type]
    assert "doubted" in trails, set(trails)


def test_refused_sign_in_halts_its_account_alone(rig: Rig) -> None:
    """A key of another environment: the account is halted with the code, before anything is sent."""
    [order_id] = submit(rig, 1, account="wrongenv")
    wait_until(
        lambda: [h for h in rig.container.ledger.halts() if "wrongenv" in str(h) and "10003" in str(h)],
        "it is halted",
    )
    assert rig.exchange_orders()[f"sg-{order_id}"] == 0
