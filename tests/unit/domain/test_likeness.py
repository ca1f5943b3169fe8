"""An order under our link id is ours only if it is what was asked for; what Bybit changes itself is no matter."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sluicegate.domain.instruments import fit
from sluicegate.domain.likeness import as_sent, differences
from sluicegate.domain.orders import OrderRequest
from sluicegate.domain.records import Sighting
from tests.unit.domain import examples


def shown(request: OrderRequest, **changes: Any) -> Sighting:
    """Return an order as Bybit shows it, changed by some fields."""
    is_market = request.order_type.value == "Market"
    fields: dict[str, Any] = {
        "link_id": "sg-O-1",
        "exchange_order_id": "x-1",
        "symbol": request.symbol,
        "side": request.side.value,
        "status": "New",
        "qty": request.qty,
        "price": Decimal("61234.5") if is_market else request.price,
        "cum_exec_qty": Decimal(0),
        "avg_price": None,
        "order_type": request.order_type.value,
        "time_in_force": "IOC" if is_market else (request.time_in_force or "GTC"),
        "trigger_price": request.trigger_price,
        "reduce_only": bool(request.reduce_only),
        "position_idx": request.position_idx or 0,
        "last_price_on_create": Decimal(60500),
        "take_profit": request.take_profit or Decimal(0),
        "stop_loss": request.stop_loss or Decimal(0),
    }
    return Sighting(**{**fields, **changes})


REQUESTS = {
    "limit": examples.order(),
    "post-only": examples.order(time_in_force="PostOnly"),
    "market": examples.market(),
    "conditional": examples.order(trigger_price="61000", trigger_direction=1),
    "reduce-only": examples.order(side="Sell", reduce_only=True),
    "hedge": examples.order(position_idx=1),
    "rounded": examples.order(qty="0.0129", on_step="round_down"),
    "stops": examples.order(take_profit="64000", stop_loss="58000"),
    "conditional stops": examples.market(trigger_price="61000", trigger_direction=1, stop_loss="58000"),
    "spot": examples.order(category="spot"),
    "spot by quote": examples.market(category="spot", qty="500"),
    "spot stop": examples.order(category="spot", order_filter="StopOrder", trigger_price="61000"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_order_as_asked_has_no_differences(name: str) -> None:
    """What was asked is shown, in Bybit's words."""
    request = REQUESTS[name]
    assert [] == differences(request, shown(request), {})


@pytest.mark.parametrize("name", REQUESTS)
def test_order_of_which_little_is_shown_has_no_differences(name: str) -> None:
    """What is not shown is not compared."""
    request = REQUESTS[name]
    nothing = {"order_type": "", "time_in_force": "", "trigger_price": None, "reduce_only": None}
    stops = {"take_profit": None, "stop_loss": None}
    seen = shown(request, **nothing, **stops, position_idx=None, last_price_on_create=None)
    assert [] == differences(request, seen, {})


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("limit", {"side": "Sell"}, "side"),
        ("limit", {"symbol": "ETHUSDT"}, "symbol"),
        ("limit", {"order_type": "Market"}, "order_type"),
        ("limit", {"qty": Decimal("0.02")}, "qty"),
        ("limit", {"qty": Decimal("0.009")}, "qty"),
        ("limit", {"price": Decimal(59000)}, "price"),
        ("limit", {"price": Decimal(60100)}, "price"),
        ("limit", {"time_in_force": "PostOnly"}, "time_in_force"),
        ("limit", {"trigger_price": Decimal(61000)}, "trigger_price"),
        ("limit", {"reduce_only": True}, "reduce_only"),
        ("post-only", {"time_in_force": "GTC"}, "time_in_force"),
        ("market", {"qty": Decimal(1)}, "qty"),
        ("market", {"order_type": "Limit"}, "order_type"),
        ("conditional", {"trigger_price": Decimal(62000)}, "trigger_price"),
        ("rounded", {"qty": Decimal("0.006")}, "qty"),
        ("rounded", {"qty": Decimal("0.013")}, "qty"),
        ("rounded", {"price": Decimal(30000)}, "price"),
        ("stops", {"take_profit": Decimal(65000)}, "take_profit"),
        ("stops", {"stop_loss": Decimal(0)}, "stop_loss"),
        ("conditional stops", {"status": "Untriggered", "stop_loss": Decimal(57000)}, "stop_loss"),
        ("reduce-only", {"reduce_only": False}, "reduce_only"),
        ("reduce-only", {"qty": Decimal("0.02")}, "qty"),
        ("hedge", {"position_idx": 2}, "position_idx"),
        ("spot", {"price": Decimal(59999)}, "price"),
        ("spot by quote", {"side": "Sell"}, "side"),
        ("spot stop", {"trigger_price": Decimal(60900)}, "trigger_price"),
    ],
)
def test_order_that_differs_is_told_by_the_field(name: str, changes: dict[str, Any], word: str) -> None:
    """Any field that was asked otherwise makes it another's order, and is named."""
    [found] = differences(REQUESTS[name], shown(REQUESTS[name], **changes), {})
    assert found.startswith(f"{word} ")


