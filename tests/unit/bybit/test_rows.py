"""Amounts that cannot be are refused where rows are read; nothing behind it has to expect them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sluicegate.bybit.rows import read_fill, read_sighting

ORDER = {
    "orderLinkId": "sg-O-1",
    "orderId": "e-1",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderStatus": "New",
    "qty": "0.01",
    "price": "60000",
    "cumExecQty": "0",
    "avgPrice": "",
}
FILL = {
    "execId": "f-1",
    "orderLinkId": "sg-O-1",
    "orderId": "e-1",
    "execQty": "0.01",
    "execPrice": "60000",
    "execFee": "-0.1",
    "execTime": "1790000000000",
}


@pytest.mark.parametrize(
    "broken",
    [
        {"qty": "-1"},
        {"qty": "0"},
        {"qty": ""},
        {"price": "-1"},
        {"triggerPrice": "-1"},
        {"cumExecQty": "-1"},
        {"avgPrice": "-1"},
    ],
)
def test_order_with_an_impossible_amount_is_refused(broken: dict[str, str]) -> None:
    """The row cannot be read; the order is looked at again."""
    assert Decimal("0.01") == read_sighting(ORDER).qty
    with pytest.raises(ValueError, match="amount of"):
        read_sighting(ORDER | broken)


def test_order_by_hand_may_be_over_nothing() -> None:
    """One that closes a position has a quantity of 0."""
    assert Decimal(0) == read_sighting(ORDER | {"orderLinkId": "", "qty": "0"}).qty


@pytest.mark.parametrize("broken", [{"execQty": "-1"}, {"execQty": "0"}, {"execPrice": "0"}, {"execPrice": "-1"}])
def test_trade_over_or_at_nothing_is_refused(broken: dict[str, str]) -> None:
    """A rebate is a negative fee; quantity and price are positive."""
    assert Decimal("-0.1") == read_fill(FILL).fee
    with pytest.raises(ValueError, match="amount of"):
        read_fill(FILL | broken)


def test_delivery_may_be_at_nothing() -> None:
    """An option that is worth nothing is delivered at 0."""
    assert Decimal(0) == read_fill(FILL | {"execType": "Delivery", "execPrice": "0"}).price
