"""Orders fitted to their instruments."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.errors import OrderDenied
from sluicegate.domain.instruments import InstrumentRules, fit, fit_amend
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Category, MarketUnit, OrderRequest, parse_amend

from .examples import STEPS, decimals, free_rules, market, order, rules, steps

PRICES = ("price", "trigger_price", "take_profit", "stop_loss", "tp_limit_price", "sl_limit_price")

FITTING: dict[Category, dict[str, Any]] = {
    Category.SPOT: {"category": "spot", "qty": "0.000123", "price": "60000.1"},
    Category.LINEAR: {"category": "linear", "qty": "0.001", "price": "60000.10"},
    Category.INVERSE: {"category": "inverse", "symbol": "BTCUSD", "qty": "1", "price": "60000.10"},
    Category.OPTION: {"category": "option", "symbol": "BTC-25DEC26-67000-C-USDT", "qty": "0.01", "price": "1005"},
}
OFF_STEP = {
    Category.SPOT: ("0.0001237", "0.000123"),
    Category.LINEAR: ("0.0019", "0.001"),
    Category.INVERSE: ("1.5", "1"),
    Category.OPTION: ("0.019", "0.01"),
}


def _denial(request: OrderRequest, limits: InstrumentRules, reason: str) -> OrderDenied:
    with pytest.raises(OrderDenied) as caught:
        fit(request, limits)
    assert reason == caught.value.reason
    assert caught.value.fix.endswith(".")
    return caught.value


@pytest.mark.parametrize("category", Category)
def test_fit_of_a_fitting_order_changes_nothing(category: Category):
    """An order that lies on every step goes out as it was written."""
    request = order(**FITTING[category])
    assert request == fit(request, rules(category))


@pytest.mark.parametrize("category", Category)
def test_fit_off_the_quantity_step_is_denied(category: Category):
    """By default an off-step quantity is the producer's mistake; the text names quantity, step and neighbours."""
    off, below = OFF_STEP[category]
    denial = _denial(order(**{**FITTING[category], "qty": off}), rules(category), "quantity_off_step")
    assert f"qty {off} is not a multiple of {plain(rules(category).qty_step)}" in str(denial)
    assert f"next below: {below}," in denial.fix
    assert "round_down" in denial.fix


@pytest.mark.parametrize("category", Category)
def test_fit_off_the_quantity_step_rounds_down_where_asked(category: Category):
    """With `round_down` the order goes out with less, never with more."""
    off, below = OFF_STEP[category]
    request = order(**{**FITTING[category], "qty": off, "on_step": "round_down"})
    assert Decimal(below) == fit(request, rules(category)).qty


@pytest.mark.parametrize("step", STEPS, ids=plain)
@given(qty=decimals())
def test_fit_to_a_named_step_never_exceeds_what_was_asked(step: Decimal, qty: Decimal):
    """The fitted quantity is a multiple of the step, at most the asked one, and less than a step below."""
    _check_fit(qty, step)


@given(qty=decimals(), step=steps())
def test_fit_to_any_step_never_exceeds_what_was_asked(qty: Decimal, step: Decimal):
    """The same holds for steps nobody thought of."""
    _check_fit(qty, step)


def _check_fit(qty: Decimal, step: Decimal) -> None:
    request = order(qty=qty, on_step="round_down")
    if qty < step:
        denial = _denial(request, free_rules(step), "quantity_off_step")
        assert "next below: none" in denial.fix
        assert "round_down" not in denial.fix
        return
    fitted = fit(request, free_rules(step)).qty
    assert (Fraction(fitted) / Fraction(step)).denominator == 1
    assert 0 <= qty - fitted < step
    assert fitted > 0


@given(count=st.integers(1, 10**9), step=steps())
def test_fit_in_reject_mode_leaves_values_on_their_step(count: int, step: Decimal):
    """A quantity on its step is not touched, whatever the step."""
    request = order(qty=count * step)
    assert request == fit(request, free_rules(step))


@given(qty=decimals(), step=steps())
def test_fit_in_reject_mode_leaves_or_denies(qty: Decimal, step: Decimal):
    """Without `round_down` no quantity is ever changed."""
    if (Fraction(qty) / Fraction(step)).denominator == 1:
        assert qty == fit(order(qty=qty), free_rules(step)).qty
    else:
        _denial(order(qty=qty), free_rules(step), "quantity_off_step")


@pytest.mark.parametrize("name", PRICES)
def test_fit_off_the_tick_is_denied_for_every_price(name: str):
    """Each price lies on the tick."""
    denial = _denial(order(**{name: "60000.05"}), rules(), "price_off_tick")
    assert str(denial).startswith(f"{name} 60000.05 is not a multiple of 0.10")


@pytest.mark.parametrize("name", PRICES)
def test_fit_off_the_tick_rounds_every_price_down_where_asked(name: str):
    """With `round_down` each price goes to the tick below."""
    fitted = fit(order(**{name: "60000.05", "on_step": "round_down"}), rules())
    assert Decimal("60000.00") == getattr(fitted, name)