@pytest.mark.parametrize(
    ("request_", "changes"),
    [
        (REQUESTS["market"], {"price": Decimal("63000.1")}),  # the price of the internal IOC limit
        (REQUESTS["spot by quote"], {"qty": Decimal("0.00832"), "price": None}),
        (examples.order(price="66000"), {"price": Decimal(62000)}),  # moved down to the edge of the price band
        (examples.order(side="Sell", price="50000"), {"price": Decimal(59000)}),
        (examples.order(qty="0.0129", on_step="round_down"), {"qty": Decimal("0.012")}),
        (examples.order(price="60000.07", on_step="round_down"), {"price": Decimal("60000.00")}),
        (REQUESTS["stops"], {"status": "Filled", "take_profit": Decimal(0)}),  # gone over to the position
        (REQUESTS["stops"], {"status": "PartiallyFilled", "stop_loss": Decimal(57000)}),
        (REQUESTS["conditional stops"], {"stop_loss": Decimal(0)}),  # a Market order at work
        (REQUESTS["limit"], {"stop_loss": Decimal(58000)}),  # a person may attach one
        (examples.order(take_profit="0"), {"take_profit": Decimal(64000)}),
        (examples.order(stop_loss="58000", tpsl_mode="Partial"), {"stop_loss": Decimal(0)}),
        (examples.order(category="spot", stop_loss="58000"), {"stop_loss": Decimal(0)}),
        (examples.order(stop_loss="58000.07", on_step="round_down"), {"stop_loss": Decimal("58000.00")}),
        (REQUESTS["reduce-only"], {"qty": Decimal("0.004")}),  # the position shrank meanwhile
        (
            examples.market(side="Sell", qty="0", reduce_only=True, close_on_trigger=True),
            {"qty": Decimal("1.3")},  # the whole position
        ),
        (examples.order(side="Sell", position_idx=1), {"reduce_only": True, "position_idx": 1}),
        (examples.order(side="Sell", close_on_trigger=True), {"reduce_only": True}),
        (
            examples.order(category="option", symbol="BTC-25DEC26-67000-C-USDT", order_iv="0.6"),
            {"price": Decimal(4200)},
        ),
    ],
)
def test_what_bybit_changes_by_itself_is_no_difference(request_: OrderRequest, changes: dict[str, Any]) -> None:
    """Rounding, quote amounts, shrunken reduce-only orders and the price band raise no false alarm."""
    assert [] == differences(request_, shown(request_, **changes), {})


def test_amends_of_ours_explain_differences() -> None:
    """Whatever the order ever was, or may have become, is ours; nothing between."""
    request = examples.order(trigger_price="61000", trigger_direction=1)
    ever = {
        "qty": {Decimal("0.02")},
        "price": {Decimal(59100), Decimal(59200)},
        "trigger_price": {Decimal(61500)},
    }
    for change in (
        {"qty": Decimal("0.02")},
        {"price": Decimal(59200), "trigger_price": Decimal(61500)},
    ):
        assert [] == differences(request, shown(request, **change), ever)
    assert [] != differences(request, shown(request, price=Decimal(59150)), ever)


def test_what_was_sent_is_compared_exactly() -> None:
    """Once the ledger knows what rounding made of an order, nothing else that is less passes for it."""
    request = examples.order(
        qty="0.0129", price="60000.07", trigger_price="61000.07", trigger_direction=1, on_step="round_down"
    )
    fitted = fit(request, examples.rules())
    ever = {name: {Decimal(value)} for name, value in as_sent(fitted).items()}
    seen = shown(fitted)
    assert [] == differences(request, seen, ever, is_sent_known=True)
    for name in ("qty", "price", "trigger_price"):
        less = replace(seen, **{name: getattr(seen, name) * Decimal("0.9")})
        assert [] == differences(request, less, ever)
        [found] = differences(request, less, ever, is_sent_known=True)
        assert found.startswith(f"{name} ")


def test_stops_that_an_amend_of_ours_set_or_removed_are_no_difference() -> None:
    """An amend whose answer was lost may have moved the stop, or taken it away."""
    request = REQUESTS["stops"]
    ever = {"take_profit": {Decimal(65000)}, "stop_loss": {Decimal(0)}}
    seen = shown(request, take_profit=Decimal(65000), stop_loss=Decimal(0))
    assert [] == differences(request, seen, ever)
    assert [] != differences(request, replace(seen, take_profit=Decimal(0)), ever)
