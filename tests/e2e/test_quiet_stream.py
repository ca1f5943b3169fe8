"""A quiet stream: a dead one is found out soon, a healthy one is left alone."""

from __future__ import annotations

from collections.abc import Iterator

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
    """Run one stack that leaves everything but the stream's own glance for later."""
    settings = {
        "STREAM__GLANCE_S": "1",
        "STREAM__LOOK_S": "3600",
        "SCHEDULER__RECONCILE_INTERVAL_S": "3600",
    }
    with running(tmp_path_factory.mktemp("quiet"), workers=1, settings=settings, accounts={"a1": "1001"}) as stack:
        stack.start_stream("st1")
        wait_until(lambda: stack.events("st1", "stream_gap_filled"), "the stream is up")
        yield stack


def rest(rig: Rig) -> str:
    """Place an order that rests, and wait until the stream has shown it."""
    order_id = str(rig.gate.submit(OrderRequest.model_validate(ORDER)).order_id)
    now = rig.container.clock.now()

    def is_shown() -> bool:
        order = rig.gate.status(order_id)
        return (
            order.state is State.LIVE
            and order.wake_at is not None
            and (order.wake_at - now).total_seconds() > 1800
        )

    wait_until(is_shown, "the stream has shown it")
    return order_id


def asked(rig: Rig) -> int:
    """Return how often the open orders were asked for."""
    paths = rig.truth("stats")["uids"]["1001"]
    return sum(int(row["requests"]) for path, row in paths.items() if path.startswith("/v5/order/realtime"))


def test_quiet_stream_that_misses_nothing_is_kept(rig: Rig) -> None:
    """Resting orders of which nothing is told are glanced at, and the connection lives on."""
    rest(rig)
    before = asked(rig)

    wait_until(lambda: asked(rig) >= before + 8, "several glances")

    assert [] == rig.events("st1", "stream_ended")


def test_dead_topics_are_noticed_by_the_stream_itself(rig: Rig) -> None:
    """Pongs come, a resting order trades, no event tells: without any comparison the stream connects again."""
    order_id = rest(rig)
    rig.control("stream", action="silence", uid=1001, answers=True)
    for price in ("58000", "60000"):
        rig.control("market", symbol="BTCUSDT", price=price)

    wait_until(lambda: rig.gate.status(order_id).state is State.FILLED, "the ledger knows")

    ends = rig.events("st1", "stream_ended")
    assert ["stale"] == [end["reason"] for end in ends]
    assert "glance" in ends[0]["error"]
