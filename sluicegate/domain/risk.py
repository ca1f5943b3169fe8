"""Risk limits of an account: the last look before an order goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sluicegate.domain.errors import OrderDenied
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import OrderRequest, Side

DEFAULT_PRICE_COLLAR = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What one account may do. None means no limit.

    Attributes:
        max_qty: largest quantity of one order, in the instrument's unit; an amount of quote coin counts at the
            last price.
        max_notional: largest value of one order, in quote coin (inverse: USD).
        max_orders_per_minute: orders accepted in any 60 seconds.
        symbols: the only symbols that may be traded; empty for all.
        max_position: largest position by symbol, long or short, in the instrument's unit; orders that may still
            trade count as if they had. Not for spot, which has no positions.
        price_collar: how far a price or trigger price may lie from the last price, as a fraction of it
            (0.05 = 5 %). There is always one: a price with a digit too many is the costliest typing error.
    """

    max_qty: Decimal | None = None
    max_notional: Decimal | None = None
    max_orders_per_minute: int | None = None
    symbols: frozenset[str] = frozenset()
    max_position: Mapping[str, Decimal] = field(default_factory=dict)
    price_collar: Decimal = DEFAULT_PRICE_COLLAR


@dataclass(frozen=True, slots=True)
class Holding:
    """What an order adds to, in the instrument's unit.

    Attributes:
        net: the position, negative for short.
        buying: what other orders may still buy.
        selling: what other orders may still sell.
    """

    net: Decimal
    buying: Decimal
    selling: Decimal


def check_position(request: OrderRequest, limits: RiskLimits, held: Holding, *, executed: Decimal) -> None:
    """Let an order pass that cannot make its position too large, whatever else trades before it.

    Args:
        request: the order, fitted to its instrument.
        limits: the account's limits.
        held: position and other orders.
        executed: how much of the order was executed already; the position has it.

    Raises:
        OrderDenied: with the limit and the position that could be.
    """
    limit = limits.max_position.get(request.symbol)
    if limit is None or request.reduce_only:
        return
    rest = max(request.qty - executed, Decimal(0))
    is_buy = request.side is Side.BUY
    size = held.net + held.buying + rest if is_buy else -held.net + held.selling + rest
    if size > limit:
        way = "long" if is_buy else "short"
        raise _denied(
            f"the position in {request.symbol} may become {plain(size)} {way}, above the limit of {plain(limit)}: "
            f"it is {plain(held.net)}, orders may buy {plain(held.buying)} and sell {plain(held.selling)} more",
            f"accounts.{request.account}.risk.max_position",
        )


def check(
    request: OrderRequest,
    rules: InstrumentRules,
    limits: RiskLimits,
    *,
    last_price: Decimal,
    orders_last_minute: int,
) -> None:
    """Let an order pass its account's limits, or say which one stops it.

    Args:
        request: the order, fitted to its instrument.
        rules: the instrument's rules.
        limits: the account's limits.
        last_price: last trade, quote coin per unit, not older than a few seconds.
        orders_last_minute: orders of this account accepted in the 60 s before and including this one.

    Raises:
        OrderDenied: with the limit, the value and the setting that holds it.
    """
    where = f"accounts.{request.account}.risk"
    if limits.symbols and request.symbol not in limits.symbols:
        raise _denied(
            f"{request.symbol} is not among the symbols that {request.account} may trade", f"{where}.symbols"
        )
    if last_price <= 0:
        raise OrderDenied(
            f"{request.symbol} has no last price, so nothing says what the order is worth",
            reason="risk_limit",
            fix=f"Wait for the first trade in {request.symbol}, or choose another symbol.",
        )
    qty = request.qty / last_price if request.is_quote_amount else request.qty
    if limits.max_qty is not None and qty > limits.max_qty:
        raise _denied(f"qty {qty:f} is above the limit of {plain(limits.max_qty)}", f"{where}.max_qty")
    notional = rules.notional(request, last_price)
    if limits.max_notional is not None and notional > limits.max_notional:
        raise _denied(
            f"the order is worth {plain(notional)}, above the limit of {plain(limits.max_notional)}",
            f"{where}.max_notional",
        )
    if limits.max_orders_per_minute is not None and orders_last_minute > limits.max_orders_per_minute:
        raise _denied(
            f"{orders_last_minute} orders within a minute, above the limit of {limits.max_orders_per_minute}",
            f"{where}.max_orders_per_minute",
        )
    _check_collar(request, limits.price_collar, last_price, where)


def _check_collar(request: OrderRequest, collar: Decimal, last_price: Decimal, where: str) -> None:
    for name, price in (("price", request.price), ("trigger_price", request.trigger_price)):
        if price is None:
            continue
        deviation = abs(price - last_price) / last_price
        if deviation > collar:
            raise _denied(
                f"{name} {plain(price)} is {deviation:.1%} away from the last price {plain(last_price)}, "
                f"the collar is {collar:.1%}",
                f"{where}.price_collar",
            )


def _denied(message: str, setting: str) -> OrderDenied:
    return OrderDenied(
        message, reason="risk_limit", fix=f"Change the order, or raise {setting} if the limit is too narrow."
    )
