"""Instrument rules: what the exchange demands of quantities and prices, and how orders are fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sluicegate.domain.errors import OrderDenied
from sluicegate.domain.numbers import is_multiple, plain, round_down
from sluicegate.domain.orders import AmendRequest, Category, MarketUnit, OnStep, OrderRequest, OrderType, Side

OPTION_COINS = ("BTC", "ETH", "SOL", "XRP", "MNT", "DOGE")
"""Base coins with options: lists of them default to BTC alone. Source: Bybit V5 instruments-info, 2026-07-24."""


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """The limits of one instrument. None means that the exchange sets no such limit.

    Attributes:
        settle_coin: the coin in which profit and margin are kept; the quote coin for spot.
        qty_step: quantities are multiples of it, in the instrument's unit (inverse: contracts of 1 USD).
        quote_step: amounts of a spot order by quote coin are multiples of it.
        min_notional: smallest order value, in quote coin.

    Source: Bybit V5 `GET /v5/market/instruments-info`, docs of 2026-07-24.
    """

    category: Category
    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    qty_step: Decimal
    tick_size: Decimal
    quote_step: Decimal | None = None
    min_qty: Decimal | None = None
    max_limit_qty: Decimal | None = None
    max_market_qty: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    min_notional: Decimal | None = None

    def notional(self, request: OrderRequest, last_price: Decimal) -> Decimal:
        """Return the value of an order in quote coin (inverse: in USD).

        Args:
            request: the order; a limit price counts before the last price, except that a sell below the market
                is worth what the market pays.
            last_price: the market's last price, quote coin per unit.
        """
        if request.is_quote_amount or self.category is Category.INVERSE:
            return request.qty
        price = _limit_price(request)
        if price is None or (request.side is Side.SELL and price < last_price):
            price = last_price
        return request.qty * price


def _limit_price(request: OrderRequest) -> Decimal | None:
    """Return the price that binds; the exchange ignores the one of a Market order."""
    return None if request.order_type is OrderType.MARKET else request.price


def _denied(message: str, reason: str, fix: str) -> OrderDenied:
    return OrderDenied(message, reason=reason, fix=fix)


def fit(request: OrderRequest, rules: InstrumentRules) -> OrderRequest:
    """Fit an order to its instrument, or say why it does not fit.

    Args:
        request: the order as the producer wrote it.
        rules: of the same category and symbol.

    Returns:
        The order as it goes out: quantity and prices on their steps, never more than was asked.

    Raises:
        OrderDenied: the exchange would refuse it; the text names the field, the limit and the fix.
    """
    _check_market(request, rules)
    qty = _fit_quantity(request, rules)
    update: dict[str, Any] = {"qty": qty}
    for name in ("price", "trigger_price", "take_profit", "stop_loss", "tp_limit_price", "sl_limit_price"):
        value = getattr(request, name)
        if value:  # None: not given; 0: "remove", on every step
            update[name] = _on_step(name, value, rules.tick_size, request.on_step, rules.symbol)
    if request.is_quote_amount:
        update["market_unit"] = MarketUnit.QUOTE
    fitted = request.model_copy(update=update)
    _check_price(fitted, rules)
    _check_size(fitted, rules)
    return fitted


def fit_amend(amend: AmendRequest, request: OrderRequest, rules: InstrumentRules) -> OrderRequest:
    """Return the order as it will stand after an amendment, fitted to its instrument.

    Raises:
        OrderDenied: the amended order would be refused.
    """
    return fit(request.model_copy(update=amend.changes()), rules)


def _check_market(request: OrderRequest, rules: InstrumentRules) -> None:
    if rules.status not in {"Trading", "PreLaunch"}:
        raise _denied(
            f"{request.symbol} is {rules.status}, not trading",
            "market_phase",
            "Choose an instrument whose status is Trading.",
        )
    if request.settle_coin is not None and request.settle_coin != rules.settle_coin:
        raise _denied(
            f"{request.category} {request.symbol} settles in {rules.settle_coin}, not {request.settle_coin}",
            "wrong_settle_coin",
            f"Drop settle_coin or set it to {rules.settle_coin}; for {request.settle_coin} margin choose a "
            f"symbol that settles in it (BTCUSDT settles in USDT, BTCPERP in USDC).",
        )


def _fit_quantity(request: OrderRequest, rules: InstrumentRules) -> Decimal:
    step = rules.quote_step or rules.qty_step if request.is_quote_amount else rules.qty_step
    if request.qty == 0:
        return request.qty
    return _on_step("qty", request.qty, step, request.on_step, rules.symbol)


def _on_step(name: str, value: Decimal, step: Decimal, on_step: OnStep, symbol: str) -> Decimal:
    if is_multiple(value, step):
        return value
    rounded = round_down(value, step)
    reason = "quantity_off_step" if name == "qty" else "price_off_tick"
    if on_step is OnStep.REJECT or rounded <= 0:
        below = plain(rounded) if rounded > 0 else "none"
        hint = ', or set on_step to "round_down"' if on_step is OnStep.REJECT and rounded > 0 else ""
        raise _denied(
            f"{name} {plain(value)} is not a multiple of {plain(step)}, the step of {symbol}",
            reason,
            f"Use a multiple of {plain(step)} (next below: {below}, next above: {plain(rounded + step)}){hint}.",
        )
    return rounded


def _check_price(request: OrderRequest, rules: InstrumentRules) -> None:
    price = _limit_price(request)
    if price is None:
        return
    low, high = rules.min_price, rules.max_price
    if (low is not None and price < low) or (high is not None and price > high):
        span = f"{plain(low) if low is not None else '0'} to {plain(high) if high is not None else 'no limit'}"
        raise _denied(
            f"price {plain(price)} is outside {span}, the range of {rules.symbol}",
            "price_out_of_bounds",
            f"Use a price from {span}.",
        )


def _check_size(request: OrderRequest, rules: InstrumentRules) -> None:
    qty, name = request.qty, rules.symbol
    if request.is_quote_amount:
        _check_notional(qty, rules)
        return
    if qty == 0:
        return
    if rules.min_qty is not None and qty < rules.min_qty:
        raise _denied(
            f"qty {plain(qty)} is below {plain(rules.min_qty)}, the minimum of {name}",
            "quantity_out_of_bounds",
            f"Use at least {plain(rules.min_qty)}.",
        )
    is_market = request.order_type is OrderType.MARKET
    largest = rules.max_market_qty if is_market else rules.max_limit_qty
    if largest is not None and qty > largest:
        kind = "market" if is_market else "limit"
        raise _denied(
            f"qty {plain(qty)} is above {plain(largest)}, the maximum of a {kind} order in {name}",
            "quantity_out_of_bounds",
            f"Split it into orders of at most {plain(largest)}.",
        )
    price = _limit_price(request)
    if price is not None and not request.reduce_only and rules.category is not Category.INVERSE:
        _check_notional(qty * price, rules)


def _check_notional(notional: Decimal, rules: InstrumentRules) -> None:
    if rules.min_notional is not None and notional < rules.min_notional:
        raise _denied(
            f"the order is worth {plain(notional)} {rules.quote_coin}, below the minimum of "
            f"{plain(rules.min_notional)} for {rules.symbol}",
            "notional_too_small",
            f"Raise qty or price until qty x price reaches {plain(rules.min_notional)} {rules.quote_coin}.",
        )
