"""The instruments on offer: their limits as numbers, and their records as `instruments-info` gives them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from simulator.wire import Json

Category = Literal["spot", "linear", "inverse", "option"]
CATEGORIES: tuple[Category, ...] = ("spot", "linear", "inverse", "option")

ZERO = Decimal(0)
_SATOSHI = Decimal("1E-8")
_DATA = Path(__file__).with_name("instruments.json")


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """What one market trades in, and within which bounds.

    Args:
        step: Quantities are whole multiples of it.
        quote_step: Spot only: multiples for market buys by quote amount.
        min_value: Least order value in quote coin; zero where the category has none.
        settle: Coin of margin and profit; for spot the quote coin.
        band: How far beyond the market a limit price may reach, as a ratio.
        opening_price: The last price when the exchange starts.
        record: The market's entry in `instruments-info`.
    """

    category: Category
    symbol: str
    base: str
    quote: str
    settle: str
    status: str
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    quote_step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_value: Decimal
    max_leverage: Decimal
    band: Decimal
    opening_price: Decimal
    record: Json

    @property
    def is_perpetual(self) -> bool:
        """Say whether the market never delivers."""
        return str(self.record.get("contractType", "")).endswith("Perpetual")

    @property
    def is_usdt_perpetual(self) -> bool:
        """Say whether hedge mode exists here: on USDT perpetuals only."""
        return self.is_perpetual and self.settle == "USDT"

    def value(self, qty: Decimal, price: Decimal) -> Decimal:
        """Return what `qty` at `price` is worth in the settle coin (spot: quote coin)."""
        if self.category == "inverse":
            return (qty / price).quantize(_SATOSHI) if price else ZERO
        return qty * price


class Instruments:
    """All instruments, by category and symbol."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_key = {(item.category, item.symbol): item for item in instruments}

    def find(self, category: str, symbol: object) -> Instrument | None:
        """Return the instrument of that name in that category."""
        return self._by_key.get((category, symbol))  # type: ignore[arg-type]

    def of(self, category: str) -> list[Instrument]:
        """List a category's instruments in their listed order."""
        return [item for item in self._by_key.values() if item.category == category]

    def named(self, symbol: str) -> list[Instrument]:
        """List the instruments of that name in all categories; BTCUSDT is spot and linear."""
        return [item for item in self._by_key.values() if item.symbol == symbol]


@functools.cache
def load_instruments() -> Instruments:
    """Read the built-in list, once: it never changes."""
    rows: list[dict[str, Any]] = json.loads(_DATA.read_text())
    return Instruments(_instrument(row) for row in rows)


def _instrument(row: dict[str, Any]) -> Instrument:
    category: Category = row["category"]
    record = {"spot": _spot_record, "option": _option_record}.get(category, _futures_record)(row)
    return Instrument(
        category=category,
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        settle=row.get("settle", row["quote"]),
        status=row.get("status", "Trading"),
        tick=Decimal(row["tick"]),
        min_price=Decimal(row.get("min_price", row["tick"])),
        max_price=Decimal(row.get("max_price", "1000000000")),
        step=Decimal(row["step"]),
        quote_step=Decimal(row.get("quote_step", row["step"])),
        min_qty=Decimal(row["min_qty"]),
        max_qty=Decimal(row["max_qty"]),
        max_market_qty=Decimal(row.get("max_market_qty", row["max_qty"])),
        min_value=Decimal(row.get("min_value", "5" if category == "linear" else "0")),
        max_leverage=Decimal(row.get("max_leverage", "1")),
        band=Decimal(_RATIO_Y),
        opening_price=Decimal(row["last"]),
        record=record,
    )


_RATIO_X = "0.01"
_RATIO_Y = "0.02"
_RISK = {"priceLimitRatioX": _RATIO_X, "priceLimitRatioY": _RATIO_Y}


def _spot_record(row: dict[str, Any]) -> Json:
    return {
        "symbol": row["symbol"],
        "baseCoin": row["base"],
        "quoteCoin": row["quote"],
        "innovation": "0",
        "symbolType": "",
        "status": row.get("status", "Trading"),
        "marginTrading": row.get("margin", "utaOnly"),
        "stTag": "0",
        "symbolId": row["id"],
        "lotSizeFilter": {
            "basePrecision": row["step"],
            "quotePrecision": row["quote_step"],
            "minOrderQty": row["min_qty"],
            "maxOrderQty": row["max_qty"],
            "minOrderAmt": row["min_value"],
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": row["max_qty"],
            "maxMarketOrderQty": row["max_market_qty"],
            "postOnlyMaxLimitOrderSize": row["max_qty"],
        },
        "priceFilter": {"tickSize": row["tick"]},
        "riskParameters": dict(_RISK),
    }


def _futures_record(row: dict[str, Any]) -> Json:
    is_linear = row["category"] == "linear"
    kind = row.get("kind", "LinearPerpetual" if is_linear else "InversePerpetual")
    is_dated = kind.endswith("Futures")
    return {
        "symbol": row["symbol"],
        "contractType": kind,
        "status": row.get("status", "Trading"),
        "baseCoin": row["base"],
        "quoteCoin": row["quote"],
        "launchTime": row["launched_ms"],
        "deliveryTime": row.get("delivery_ms", "0"),
        "deliveryFeeRate": "0.0005" if is_dated else "",
        "priceScale": row["price_scale"],
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": row["max_leverage"],
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": row["min_price"],
            "maxPrice": row["max_price"],
            "tickSize": row["tick"],
        },
        "lotSizeFilter": {
            "maxOrderQty": row["max_qty"],
            "minOrderQty": row["min_qty"],
            "qtyStep": row["step"],
            "postOnlyMaxOrderQty": row["max_qty"],
            "maxMktOrderQty": row["max_market_qty"],
            "minNotionalValue": "5" if is_linear else "",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 0 if is_dated else 480,
        "settleCoin": row["settle"],
        "copyTrading": "none",
        "upperFundingRate": "" if is_dated else "0.005",
        "lowerFundingRate": "" if is_dated else "-0.005",
        "isPreListing": row.get("status") == "PreLaunch",
        "preListingInfo": None,
        "riskParameters": dict(_RISK),
        "displayName": "",
        "symbolType": "",
        "symbolId": row["id"],
        "forbidUplWithdrawal": False,
    }


def _option_record(row: dict[str, Any]) -> Json:
    return {
        "symbol": row["symbol"],
        "status": row.get("status", "Trading"),
        "baseCoin": row["base"],
        "quoteCoin": row["quote"],
        "settleCoin": row["settle"],
        "optionsType": "Call" if "C" in row["symbol"].split("-")[3:4] else "Put",
        "launchTime": row["launched_ms"],
        "deliveryTime": row["delivery_ms"],
        "deliveryFeeRate": "0.00015",
        "priceFilter": {
            "minPrice": row["min_price"],
            "maxPrice": row["max_price"],
            "tickSize": row["tick"],
        },
        "lotSizeFilter": {
            "maxOrderQty": row["max_qty"],
            "minOrderQty": row["min_qty"],
            "qtyStep": row["step"],
        },
        "displayName": "",
        "symbolId": row["id"],
    }
