"""Decimal numbers as producers write them and as Bybit reads them."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Context, Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_MAX_DIGITS = 30
_PLAIN = re.compile(rf"[+-]?[0-9]{{1,{_MAX_DIGITS}}}(\.[0-9]{{1,{_MAX_DIGITS}}})?")
_EXACT = Context(prec=80)


def plain(value: Decimal) -> str:
    """Format a number without an exponent, as Bybit wants it.

    Args:
        value: any finite number.

    Returns:
        The digits, e.g. `0.00000001`, never `1E-8`.
    """
    return format(value, "f")


def canonical(value: Decimal) -> str:
    """Format a number so that equal numbers give equal text: `0.010` becomes `0.01`."""
    return plain(_EXACT.normalize(value))


def parse_decimal(value: Any) -> Decimal:
    """Read a number given as a string or an integer.

    Args:
        value: e.g. `"0.01"` or `5`. Floats are refused: they are not the number that was typed.

    Returns:
        The exact number.

    Raises:
        ValueError: with what to write instead.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        kind = type(value).__name__
        raise ValueError(f'must be a string such as "0.01" or an integer, not a {kind}')
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("must be a finite number")
    text = _digits(value)
    if not _PLAIN.fullmatch(text):
        raise ValueError(
            f'must be a plain number such as "0.01", at most {_MAX_DIGITS} digits on each side of the point'
        )
    number = Decimal(text)
    return number or number.copy_abs()  # no negative zero


def _digits(value: int | str | Decimal) -> str:
    """Return what to parse; empty for numbers so long that writing them down would be the attack."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_MAX_DIGITS else ""
    return plain(value) if abs(value.adjusted()) <= _MAX_DIGITS else ""


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether `value` lies on `step`; exact for every step, power of ten or not."""
    return _EXACT.remainder(value, step) == 0


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value`.

    `Decimal.quantize(step)` looks only at the exponent of its argument: it leaves 7 alone for a step of 5 and
    rounds half up for others. This divides, cuts and multiplies instead.

    Args:
        value: a number not below zero.
        step: a number above zero.

    Returns:
        A multiple of `step` in `[value - step, value]`.
    """
    steps = _EXACT.divide(value, step).to_integral_value(ROUND_DOWN)
    result = _EXACT.multiply(steps, step)
    return result.quantize(step) if result == 0 else result


DecimalText = Annotated[
    Decimal, BeforeValidator(parse_decimal), PlainSerializer(plain, return_type=str, when_used="always")
]