@pytest.mark.parametrize("name", ["take_profit", "stop_loss"])
def test_fit_of_a_stop_of_zero_keeps_it(name: str):
    """Zero removes a stop; it lies on every step."""
    assert getattr(fit(order(**{name: "0"}), rules()), name) == 0


def test_fit_of_a_price_below_one_tick_is_denied_even_when_rounding():
    """A price is never rounded to nothing."""
    _denial(order(price="0.05", on_step="round_down"), rules(), "price_off_tick")


@pytest.mark.parametrize("status", ["Trading", "PreLaunch"])
def test_fit_while_the_market_is_open_passes(status: str):
    """These two phases take orders."""
    assert order() == fit(order(), rules(status=status))


@pytest.mark.parametrize("status", ["Settling", "Delivering", "Closed", "", "trading"])
def test_fit_while_the_market_is_closed_is_denied(status: str):
    """Any other phase takes none, and neither does a phase we do not know."""
    assert f"is {status}, not trading" in str(_denial(order(), rules(status=status), "market_phase"))


@pytest.mark.parametrize("category", Category)
def test_fit_with_the_instruments_settle_coin_passes(category: Category):
    """Naming the right coin is allowed."""
    limits = rules(category)
    request = order(**FITTING[category], settle_coin=limits.settle_coin)
    assert request == fit(request, limits)


@pytest.mark.parametrize("category", Category)
def test_fit_with_another_settle_coin_is_denied(category: Category):
    """A producer who expects USDC margin does not get a USDT contract; the text names both."""
    request = order(**FITTING[category], settle_coin="USDC")
    denial = _denial(request, rules(category), "wrong_settle_coin")
    assert f"settles in {rules(category).settle_coin}, not USDC" in str(denial)
    assert rules(category).settle_coin in denial.fix


@pytest.mark.parametrize(
    ("qty", "changes", "expected"),
    [
        ("0.002", {"min_qty": Decimal("0.002")}, ""),
        ("0.001", {"min_qty": Decimal("0.002")}, "below 0.002, the minimum"),
        ("1190", {}, ""),
        ("1190.001", {}, "above 1190, the maximum of a limit order"),
        ("999999999", {"max_limit_qty": None}, ""),
    ],
)
def test_fit_of_a_limit_order_keeps_to_its_bounds(qty: str, changes: dict[str, Any], expected: str):
    """A bound itself passes, one step beyond does not."""
    _check_bounds(order(qty=qty), rules(**changes), expected, "quantity_out_of_bounds")


@pytest.mark.parametrize(
    ("qty", "expected"), [("500", ""), ("500.001", "above 500, the maximum of a market order"), ("0.001", "")]
)
def test_fit_of_a_market_order_keeps_to_its_own_maximum(qty: str, expected: str):
    """Market orders have a smaller maximum than limit orders."""
    _check_bounds(market(qty=qty), rules(), expected, "quantity_out_of_bounds")


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("1000", ""),
        ("999.9", "outside 1000 to 2000"),
        ("2000", ""),
        ("2000.1", "outside 1000 to 2000"),
    ],
)
def test_fit_keeps_the_price_within_its_range(price: str, expected: str):
    """A bound itself passes, one tick beyond does not."""
    limits = rules(min_price=Decimal(1000), max_price=Decimal(2000))
    _check_bounds(order(price=price), limits, expected, "price_out_of_bounds")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"min_price": None, "max_price": Decimal(2000)}, "outside 0 to 2000"),
        ({"min_price": Decimal(90000), "max_price": None}, "outside 90000 to no limit"),
        ({"min_price": None, "max_price": None}, ""),
    ],
)
def test_fit_with_an_open_price_range_checks_the_other_end(changes: dict[str, Any], expected: str):
    """A missing bound bounds nothing."""
    _check_bounds(order(), rules(**changes), expected, "price_out_of_bounds")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"qty": "0.001", "price": "5000"}, ""),
        ({"qty": "0.001", "price": "4999.9"}, "worth 4.9999 USDT, below the minimum of 5"),
        ({"qty": "0.001", "price": "4999.9", "reduce_only": True}, ""),
        ({"qty": "0.001", "price": "4999.9", "order_type": "Market"}, ""),
        ({"qty": "0", "reduce_only": True, "close_on_trigger": True}, ""),
    ],
)
def test_fit_of_a_small_order_needs_the_least_notional(changes: dict[str, Any], expected: str):
    """Too small a value is denied; closing is free, and a Market order's price says nothing of its value."""
    _check_bounds(order(**changes), rules(), expected, "notional_too_small")


def test_fit_of_an_inverse_order_counts_contracts_not_notional():
    """An inverse contract is one dollar; quantity times price means nothing there."""
    request = order(**{**FITTING[Category.INVERSE], "price": "0.10"})
    assert request == fit(request, rules(Category.INVERSE, min_notional=Decimal(5)))


def test_fit_of_a_quantity_of_zero_passes_the_bounds():
    """Zero closes the whole position; no minimum applies."""
    request = order(qty="0", reduce_only=True, close_on_trigger=True)
    assert request == fit(request, rules())


def _check_bounds(request: OrderRequest, limits: InstrumentRules, expected: str, reason: str) -> None:
    if expected:
        assert expected in str(_denial(request, limits, reason))
    else:
        assert request == fit(request, limits)


