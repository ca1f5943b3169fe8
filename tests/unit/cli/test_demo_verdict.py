"""The demo's comparison: what differs between ledger and exchange is found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sluicegate.cli.demo.comparison import compare
from sluicegate.cli.demo.findings import Findings
from sluicegate.cli.demo.verdict import judge
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Order, OrderId, OrderLinkId, parse_order

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def order(state: State, *, attempts: int = 1) -> Order:
    """Return an order of 0.01 BTCUSDT at 59000."""
    content = {"account": "main", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
    request = parse_order({**content, "qty": "0.01", "price": "59000"})
    return Order(
        OrderId("1"), OrderLinkId("sg-1"), "main", request, state, 1, NOW, NOW, "rest-1", "", attempts=attempts
    )


def seen(status: str, **changed: str) -> dict[str, Any]:
    """Return the order as the exchange shows it."""
    shown = {"orderLinkId": "sg-1", "orderStatus": status, "symbol": "BTCUSDT", "side": "Buy"}
    return {**shown, "qty": "0.010", "price": "59000.0", **changed}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (order(State.LIVE), [seen("New")]),
        (order(State.FILLED), [seen("Filled")]),
        (order(State.CANCELLED), [seen("Cancelled")]),
        (order(State.CANCELLED, attempts=0), []),
        (order(State.DEAD), []),
        (order(State.PARKED), []),
    ],
)
def test_comparison_of_equal_sides_is_empty(ours: Order, theirs: list[dict[str, Any]]):
    """Once there, or never there, as the state says."""
    assert [] == compare([ours], theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        (order(State.LIVE), [], "0 times on the exchange, must be 1"),
        (order(State.LIVE), [seen("New"), seen("New")], "2 times on the exchange"),
        (order(State.DEAD), [seen("New")], "1 times on the exchange, must be 0"),
        (order(State.ACCEPTED), [seen("New")], "1 times on the exchange, must be 0"),
        (order(State.LIVE), [seen("Filled")], "the exchange says Filled"),
        (order(State.IN_DOUBT), [seen("New")], "the exchange says New"),
        (order(State.LIVE), [seen("New", side="Sell")], "the exchange has Sell"),
        (order(State.LIVE), [seen("New", qty="0.02")], "the exchange has 0.02 at"),
        (order(State.DEAD), [seen("New", orderLinkId="")], "no link id: on the exchange and not in the ledger"),
    ],
)
def test_comparison_of_different_sides_names_the_difference(
    ours: Order, theirs: list[dict[str, Any]], difference: str
):
    """Nothing is passed over: missing, doubled, foreign, of another state or size."""
    [found] = compare([ours], theirs)
    assert difference in found


def test_verdict_about_nothing_is_no_praise():
    """A demo in which nothing happened has failed."""
    problems = judge(Findings())
    assert any("no line, or more than one, was refused" in problem for problem in problems)
    assert any("pages must be one each" in problem for problem in problems)
    assert any("show no answer 10006" in problem for problem in problems)
