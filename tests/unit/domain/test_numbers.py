"""Numbers as producers write them, and steps of every kind."""

from __future__ import annotations

import random
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.numbers import canonical, is_multiple, parse_decimal, plain, round_down

from .examples import STEPS, decimals, steps


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.01", "0.01"),
        ("0.010", "0.010"),
        (" 5\n", "5"),
        ("+5", "5"),
        ("-5", "-5"),
        ("007", "7"),
        (5, "5"),
        (-5, "-5"),
        (0, "0"),
        ("-0.00", "0.00"),
        ("9" * 30 + "." + "9" * 30, "9" * 30 + "." + "9" * 30),
        (10**30 - 1, "9" * 30),
        (Decimal("1E+2"), "100"),
        (Decimal("1E-8"), "0.00000001"),
    ],
)
def test_parse_decimal_of_a_plain_number_is_exact(value: Any, expected: str):
    """A number is read digit for digit."""
    assert expected == plain(parse_decimal(value))


@pytest.mark.parametrize(
    "value", [0.01, 1.0, True, False, None, b"1", [], {}, 1j, float("nan"), float("inf")], ids=repr
)
def test_parse_decimal_of_another_type_says_what_to_write(value: Any):
    """Only strings, integers and decimals are numbers; a float is not the number that was typed."""
    with pytest.raises(ValueError, match=f"string .* or an integer, not a {type(value).__name__}"):
        parse_decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "-",
        "+-1",
        "--1",
        ".5",
        "5.",
        "1.2.3",
        "1e5",
        "1E-8",
        "0x10",
        "1_000",
        "1,000",
        "1 000",
        "5 USDT",
        "NaN",
        "sNaN",
        "Infinity",
        "-inf",
        "\u0663",
        "\uff10.\uff11",
        "\u00b2",
        "\u00bd",
        "1\x00",
        "1\n2",
        "\ud800",
        "1" * 31,
        "0." + "1" * 31,
        "9" * 100_000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_parse_decimal_of_other_text_is_refused(text: str):
    """Exponents, separators, words, other scripts' digits and endless digits are no plain numbers."""
    with pytest.raises(ValueError, match="must be a plain number"):
        parse_decimal(text)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_parse_decimal_of_a_decimal_that_is_no_number_is_refused(value: Decimal):
    """Not-a-number and infinity cannot be traded."""
    with pytest.raises(ValueError, match="must be a finite number"):
        parse_decimal(value)


@pytest.mark.parametrize(
    "value",
    [10**30, -(10**30), 10**5000, Decimal("1E+30"), Decimal("1E+999999"), Decimal("1E-31"), Decimal("1E-999999")],
    ids=lambda value: f"{type(value).__name__}-{value.bit_length() if isinstance(value, int) else value}",
)
def test_parse_decimal_of_an_endless_number_is_refused(value: Any):
    """A number that needs more than 30 digits on a side is a mistake or an attack, whatever its type."""
    with pytest.raises(ValueError, match="at most 30 digits"):
        parse_decimal(value)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30) + 1, max_value=10**30 - 1, places=30)
)
def test_plain_has_no_exponent_and_reads_back(value: Decimal):
    """What goes to the exchange is digits and a point, and the same number."""
    text = plain(value)
    assert set(text) <= set("-.0123456789")
    assert value == parse_decimal(text)


@given(st.integers(-(10**12), 10**12), st.integers(-20, 20))
def test_plain_of_any_exponent_has_no_exponent(digits: int, exponent: int):
    """Exponents, small and large, are written out."""
    value = Decimal(digits).scaleb(exponent)
    assert set(plain(value)) <= set("-.0123456789")
    assert value == Decimal(plain(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0.010", "0.01"), ("100", "100"), ("1.0", "1"), ("0.00", "0"), ("9" * 30 + "." + "9" * 30, None)],
)
def test_canonical_of_equal_numbers_is_equal_text(value: str, expected: str | None):
    """Trailing zeros make no difference; every other digit does."""
    assert (expected or value) == canonical(Decimal(value))


@pytest.mark.parametrize("step", STEPS, ids=plain)
@given(value=decimals())
def test_round_down_to_a_named_step_is_the_nearest_multiple_below(step: Decimal, value: Decimal):
    """The result is a multiple of the step, never above the value, and less than one step below."""
    _check_rounding(value, step)


@given(value=decimals(), step=steps())
def test_round_down_to_any_step_is_the_nearest_multiple_below(value: Decimal, step: Decimal):
    """The same holds for steps nobody thought of."""
    _check_rounding(value, step)


@given(digits=st.integers(1, 10**60 - 1), step_digits=st.integers(1, 10**30))
def test_round_down_of_the_longest_numbers_is_exact(digits: int, step_digits: int):
    """Sixty digits are divided without a rounding error."""
    value = parse_decimal(f"{digits // 10**30}.{digits % 10**30:030d}")
    _check_rounding(value, parse_decimal(f"{step_digits // 10**30}.{step_digits % 10**30:030d}"))


def _check_rounding(value: Decimal, step: Decimal) -> None:
    result = round_down(value, step)
    assert (Fraction(result) / Fraction(step)).denominator == 1
    assert 0 <= Fraction(value) - Fraction(result) < Fraction(step)


@given(count=st.integers(0, 10**12), step=steps())
def test_round_down_of_a_multiple_leaves_it_alone(count: int, step: Decimal):
    """A value on its step stays as it is."""
    value = count * step
    assert value == round_down(value, step)
    assert is_multiple(value, step)


@given(value=decimals(), step=steps())
def test_is_multiple_agrees_with_fractions(value: Decimal, step: Decimal):
    """Exact arithmetic decides, not digits after the point."""
    assert ((Fraction(value) / Fraction(step)).denominator == 1) is is_multiple(value, step)


@pytest.mark.parametrize("step", STEPS, ids=plain)
def test_round_down_below_one_step_is_zero(step: Decimal):
    """Less than one step rounds to nothing, written plainly."""
    result = round_down(step / 2, step)
    assert result == 0
    assert "E" not in str(plain(result))


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [("7", "5", "5"), ("0.7", "0.5", "0.5"), ("150", "100", "100"), ("0.9", "0.3", "0.9")],
)
def test_round_down_where_quantize_is_wrong_is_right(value: str, step: str, expected: str):
    """`Decimal.quantize` sees only the exponent of a step: it returns 7 for 7 on a step of 5."""
    assert Decimal(expected) == round_down(Decimal(value), Decimal(step))


@pytest.mark.parametrize(("value", "step"), [("7", "5"), ("0.7", "0.5"), ("150", "100")])
def test_quantize_misses_steps_that_are_no_power_of_ten(value: str, step: str):
    """The obvious one-liner leaves values off their step: this is why `round_down` exists."""
    obvious = Decimal(value).quantize(Decimal(step), ROUND_DOWN)
    assert not is_multiple(obvious, Decimal(step))


def test_quantize_rounds_above_what_was_asked():
    """And by default it buys more than was asked."""
    assert Decimal("0.0016").quantize(Decimal("0.001"), ROUND_HALF_EVEN) > Decimal("0.0016")


def test_round_down_under_a_callers_context_is_unchanged():
    """A producer that set three digits of precision gets the same quantities."""
    rng = random.Random(1)
    values = [Decimal(rng.randrange(10**14)).scaleb(-8) for _ in range(50)]
    expected = [round_down(value, Decimal("0.001")) for value in values]
    with localcontext() as context:
        context.prec = 3
        assert expected == [round_down(value, Decimal("0.001")) for value in values]