def test_fit_of_a_spot_market_buy_is_by_quote_amount():
    """The amount is on the quote step, and the request says in which coin it is."""
    fitted = fit(market(category="spot", qty="100.25"), rules(Category.SPOT))
    assert Decimal("100.25") == fitted.qty
    assert MarketUnit.QUOTE is fitted.market_unit


def test_fit_of_a_spot_market_buy_off_the_quote_step_is_denied():
    """The quote step counts, not the finer step of the base coin."""
    denial = _denial(market(category="spot", qty="100.255"), rules(Category.SPOT), "quantity_off_step")
    assert "multiple of 0.01" in str(denial)


def test_fit_of_a_spot_market_buy_without_a_quote_step_takes_the_quantity_step():
    """Where the exchange names no quote step the other one is all we have."""
    fitted = fit(market(category="spot", qty="100.255"), rules(Category.SPOT, quote_step=None))
    assert Decimal("100.255") == fitted.qty


@pytest.mark.parametrize(("qty", "expected"), [("5", ""), ("4.99", "worth 4.99 USDT"), ("5000000", "")])
def test_fit_of_a_quote_amount_is_bounded_by_notional_only(qty: str, expected: str):
    """The amount itself is the value; limits in base coin do not apply to it."""
    request, limits = market(category="spot", qty=qty), rules(Category.SPOT)
    if expected:
        assert expected in str(_denial(request, limits, "notional_too_small"))
    else:
        assert Decimal(qty) == fit(request, limits).qty


@pytest.mark.parametrize("changes", [{"side": "Sell"}, {"side": "Buy", "market_unit": "baseCoin"}])
def test_fit_of_a_spot_market_order_by_base_coin_uses_the_base_step(changes: dict[str, Any]):
    """A sell, and a buy that says so, counts base coin."""
    request = market(category="spot", qty="0.000123", **changes)
    assert request == fit(request, rules(Category.SPOT))
    _denial(market(category="spot", qty="0.0001235", **changes), rules(Category.SPOT), "quantity_off_step")


@pytest.mark.parametrize(
    ("category", "request_changes", "expected"),
    [
        (Category.LINEAR, {"qty": "2", "price": "100"}, "200"),
        (Category.LINEAR, {"qty": "2", "price": None, "order_type": "Market"}, "140"),
        (Category.LINEAR, {"qty": "2", "price": "1", "order_type": "Market"}, "140"),
        (Category.OPTION, {"qty": "2", "price": None, "order_iv": "0.5"}, "140"),
        (Category.INVERSE, {"qty": "2", "price": "100"}, "2"),
        (Category.SPOT, {"qty": "2", "price": None, "order_type": "Market"}, "2"),
        (Category.SPOT, {"qty": "2", "price": None, "order_type": "Market", "side": "Sell"}, "140"),
    ],
)
def test_notional_values_an_order_in_quote_coin(
    category: Category, request_changes: dict[str, Any], expected: str
):
    """A limit price binds; else the last price counts; quote amounts and inverse contracts are values already."""
    request = order(category=category, **request_changes)
    assert Decimal(expected) == rules(category).notional(request, Decimal(70))


@pytest.mark.parametrize("category", Category)
def test_fit_amend_returns_the_order_as_it_will_stand(category: Category):
    """What the amendment names changes, the rest stays."""
    request = order(**FITTING[category])
    price = rules(category).tick_size * 20_000
    qty = request.qty * 1000
    fitted = fit_amend(parse_amend({"price": plain(price), "qty": plain(qty)}), request, rules(category))
    assert request.model_copy(update={"price": price, "qty": qty}) == fitted


@pytest.mark.parametrize("category", Category)
def test_fit_amend_off_step_is_denied(category: Category):
    """An amendment passes the same gates as an order."""
    off, _ = OFF_STEP[category]
    with pytest.raises(OrderDenied) as caught:
        fit_amend(parse_amend({"qty": off}), order(**FITTING[category]), rules(category))
    assert caught.value.reason == "quantity_off_step"


def test_fit_amend_with_nulls_leaves_those_fields_alone():
    """Null says the same as leaving a field out."""
    fitted = fit_amend(parse_amend({"qty": None, "price": "60001"}), order(), rules())
    assert order(price="60001") == fitted


def test_fit_amend_to_remove_a_stop_keeps_the_zero():
    """Zero is a value, not an absence."""
    fitted = fit_amend(parse_amend({"stop_loss": 0}), order(stop_loss="50000"), rules())
    assert Decimal(0) == fitted.stop_loss


@given(qty=decimals(), step=steps())
def test_fit_amend_where_rounding_never_exceeds_what_was_asked(qty: Decimal, step: Decimal):
    """The order's own `on_step` holds for its amendments too."""
    request = order(qty=step, on_step="round_down")
    if qty < step:
        return
    fitted = fit_amend(parse_amend({"qty": plain(qty)}), request, free_rules(step)).qty
    assert (Fraction(fitted) / Fraction(step)).denominator == 1
    assert 0 <= qty - fitted < step
