"""Rows of instruments-info: each category's own fields, and no rule made of garbage."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.bybit.instruments import from_cache, read_instrument, to_cache
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import Category

COMMON = {"status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT"}
ROWS: dict[Category, dict[str, Any]] = {
    Category.SPOT: {
        **COMMON,
        "symbol": "BTCUSDT",
        "lotSizeFilter": {
            "basePrecision": "0.000001",
            "quotePrecision": "0.0000001",
            "minOrderQty": "0.000011",
            "maxOrderQty": "83",
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": "83.1",
            "maxMarketOrderQty": "41.5",
            "postOnlyMaxLimitOrderSize": "60000",
        },
        "priceFilter": {"tickSize": "0.01"},
    },
    Category.LINEAR: {
        **COMMON,
        "symbol": "BTCUSDT",
        "settleCoin": "USDT",
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": "0.001",
            "qtyStep": "0.001",
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minNotionalValue": "5",
        },
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    },
    Category.INVERSE: {
        "symbol": "BTCUSD",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USD",
        "settleCoin": "BTC",
        "lotSizeFilter": {
            "maxOrderQty": "25000000",
            "minOrderQty": "1",
            "qtyStep": "1",
            "maxMktOrderQty": "5000000",
        },
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    },
    Category.OPTION: {
        **COMMON,
        "symbol": "BTC-25DEC26-80000-C-USDT",
        "settleCoin": "USDT",
        "lotSizeFilter": {"maxOrderQty": "500", "minOrderQty": "0.01", "qtyStep": "0.01"},
        "priceFilter": {"minPrice": "5", "maxPrice": "1110000", "tickSize": "5"},
    },
}
EXPECTED = {
    Category.SPOT: "USDT 0.000001 0.01 0.0000001 None 83.1 41.5 None None 5",
    Category.LINEAR: "USDT 0.001 0.10 None 0.001 1190.000 500.000 0.10 1999999.80 5",
    Category.INVERSE: "BTC 1 0.10 None 1 25000000 5000000 0.10 1999999.80 None",
    Category.OPTION: "USDT 0.01 5 None 0.01 500 500 5 1110000 None",
}


LIMITS = ("quote_step", "min_qty", "max_limit_qty", "max_market_qty", "min_price", "max_price", "min_notional")


def shown(rules: InstrumentRules) -> str:
    """Return coin, steps and limits as text, trailing zeros included."""
    cached = to_cache(rules)
    return " ".join(str(cached[name]) for name in ("settle_coin", "qty_step", "tick_size", *LIMITS))


def changed(category: Category, path: str, value: Any) -> dict[str, Any]:
    """Return a row with one field replaced; `...` removes it."""
    row = deepcopy(ROWS[category])
    *parents, name = path.split(".")
    holder = row[parents[0]] if parents else row
    if value is ...:
        del holder[name]
    else:
        holder[name] = value
    return row


@pytest.mark.parametrize("category", list(Category))
def test_row_of_each_category_is_read_from_its_own_fields(category: Category) -> None:
    """Step, limits and coins come from the fields that the category really uses."""
    rules = read_instrument(category, ROWS[category])
    assert EXPECTED[category] == shown(rules)
    assert (category, ROWS[category]["symbol"], "Trading") == (rules.category, rules.symbol, rules.status)


NEEDED = {
    Category.SPOT: ["lotSizeFilter.basePrecision", "lotSizeFilter.quotePrecision"],
    Category.LINEAR: ["lotSizeFilter.qtyStep", "settleCoin"],
    Category.INVERSE: ["lotSizeFilter.qtyStep", "settleCoin"],
    Category.OPTION: ["lotSizeFilter.qtyStep", "settleCoin"],
}
EVERYWHERE = ["symbol", "status", "baseCoin", "quoteCoin", "priceFilter.tickSize", "lotSizeFilter", "priceFilter"]


NO_NAME: list[Any] = [..., None, "", 0, 0.5, [], {}, True]
NO_STEP: list[Any] = [*NO_NAME, "0", "-1", "NaN", "1e-3"]
REFUSED = [
    (category, path, value)
    for category in Category
    for path in [*NEEDED[category], *EVERYWHERE]
    for value in (NO_STEP if "Filter." in path else NO_NAME)
]


@pytest.mark.parametrize(("category", "path", "value"), REFUSED, ids=str)
def test_row_without_a_needed_field_is_refused(category: Category, path: str, value: Any) -> None:
    """Missing, empty, zero, negative, a float or no number: no rules rather than wrong ones."""
    with pytest.raises((KeyError, ValueError, TypeError)):
        read_instrument(category, changed(category, path, value))


@pytest.mark.parametrize("value", [..., None, "", "0", 0], ids=str)
def test_row_without_a_limit_has_none(value: Any) -> None:
    """A limit that is absent, empty or zero is no limit."""
    rules = read_instrument(Category.LINEAR, changed(Category.LINEAR, "lotSizeFilter.maxMktOrderQty", value))
    assert rules.max_market_qty is None


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", 1.5, [], "1e3", "x"], ids=str)
def test_row_with_a_limit_that_is_no_number_is_refused(value: Any) -> None:
    """Garbage in a limit is not the absence of a limit."""
    with pytest.raises((ValueError, TypeError)):
        read_instrument(Category.LINEAR, changed(Category.LINEAR, "lotSizeFilter.maxMktOrderQty", value))


steps = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**9), st.integers(0, 20)
)


@given(qty_step=steps, tick_size=steps, limits=st.lists(st.none() | steps, min_size=7, max_size=7))
def test_cache_round_trip_is_exact(qty_step: Decimal, tick_size: Decimal, limits: list[Decimal | None]) -> None:
    """Rules come out of the cache as they went in, trailing zeros included."""
    rules = InstrumentRules(
        Category.LINEAR,
        "BTCUSDT",
        "Trading",
        "BTC",
        "USDT",
        "USDT",
        qty_step=qty_step,
        tick_size=tick_size,
        **dict(zip(LIMITS, limits, strict=True)),
    )
    again = from_cache(json.loads(json.dumps(to_cache(rules))))
    assert (rules, shown(rules)) == (again, shown(again))


@pytest.mark.parametrize("path", ["qty_step", "tick_size", "category", "symbol", "max_price"])
def test_cache_entry_of_another_version_is_refused(path: str) -> None:
    """An entry that lacks a field is not filled with a default."""
    cached = to_cache(read_instrument(Category.LINEAR, ROWS[Category.LINEAR]))
    del cached[path]
    with pytest.raises((KeyError, ValueError, TypeError)):
        from_cache(cached)


@given(
    value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)
)
def test_any_json_as_a_row_is_refused_and_never_crashes(value: Any) -> None:
    """Whatever stands where a row belongs: one of the errors that skip it."""
    for category in Category:
        with pytest.raises((KeyError, ValueError, TypeError, AttributeError)):
            read_instrument(category, value)
    with pytest.raises((KeyError, ValueError, TypeError)):
        from_cache(value)
