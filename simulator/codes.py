"""The codes by which spot and the other categories refuse the same thing.

Source: Bybit V5 docs, error-code page (read 2026-07-24). Where the page has no code of its own for a derivatives
parameter, the general 10001 is given.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.wire import Refusal


class Codes(NamedTuple):
    """One retCode per reason."""

    symbol: int = 10001
    not_open: int = 110074
    side: int = 10001
    order_type: int = 10001
    tif: int = 10001
    qty_step: int = 10001
    qty_min: int = 10001
    qty_max: int = 10001
    amount_step: int = 10001
    price_tick: int = 10001
    price_min: int = 10001
    value_min: int = 110094
    duplicate: int = 110072
    unknown: int = 110001
    filled: int = 110008
    cancelled: int = 110010
    amended_below_filled: int = 110064


DERIVATIVES = Codes()
SPOT = Codes(
    symbol=170121,
    not_open=170151,
    side=170117,
    order_type=170116,
    tif=170115,
    qty_step=170137,
    qty_min=170136,
    qty_max=170382,
    amount_step=170148,
    price_tick=170134,
    price_min=170133,
    value_min=170140,
    duplicate=170141,
    unknown=170213,
    filled=170139,
    cancelled=170142,
    amended_below_filled=170313,
)


def codes_of(category: str) -> Codes:
    """Return the codes of a category."""
    return SPOT if category == "spot" else DERIVATIVES


def bad_parameter(text: str) -> Refusal:
    """Return the refusal of a parameter (10001)."""
    return Refusal(10001, f"params error: {text}")
