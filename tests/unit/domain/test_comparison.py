"""Ledger and exchange are compared without taking what is in flight for a difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sluicegate.domain.comparison import Kind, compare_orders, compare_positions
from sluicegate.domain.holdings import Position
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Order, OrderId, OrderLinkId, OrderRequest
from sluicegate.domain.records import Sighting

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
BEFORE = NOON - timedelta(seconds=9)


def order(state: State = State.LIVE, **facts: Any) -> Order:
    """Return an order as the ledger has it."""
    request = OrderRequest.model_validate(
        {
            "account": "main",
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "order_type": "Limit",
            "qty": "1",
            "price": "60000",
        }
    )
    base: dict[str, Any] = {
        "order_id": OrderId("1"),
        "link_id": OrderLinkId("sg-1"),
        "account": "main",
        "request": request,
        "state": state,
        "version": 3,
        "created_at": BEFORE,
        "updated_at": BEFORE,
        "client_order_id": "1",
        "fingerprint": "",
        "exchange_order_id": "x",
        "exchange_status": "New",
    }
    return Order(**(base | facts))


def shown(status: str = "New", *, cum: str = "0", at_ms: int = NOON_MS - 9000) -> Sighting:
    """Return an order as the exchange shows it."""
    return Sighting(
        "sg-1", "x", "BTCUSDT", "Buy", status, Decimal(1), Decimal(60000), Decimal(cum), None, updated_ms=at_ms
    )


def kinds(known: Order | None, *sightings: Sighting) -> list[Kind]:
    """Compare one order."""
    orders = {} if known is None else {"sg-1": known}
    return [d.kind for d in compare_orders(orders, sightings, settled_at=NOON, settled_ms=NOON_MS)]


@pytest.mark.parametrize(
    ("known", "sightings", "expected"),
    [
        (order(), [shown()], []),
        (order(), [], [Kind.MISSING]),
        (order(State.IN_DOUBT), [], []),
        (order(State.FILLED), [], []),
        (order(), [shown("PartiallyFilled", cum="0.4")], [Kind.BEHIND]),
        (order(State.CANCELLED), [shown()], [Kind.ENDED]),
        (order(State.DEAD), [shown()], [Kind.ENDED]),
        (order(State.IN_DOUBT), [shown()], [Kind.BEHIND]),
        (None, [shown()], [Kind.UNKNOWN]),
        (None, [replace(shown(), link_id="theirs")], []),
        (None, [replace(shown(), link_id="")], []),
    ],
)
def test_orders_differ_when_one_side_does_not_know(
    known: Order | None, sightings: list[Sighting], expected: list[Kind]
) -> None:
    """Each way to differ has its name; an order that others placed is no difference."""
    assert expected == kinds(known, *sightings)


def test_what_changed_a_moment_ago_is_in_flight() -> None:
    """Neither an order that the ledger moved since, nor one that the exchange did, is a difference."""
    assert [] == kinds(order(updated_at=NOON))
    assert [] == kinds(order(State.FILLED, updated_at=NOON), shown())
    assert [] == kinds(order(State.CANCELLED), shown(at_ms=NOON_MS + 1))
    assert [] == kinds(None, shown(at_ms=NOON_MS + 1))


def position(size: str, *, side: str = "Buy", at_ms: int = 0) -> Position:
    """Return a position."""
    return Position("linear", "BTCUSDT", 0, side, Decimal(size), updated_ms=at_ms)


@pytest.mark.parametrize(
    ("known", "there", "expected"),
    [
        ([position("1")], [position("1.0")], 0),
        ([position("1")], [position("1", side="Sell")], 1),
        ([position("1")], [], 1),
        ([], [position("1")], 1),
        ([], [position("1", at_ms=NOON_MS)], 0),
        ([position("0", side="")], [], 0),
    ],
)
def test_positions_differ_by_size(known: list[Position], there: list[Position], expected: int) -> None:
    """A position is its signed size; one that changed a moment ago may be in flight."""
    assert expected == len(compare_positions(known, there, settled_ms=NOON_MS))
