"""Instrument rules read from Bybit's `instruments-info`; the fields differ by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.numbers import parse_decimal, plain
from sluicegate.domain.orders import Category

_DECIMALS = (
    "qty_step",
    "tick_size",
    "quote_step",
    "min_qty",
    "max_limit_qty",
    "max_market_qty",
    "min_price",
    "max_price",
    "min_notional",
)


def read_instrument(category: Category, row: Mapping[str, Any]) -> InstrumentRules:
    """Read one row of `instruments-info`.

    Args:
        category: the category that was asked for.
        row: Bybit's object.

    Returns:
        The rules, on the words of our domain.

    Raises:
        KeyError, ValueError, TypeError: a needed field is missing or no number; the instrument stays unknown.

    Source: Bybit V5 `GET /v5/market/instruments-info`, 2026-07-24: spot has `basePrecision` as step, no
        settleCoin, and a deprecated minOrderQty that is not checked any more.
    """
    lot, price = row["lotSizeFilter"], row["priceFilter"]
    is_spot = category is Category.SPOT
    return InstrumentRules(
        category=category,
        symbol=_word(row["symbol"]),
        status=_word(row["status"]),
        base_coin=_word(row["baseCoin"]),
        quote_coin=_word(row["quoteCoin"]),
        settle_coin=_word(row["quoteCoin" if is_spot else "settleCoin"]),
        qty_step=_step(lot["basePrecision" if is_spot else "qtyStep"]),
        tick_size=_step(price["tickSize"]),
        quote_step=_step(lot["quotePrecision"]) if is_spot else None,
        min_qty=None if is_spot else _limit(lot.get("minOrderQty")),
        max_limit_qty=_limit(lot.get("maxLimitOrderQty" if is_spot else "maxOrderQty")),
        max_market_qty=_limit(lot.get(_MARKET_MAXIMUM[category])),
        min_price=_limit(price.get("minPrice")),
        max_price=_limit(price.get("maxPrice")),
        min_notional=_limit(lot.get("minOrderAmt" if is_spot else "minNotionalValue")),
    )


_MARKET_MAXIMUM = {
    Category.SPOT: "maxMarketOrderQty",
    Category.LINEAR: "maxMktOrderQty",
    Category.INVERSE: "maxMktOrderQty",
    Category.OPTION: "maxOrderQty",
}


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"a name of {value!r}"[:100])
    return value


def _step(value: Any) -> Decimal:
    step = parse_decimal(value)
    if step <= 0:
        raise ValueError(f"a step of {value}")
    return step


def _limit(value: Any) -> Decimal | None:
    if value in (None, ""):
        return None
    number = parse_decimal(value)
    if number < 0:
        raise ValueError(f"a limit of {value}")
    return number or None


def to_cache(rules: InstrumentRules) -> dict[str, str | None]:
    """Return the rules as JSON values."""
    values = asdict(rules)
    return {
        name: plain(value) if isinstance(value, Decimal) else None if value is None else str(value)
        for name, value in values.items()
    }


def from_cache(values: Mapping[str, Any]) -> InstrumentRules:
    """Read rules that `to_cache` wrote.

    Raises:
        KeyError, ValueError, TypeError: another version wrote them.
    """
    numbers = {name: None if values[name] is None else parse_decimal(values[name]) for name in _DECIMALS}
    steps = {name: _step(values[name]) for name in ("qty_step", "tick_size")}
    return InstrumentRules(**{**values, **numbers, **steps, "category": Category(values["category"])})
