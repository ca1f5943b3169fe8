"""Orders as producers write them: what is read, what is refused, and what is the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sluicegate.domain.errors import InvalidOrder
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import OrderRequest, parse_order

from .examples import content, decimals, market, order

ZONES = [UTC, *(timezone(timedelta(hours=hours)) for hours in (-12, -3.5, 1, 5.75, 14))]
REQUIRED = ("account", "category", "symbol", "side", "order_type", "qty")

VALID: dict[str, dict[str, Any]] = {
    "limit": {},
    "integers": {"qty": 1, "price": 60000},
    "market": {"order_type": "Market", "price": None},
    "spot": {"category": "spot", "is_leverage": 0},
    "spot by base coin": {"category": "spot", "order_type": "Market", "market_unit": "baseCoin"},
    "inverse": {"category": "inverse", "symbol": "BTCUSD", "qty": "100", "settle_coin": "BTC"},
    "option": {"category": "option", "symbol": "BTC-25DEC26-67000-C-USDT", "price": "5", "mmp": True},
    "option by volatility": {"category": "option", "price": None, "order_iv": "0.5"},
    "conditional": {"trigger_price": "61000", "trigger_direction": 1, "trigger_by": "MarkPrice"},
    "stops": {"take_profit": "65000", "stop_loss": "0", "tpsl_mode": "Full", "tp_trigger_by": "LastPrice"},
    "close all": {"qty": "0", "reduce_only": True, "close_on_trigger": True},
    "ours": {"client_order_id": "my-1!", "deadline_s": 31_536_000, "priority": 9, "on_step": "round_down"},
    "scheduled": {"due_at": "2026-12-01T08:00:00Z"},
    "longest numbers": {"qty": "9" * 30 + "." + "9" * 30},
    "longest symbol": {"symbol": "A" * 48},
    "hedge": {"position_idx": 2, "time_in_force": "PostOnly", "smp_type": "CancelBoth"},
}

INVALID: list[tuple[dict[str, Any], str]] = [
    ({"account": ""}, "account"),
    ({"account": "a" * 65}, "account"),
    ({"account": "../main"}, "account"),
    ({"account": "main\n"}, "account"),
    ({"account": 1}, "account"),
    ({"account": "\ud800"}, "account"),
    ({"category": "Linear"}, "category"),
    ({"category": None}, "category"),
    ({"symbol": "btcusdt"}, "symbol"),
    ({"symbol": "B"}, "symbol"),
    ({"symbol": "A" * 49}, "symbol"),
    ({"symbol": "BTC USDT"}, "symbol"),
    ({"symbol": "BTCUSDT\n"}, "symbol"),
    ({"side": "buy"}, "side"),
    ({"order_type": "Stop"}, "order_type"),
    ({"qty": 0.01}, "qty"),
    ({"qty": True}, "qty"),
    ({"qty": None}, "qty"),
    ({"qty": "-1"}, "qty"),
    ({"qty": -1}, "qty"),
    ({"qty": "0"}, "qty"),
    ({"qty": "0", "reduce_only": True}, "qty"),
    ({"qty": "0", "close_on_trigger": True}, "qty"),
    ({"qty": "NaN"}, "qty"),
    ({"qty": "1e3"}, "qty"),
    ({"qty": "\u0663"}, "qty"),
    ({"qty": "1" * 31}, "qty"),
    ({"qty": []}, "qty"),
    ({"qty": Decimal("1E+90")}, "qty"),
    ({"price": 60000.5}, "price"),
    ({"price": "0"}, "price"),
    ({"price": "-1"}, "price"),
    ({"price": None}, "price"),
    ({"time_in_force": "GTD"}, "time_in_force"),
    ({"reduce_only": "maybe"}, "reduce_only"),
    ({"reduce_only": True, "category": "spot"}, "reduce_only"),
    ({"position_idx": 3}, "position_idx"),
    ({"position_idx": 1.0}, "position_idx"),
    ({"is_leverage": 2}, "is_leverage"),
    ({"is_leverage": True}, "is_leverage"),
    ({"market_unit": "quoteCoin"}, "market_unit"),
    ({"market_unit": "quoteCoin", "category": "spot"}, "market_unit"),
    ({"slippage_tolerance_type": "Ticks"}, "slippage_tolerance_type"),
    ({"slippage_tolerance": "0"}, "slippage_tolerance"),
    ({"trigger_price": "0"}, "trigger_price"),
    ({"trigger_direction": 0}, "trigger_direction"),
    ({"trigger_direction": 1.0}, "trigger_direction"),
    ({"trigger_by": "lastPrice"}, "trigger_by"),
    ({"order_filter": "order"}, "order_filter"),
    ({"take_profit": "-1"}, "take_profit"),
    ({"stop_loss": 1.5}, "stop_loss"),
    ({"tpsl_mode": "Half"}, "tpsl_mode"),
    ({"tp_limit_price": "0"}, "tp_limit_price"),
    ({"order_iv": 0.5}, "order_iv"),
    ({"smp_type": "none"}, "smp_type"),
    ({"client_order_id": ""}, "client_order_id"),
    ({"client_order_id": "a b"}, "client_order_id"),
    ({"client_order_id": "é"}, "client_order_id"),
    ({"client_order_id": "a" * 65}, "client_order_id"),
    ({"client_order_id": 7}, "client_order_id"),
    ({"deadline_s": 0}, "deadline_s"),
    ({"deadline_s": -5}, "deadline_s"),
    ({"deadline_s": 30.0}, "deadline_s"),
    ({"deadline_s": True}, "deadline_s"),
    ({"deadline_s": 31_536_001}, "deadline_s"),
    ({"due_at": "2026-12-01T08:00:00"}, "due_at"),
    ({"due_at": "2026-12-01"}, "due_at"),
    ({"due_at": "tomorrow"}, "due_at"),
    ({"due_at": 1.5}, "due_at"),
    ({"due_at": True}, "due_at"),
    ({"due_at": "9999-12-31T23:59:59-12:00"}, "due_at"),
    ({"due_at": "0001-01-01T00:00:00+12:00"}, "due_at"),
    ({"priority": -1}, "priority"),
    ({"priority": 10}, "priority"),
    ({"priority": 1.0}, "priority"),
    ({"settle_coin": "usdt"}, "settle_coin"),
    ({"on_step": "round_up"}, "on_step"),
    ({"quantity": "1"}, "quantity"),
    ({"qty ": "1"}, "qty "),
    ({"order_link_id": "mine"}, "order_link_id"),
    ({"api_secret": "x"}, "api_secret"),
]

# For every field of an order another value than the one in OTHER_BASE.
OTHER_BASE = content(category="spot", order_type="Market")
OTHER: dict[str, Any] = {
    "account": "second",
    "category": "linear",
    "symbol": "ETHUSDT",
    "side": "Sell",
    "order_type": "Limit",
    "qty": "0.011",
    "price": "60000.1",
    "time_in_force": "IOC",
    "reduce_only": False,
    "close_on_trigger": False,
    "position_idx": 0,
    "is_leverage": 0,
    "market_unit": "baseCoin",
    "slippage_tolerance_type": "Percent",
    "slippage_tolerance": "0.1",
    "trigger_price": "1",
    "trigger_direction": 1,
    "trigger_by": "LastPrice",
    "order_filter": "Order",
    "take_profit": "0",
    "stop_loss": "0",
    "tp_trigger_by": "LastPrice",
    "sl_trigger_by": "LastPrice",
    "tpsl_mode": "Full",
    "tp_limit_price": "1",
    "sl_limit_price": "1",
    "tp_order_type": "Market",
    "sl_order_type": "Market",
    "order_iv": "1",
    "mmp": False,
    "smp_type": "None",
    "client_order_id": "c-1",
    "deadline_s": 1,
    "due_at": "2026-12-01T08:00:00Z",
    "priority": 1,
    "settle_coin": "USDT",
    "on_step": "round_down",
}

JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON_VALUES = st.recursive(
    JSON_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@st.composite
def valid_orders(draw: st.DrawFn) -> OrderRequest:
    """Draw orders that a producer could write."""
    changes: dict[str, Any] = {
        "category": draw(st.sampled_from(["spot", "linear", "inverse", "option"])),
        "side": draw(st.sampled_from(["Buy", "Sell"])),
        "order_type": draw(st.sampled_from(["Limit", "Market"])),
        "qty": plain(draw(decimals())),
        "price": plain(draw(decimals())),
        "take_profit": draw(st.none() | decimals().map(plain)),
        "deadline_s": draw(st.none() | st.integers(1, 86_400)),
        "due_at": draw(st.none() | st.datetimes(datetime(1970, 1, 1), timezones=st.sampled_from(ZONES))),  # noqa: DTZ001
        "client_order_id": draw(
            st.none() | st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=64)
        ),
        "priority": draw(st.integers(0, 9)),
    }
    return order(**changes)


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
def test_parse_order_of_valid_content_keeps_what_was_written(changes: dict[str, Any]):
    """Every kind of order Bybit takes can be written."""
    wanted = {name: str(value) for name, value in content(**changes).items() if value is not None}
    found = {name: str(value) for name, value in order(**changes).to_json().items()}
    assert wanted == {name: value for name, value in found.items() if name in wanted}


@pytest.mark.parametrize(("changes", "field"), INVALID, ids=lambda value: ascii(value)[:48])
def test_parse_order_of_a_wrong_field_names_it(changes: dict[str, Any], field: str):
    """One wrong field, and the text begins with its name."""
    with pytest.raises(InvalidOrder) as caught:
        parse_order(content(**changes))
    assert str(caught.value).startswith(f"{field}: ")
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("name", REQUIRED)
def test_parse_order_without_a_required_field_names_it(name: str):
    """A missing field is named."""
    with pytest.raises(InvalidOrder, match=f"^{name}: Field required$"):
        parse_order(content(drop=name))


def test_parse_order_with_unknown_fields_calls_them_unknown():
    """A typing error in a name is not swallowed."""
    with pytest.raises(InvalidOrder, match=r"^quantity: unknown field$"):
        parse_order(content(quantity="1"))


def test_parse_order_with_several_mistakes_names_each():
    """A producer sees all mistakes at once."""
    with pytest.raises(InvalidOrder) as caught:
        parse_order(content(qty=0.1, side="b", foo=1))
    assert [part.split(":")[0] for part in str(caught.value).split("; ")] == ["side", "qty", "foo"]


@pytest.mark.parametrize("whole", [None, [], "order", 5, 1.5, True, [content()]], ids=repr)
def test_parse_order_of_no_object_is_refused(whole: Any):
    """An order is a JSON object."""
    with pytest.raises(InvalidOrder, match=f"JSON object, not a {type(whole).__name__}"):
        parse_order(whole)


def test_parse_order_with_a_key_that_is_no_string_is_refused():
    """Keys are strings, as in JSON."""
    with pytest.raises(InvalidOrder, match="should be strings"):
        parse_order({**content(), 1: 2})


@given(st.dictionaries(st.sampled_from(sorted(OTHER)) | st.text(max_size=8), JSON_VALUES, max_size=6))
def test_parse_order_of_any_json_answers_or_refuses(changes: dict[str, Any]):
    """No JSON object whatever leads to another error than `InvalidOrder`, and what is read can be sent on."""
    try:
        request = parse_order(content(**changes))
    except InvalidOrder:
        return
    assert request == parse_order(json.loads(json.dumps(request.to_json())))


def test_order_request_is_frozen():
    """What was validated stays as it was."""
    with pytest.raises(ValidationError):
        order().qty = Decimal(2)  # type: ignore[misc]


@given(valid_orders())
def test_order_through_json_is_the_same_order(request: OrderRequest):
    """The ledger gives back what was accepted, content and fingerprint."""
    back = parse_order(json.loads(json.dumps(request.to_json())))
    assert request == back
    assert request.fingerprint() == back.fingerprint()


def test_to_json_writes_numbers_as_plain_strings():
    """No float and no exponent leaves us."""
    found = order(qty="0.00000001", price=60000).to_json()
    assert (found["qty"], found["price"]) == ("0.00000001", "60000")
    assert "take_profit" not in found


@given(valid_orders(), st.integers(1, 5))
def test_fingerprint_of_trailing_zeros_is_the_same(request: OrderRequest, zeros: int):
    """`0.010` and `0.01` are the same content."""
    written = request.to_json()
    point = "" if "." in written["qty"] else "."
    longer = parse_order({**written, "qty": written["qty"] + point + "0" * zeros})
    assert request.fingerprint() == longer.fingerprint()


def test_fingerprint_of_ways_to_write_the_same_is_the_same():
    """Integers, text, padding, decimals, defaults and nulls are ways to write the same content."""
    expected = order(qty="1", price="60000").fingerprint()
    assert expected == order(qty=1, price=60000).fingerprint()
    assert expected == order(qty="01.00", price=Decimal("6E+4")).fingerprint()
    assert expected == order(qty="1", on_step="reject", priority=0, stop_loss=None).fingerprint()


def test_fingerprint_of_one_instant_in_two_zones_is_the_same():
    """The same instant is the same content."""
    berlin, utc = order(due_at="2026-12-01T09:00:00+01:00"), order(due_at="2026-12-01T08:00:00Z")
    assert utc.fingerprint() == berlin.fingerprint()


def test_fingerprint_table_names_every_field():
    """A field added later must be added to the table, and so to this test."""
    assert set(OrderRequest.model_fields) == set(OTHER)


@pytest.mark.parametrize(("name", "value"), OTHER.items(), ids=list(OTHER))
def test_fingerprint_of_another_value_differs(name: str, value: Any):
    """Every field counts."""
    changed = parse_order({**OTHER_BASE, name: value})
    assert parse_order(OTHER_BASE).fingerprint() != changed.fingerprint()


def test_fingerprint_of_the_last_of_sixty_digits_differs():
    """No digit is too far out to count."""
    digits = "1" * 30 + "." + "1" * 29
    assert order(qty=digits + "1").fingerprint() != order(qty=digits + "2").fingerprint()


@given(st.lists(decimals(), min_size=2, max_size=2, unique=True))
def test_fingerprint_of_other_quantities_differs(quantities: list[Decimal]):
    """Other numbers are other content."""
    first, second = (order(qty=quantity) for quantity in quantities)
    assert first.fingerprint() != second.fingerprint()


@pytest.mark.parametrize(
    ("category", "order_type", "side", "unit", "expected"),
    [
        ("spot", "Market", "Buy", None, True),
        ("spot", "Market", "Sell", None, False),
        ("spot", "Market", "Buy", "quoteCoin", True),
        ("spot", "Market", "Buy", "baseCoin", False),
        ("spot", "Market", "Sell", "quoteCoin", True),
        ("spot", "Market", "Sell", "baseCoin", False),
        ("spot", "Limit", "Buy", None, False),
        ("linear", "Market", "Buy", None, False),
        ("inverse", "Market", "Buy", None, False),
        ("option", "Market", "Buy", None, False),
    ],
)
def test_is_quote_amount_only_of_spot_market_orders(category, order_type, side, unit, expected):
    """A spot market buy is by quote amount, unless it says otherwise; nothing outside spot is."""
    assert expected is order(category=category, order_type=order_type, side=side, market_unit=unit).is_quote_amount


def test_market_order_needs_no_price():
    """A Market order has none."""
    assert market().price is None


def test_due_at_is_kept_in_utc():
    """One time zone from here on."""
    due_at = order(due_at="2026-12-01T09:00:00+01:00").due_at
    assert due_at is not None
    assert (datetime(2026, 12, 1, 8, tzinfo=UTC), timedelta(0)) == (due_at, due_at.utcoffset())
