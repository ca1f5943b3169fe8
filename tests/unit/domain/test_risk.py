"""The limits of an account, on both sides of each bound."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.errors import OrderDenied
from sluicegate.domain.orders import Category, OrderRequest
from sluicegate.domain.risk import DEFAULT_PRICE_COLLAR, Holding, RiskLimits, check, check_position

from .examples import market, order, rules

LAST = Decimal(60000)


def _check(
    request: OrderRequest,
    limits: RiskLimits,
    *,
    category: Category = Category.LINEAR,
    last_price: Decimal = LAST,
    orders: int = 1,
) -> None:
    check(request, rules(category), limits, last_price=last_price, orders_last_minute=orders)


def _denied_setting(request: OrderRequest, limits: RiskLimits, **situation: Any) -> str:
    """Return the setting that a denial names, empty when the order passes."""
    try:
        _check(request, limits, **situation)
    except OrderDenied as e:
        reason, fix = e.reason, e.fix
    else:
        return ""
    assert reason == "risk_limit"
    return next(word for word in fix.split() if word.startswith("accounts.")).removeprefix("accounts.main.risk.")


def test_check_without_limits_passes():
    """No limit but the collar is set by default."""
    _check(order(), RiskLimits())


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (set(), ""),
        ({"BTCUSDT"}, ""),
        ({"ETHUSDT", "BTCUSDT"}, ""),
        ({"ETHUSDT"}, "symbols"),
        ({"BTCUSD"}, "symbols"),
    ],
)
def test_check_of_a_symbol_allows_only_the_named_ones(symbols: set[str], expected: str):
    """An empty list allows all; else the symbol must be in it."""
    assert expected == _denied_setting(order(), RiskLimits(symbols=frozenset(symbols)))


@pytest.mark.parametrize(("qty", "expected"), [("0.999", ""), ("1", ""), ("1.001", "max_qty")])
def test_check_of_the_quantity_passes_up_to_the_bound(qty: str, expected: str):
    """The bound itself passes."""
    assert expected == _denied_setting(order(qty=qty), RiskLimits(max_qty=Decimal(1)))


def test_check_of_a_quote_amount_is_not_a_quantity():
    """An amount of quote coin is held by the notional limit, not by the quantity limit."""
    request = market(category="spot", qty="1000")
    assert _denied_setting(request, RiskLimits(max_qty=Decimal(1)), category=Category.SPOT) == ""


@pytest.mark.parametrize(
    ("category", "changes", "expected"),
    [
        (Category.LINEAR, {"qty": "0.1", "price": "50000"}, ""),
        (Category.LINEAR, {"qty": "0.1", "price": "50000.1"}, "max_notional"),
        (Category.LINEAR, {"qty": "0.083", "price": None, "order_type": "Market"}, ""),
        (Category.LINEAR, {"qty": "0.084", "price": None, "order_type": "Market"}, "max_notional"),
        (Category.LINEAR, {"qty": "0.084", "price": "30000", "order_type": "Market"}, "max_notional"),
        (Category.INVERSE, {"qty": "5000"}, ""),
        (Category.INVERSE, {"qty": "5001"}, "max_notional"),
        (Category.SPOT, {"qty": "5000", "price": None, "order_type": "Market"}, ""),
        (Category.SPOT, {"qty": "5000.01", "price": None, "order_type": "Market"}, "max_notional"),
    ],
)
def test_check_of_the_notional_passes_up_to_the_bound(category: Category, changes: dict[str, Any], expected: str):
    """The bound itself passes; a price on a Market order does not make it smaller."""
    request = order(category=category, **changes)
    assert expected == _denied_setting(request, RiskLimits(max_notional=Decimal(5000)), category=category)


@pytest.mark.parametrize(("orders", "expected"), [(1, ""), (10, ""), (11, "max_orders_per_minute")])
def test_check_of_the_pace_passes_up_to_the_bound(orders: int, expected: str):
    """The count includes this order, so the bound itself passes."""
    assert expected == _denied_setting(order(), RiskLimits(max_orders_per_minute=10), orders=orders)


@pytest.mark.parametrize("name", ["price", "trigger_price"])
@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("57000", ""),
        ("56999.99", "price_collar"),
        ("63000", ""),
        ("63000.01", "price_collar"),
        ("6000", "price_collar"),
        ("600000", "price_collar"),
    ],
)
def test_check_of_the_collar_passes_up_to_the_bound(name: str, price: str, expected: str):
    """Price and trigger price stay within the collar, on both sides, the bound included."""
    assert expected == _denied_setting(order(**{name: price}), RiskLimits(price_collar=Decimal("0.05")))


@pytest.mark.parametrize("side", ["Buy", "Sell"])
@given(away=st.integers(1, 59999), collar=st.integers(1, 100))
def test_check_of_the_collar_is_symmetric(side: str, away: int, collar: int):
    """As far above as below, whichever the side."""
    limits = RiskLimits(price_collar=Decimal(collar) / 100)
    above = _denied_setting(order(side=side, price=60000 + away), limits)
    below = _denied_setting(order(side=side, price=60000 - away), limits)
    assert above == below
    assert ("price_collar" if 100 * away > 60000 * collar else "") == above


def test_check_always_has_a_collar():
    """A digit too many is caught even where nobody set a limit."""
    assert Decimal("0.5") == DEFAULT_PRICE_COLLAR
    assert _denied_setting(order(price="600000"), RiskLimits()) == "price_collar"
    assert _denied_setting(order(price="6000"), RiskLimits()) == "price_collar"


def test_check_of_a_market_order_has_no_price_to_collar():
    """A Market order without a trigger price passes the collar."""
    assert _denied_setting(market(), RiskLimits(price_collar=Decimal(0))) == ""


@pytest.mark.parametrize("last_price", ["0", "-1"])
@pytest.mark.parametrize("request_", [order(), market()], ids=["limit", "market"])
def test_check_without_a_last_price_is_denied(request_: OrderRequest, last_price: str):
    """Fail closed: without a last price neither value nor collar can be known."""
    with pytest.raises(OrderDenied, match="no last price") as caught:
        _check(request_, RiskLimits(), last_price=Decimal(last_price))
    assert caught.value.reason == "risk_limit"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_qty": Decimal("0.001")}, "qty 0.01 is above the limit of 0.001"),
        ({"max_notional": Decimal(500)}, "worth 600.00, above the limit of 500"),
        ({"max_orders_per_minute": 0}, "1 orders within a minute, above the limit of 0"),
        ({"symbols": frozenset({"ETHUSDT"})}, "BTCUSDT is not among the symbols that main may trade"),
        ({"price_collar": Decimal("0.01")}, "price 60000 is 20.0% away from the last price 50000"),
    ],
)
def test_check_denial_names_value_and_limit(limits: dict[str, Any], text: str):
    """A person sees what was asked and what is allowed."""
    with pytest.raises(OrderDenied, match=text):
        _check(order(), RiskLimits(**limits), last_price=Decimal(50000))


@pytest.mark.parametrize(
    ("side", "net", "buying", "selling", "qty", "fits"),
    [
        ("Buy", "0", "0", "0", "1", True),
        ("Buy", "0", "0", "0", "1.1", False),
        ("Buy", "0.5", "0.2", "9", "0.3", True),
        ("Buy", "0.5", "0.2", "9", "0.4", False),
        ("Buy", "-1", "0", "0", "2", True),
        ("Sell", "0.5", "0", "0", "1.5", True),
        ("Sell", "-0.5", "9", "0.2", "0.3", True),
        ("Sell", "-0.5", "9", "0.2", "0.4", False),
    ],
)
def test_position_limit_counts_orders_that_may_still_trade(
    side: str, net: str, buying: str, selling: str, qty: str, fits: bool
) -> None:
    """The worst that orders of one side can do together stays within the limit, long and short."""
    request = order(side=side, qty=qty)
    limits = RiskLimits(max_position={request.symbol: Decimal(1)})
    held = Holding(Decimal(net), Decimal(buying), Decimal(selling))
    if fits:
        check_position(request, limits, held, executed=Decimal(0))
        return
    with pytest.raises(OrderDenied, match=r"limit of 1") as denied:
        check_position(request, limits, held, executed=Decimal(0))
    assert "max_position" in denied.value.fix
    check_position(request, limits, held, executed=Decimal("0.5"))  # an amended order: the position has that part


def test_position_limit_leaves_reducing_orders_and_other_symbols_alone() -> None:
    """What only reduces cannot break it."""
    full = Holding(Decimal(9), Decimal(9), Decimal(9))
    limits = RiskLimits(max_position={"ETHUSDT": Decimal(1), "BTCUSDT": Decimal(1)})
    check_position(order(reduce_only=True, side="Sell"), limits, full, executed=Decimal(0))
    check_position(order(), RiskLimits(max_position={"X": Decimal(1)}), full, executed=Decimal(0))
