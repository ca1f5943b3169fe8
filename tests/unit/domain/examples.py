"""Orders, instruments and numbers that the tests start from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import Category, OrderRequest, parse_order

NOW = datetime(2026, 7, 24, 12, 0, 0, tzinfo=UTC)
STEPS = tuple(Decimal(text) for text in ("0.001", "0.5", "5", "100", "0.10", "1", "0.00000001"))

_CONTENT = {
    "account": "main",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.01",
    "price": "60000",
}

_RULES = {
    Category.SPOT: InstrumentRules(
        category=Category.SPOT,
        symbol="BTCUSDT",
        status="Trading",
        base_coin="BTC",
        quote_coin="USDT",
        settle_coin="USDT",
        qty_step=Decimal("0.000001"),
        tick_size=Decimal("0.1"),
        quote_step=Decimal("0.01"),
        max_limit_qty=Decimal(83),
        max_market_qty=Decimal("41.5"),
        min_notional=Decimal(5),
    ),
    Category.LINEAR: InstrumentRules(
        category=Category.LINEAR,
        symbol="BTCUSDT",
        status="Trading",
        base_coin="BTC",
        quote_coin="USDT",
        settle_coin="USDT",
        qty_step=Decimal("0.001"),
        tick_size=Decimal("0.10"),
        min_qty=Decimal("0.001"),
        max_limit_qty=Decimal(1190),
        max_market_qty=Decimal(500),
        min_price=Decimal("0.10"),
        max_price=Decimal("1999999.80"),
        min_notional=Decimal(5),
    ),
    Category.INVERSE: InstrumentRules(
        category=Category.INVERSE,
        symbol="BTCUSD",
        status="Trading",
        base_coin="BTC",
        quote_coin="USD",
        settle_coin="BTC",
        qty_step=Decimal(1),
        tick_size=Decimal("0.10"),
        min_qty=Decimal(1),
        max_limit_qty=Decimal(25000000),
        max_market_qty=Decimal(5000000),
    ),
    Category.OPTION: InstrumentRules(
        category=Category.OPTION,
        symbol="BTC-25DEC26-67000-C-USDT",
        status="Trading",
        base_coin="BTC",
        quote_coin="USDT",
        settle_coin="USDT",
        qty_step=Decimal("0.01"),
        tick_size=Decimal(5),
        min_qty=Decimal("0.01"),
        max_limit_qty=Decimal(500),
        max_market_qty=Decimal(500),
        min_price=Decimal(5),
        max_price=Decimal(10000000),
    ),
}


def content(*, drop: str = "", **changes: Any) -> dict[str, Any]:
    """Return an order as parsed JSON, with some fields changed or one left out."""
    merged = {**_CONTENT, **changes}
    return {name: value for name, value in merged.items() if name != drop}


def order(**changes: Any) -> OrderRequest:
    """Return a valid order with some fields changed."""
    return parse_order(content(**changes))


def market(**changes: Any) -> OrderRequest:
    """Return a Market order without a price."""
    return parse_order(content(drop="price", **{"order_type": "Market", **changes}))


def rules(category: Category = Category.LINEAR, **changes: Any) -> InstrumentRules:
    """Return the rules of an instrument of a category with some limits changed."""
    return replace(_RULES[category], **changes)


def free_rules(step: Decimal, **changes: Any) -> InstrumentRules:
    """Return rules with a quantity step and no other limit."""
    limits = dict.fromkeys(
        ("min_qty", "max_limit_qty", "max_market_qty", "min_price", "max_price", "min_notional")
    )
    return rules(Category.LINEAR, **{**limits, "qty_step": step, **changes})


def decimals(low: str = "0.00000001", high: str = "1000000000", places: int = 8) -> st.SearchStrategy[Decimal]:
    """Draw positive numbers with up to `places` digits after the point."""
    exponents = st.integers(0, places)
    return exponents.flatmap(
        lambda n: st.decimals(max(Decimal(low), Decimal(1).scaleb(-n)), Decimal(high), places=n)
    )


def steps() -> st.SearchStrategy[Decimal]:
    """Draw the named steps and others, powers of ten or not."""
    drawn = st.builds(
        lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 999), st.integers(0, 8)
    )
    return st.one_of(st.sampled_from(STEPS), drawn)
