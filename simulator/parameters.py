"""Reading request parameters as strictly as the exchange does."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal

from simulator.codes import bad_parameter, codes_of
from simulator.instruments import CATEGORIES, Instrument, Instruments
from simulator.wire import Json, Refusal

_PLAIN_NUMBER = re.compile(r"\d{1,15}(\.\d{1,18})?", re.ASCII)
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)


def category_of(params: Json, allowed: Collection[str] = CATEGORIES) -> str:
    """Return the category, which every trade call must name."""
    category = params.get("category")
    if category not in allowed:
        raise bad_parameter(f"category must be one of {', '.join(allowed)}")
    return str(category)


def text_of(params: Json, name: str) -> str:
    """Return a text parameter, empty if it is not given."""
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_parameter(f"{name} must be a string")
    return value


def number_of(params: Json, name: str) -> Decimal | None:
    """Return a number that travels as a string; None if it is not given."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise bad_parameter(f"{name} must be a string, not a JSON number")
    if not _PLAIN_NUMBER.fullmatch(value):
        raise bad_parameter(f"{name} is not a plain positive number")
    return Decimal(value)


def whole_number_of(params: Json, name: str, default: int) -> int:
    """Return a JSON integer (body parameters such as positionIdx)."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_parameter(f"{name} must be an integer")
    return value


def flag_of(params: Json, name: str) -> bool:
    """Return a JSON boolean, false if it is not given."""
    value = params.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad_parameter(f"{name} must be true or false")
    return value


def query_number(params: Json, name: str, default: int, largest: int) -> int:
    """Return a positive integer of a query string."""
    value = str(params.get(name, ""))
    if not value:
        return default
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= largest:
        raise bad_parameter(f"{name} must be a whole number from 1 to {largest}")
    return int(value)


def link_id_of(params: Json, *, required: bool) -> str:
    """Return a well-formed orderLinkId, empty if there is none."""
    link_id = text_of(params, "orderLinkId")
    if not link_id:
        if required:
            raise bad_parameter("orderLinkId is required for options")
        return ""
    if not _LINK_ID.fullmatch(link_id):
        raise bad_parameter("orderLinkId: at most 36 letters, digits, dashes and underscores")
    return link_id


def instrument_of(instruments: Instruments, category: str, params: Json) -> Instrument:
    """Return the instrument a call names.

    Raises:
        Refusal: 10001, for spot 170121.
    """
    symbol = params.get("symbol")
    instrument = instruments.find(category, symbol) if isinstance(symbol, str) else None
    if instrument is None:
        shown = symbol if isinstance(symbol, str) else ""
        if category == "spot":
            raise Refusal(codes_of(category).symbol, "Invalid symbol.")
        raise bad_parameter(f"symbol invalid {shown[:40]}")
    return instrument
