"""From the parameters of create to an order that may be acknowledged."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.accounts import Account, counting_keys
from simulator.codes import Codes, bad_parameter, codes_of
from simulator.instruments import ZERO, Instrument
from simulator.orders import Order, Side, Trigger
from simulator.parameters import (
    category_of,
    flag_of,
    instrument_of,
    link_id_of,
    number_of,
    text_of,
    whole_number_of,
)
from simulator.wire import Json, Refusal

if TYPE_CHECKING:
    from simulator.exchange import Exchange

_ECHOED = frozenset({
    "isLeverage", "marketUnit", "slippageToleranceType", "slippageTolerance", "orderIv", "takeProfit", "stopLoss",
    "tpslMode", "tpLimitPrice", "slLimitPrice", "tpTriggerBy", "slTriggerBy", "tpOrderType", "slOrderType",
    "smpType",
})  # fmt: skip
_ECHOED_NUMBERS = frozenset({"takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice", "orderIv"})
_TIFS = frozenset({"GTC", "IOC", "FOK", "PostOnly"})
_TRIGGER_PRICES = frozenset({"LastPrice", "IndexPrice", "MarkPrice"})
_SPOT_FILTERS = frozenset({"", "Order", "tpslOrder", "StopOrder"})


def read_order(exchange: Exchange, account: Account, params: Json) -> Order:
    """Check the parameters of a new order and build it; nothing is reserved or remembered yet.

    Raises:
        Refusal: With the code of the first rule the parameters break.
    """
    category = category_of(params)
    codes = codes_of(category)
    instrument = instrument_of(exchange.instruments, category, params)
    if instrument.status != "Trading":
        raise Refusal(codes.not_open, f"{instrument.symbol} is not open for trading")
    order = _skeleton(exchange, account, instrument, params, codes)
    _read_position(account, order, params)
    _read_trigger(exchange, order, params)
    _read_sizes(exchange, account, order, params)
    _read_slippage(order, params)
    if order.reduce_only and (params.get("takeProfit") or params.get("stopLoss")):
        raise bad_parameter("a reduce-only order takes no takeProfit or stopLoss")
    if order.link_id and order.link_id in account.links:
        raise Refusal(
            codes.duplicate, "OrderLinkedID is duplicate" if category != "spot" else "Duplicate clientOrderId."
        )
    _check_caps(exchange, account, order)
    return order


def _skeleton(exchange: Exchange, account: Account, instrument: Instrument, params: Json, codes: Codes) -> Order:
    side: Side | None = {"Buy": "Buy", "Sell": "Sell"}.get(text_of(params, "side"))  # type: ignore[assignment]
    if side is None:
        raise Refusal(codes.side, "Side invalid")
    kind = text_of(params, "orderType")
    if kind not in ("Market", "Limit"):
        raise Refusal(codes.order_type, "OrderType invalid")
    tif = text_of(params, "timeInForce") or "GTC"
    if tif not in _TIFS:
        raise Refusal(codes.tif, "timeInForce invalid")
    now_ms = exchange.clock.now_ms()
    extra = {name: str(params[name]) for name in params.keys() & _ECHOED if params[name] not in (None, "")}
    for name in extra.keys() & _ECHOED_NUMBERS:
        number_of(params, name)
    return Order(
        number=0,
        id="",
        link_id=link_id_of(params, required=instrument.category == "option"),
        uid=account.uid,
        instrument=instrument,
        side=side,
        kind=sys.intern(kind),
        qty=ZERO,
        price=ZERO,
        tif="IOC" if kind == "Market" else sys.intern(tif),
        created_ms=now_ms,
        updated_ms=now_ms,
        last_on_create=exchange.market.last(instrument),
        extra=extra or None,
    )


def _read_position(account: Account, order: Order, params: Json) -> None:
    if order.category == "spot":
        return
    order.reduce_only = flag_of(params, "reduceOnly")
    order.close_on_trigger = flag_of(params, "closeOnTrigger")
    if order.category == "option":
        return
    idx = whole_number_of(params, "positionIdx", 0)
    if idx not in ((1, 2) if account.is_hedged(order.instrument) else (0,)):
        raise Refusal(10001, "position idx not match position mode")
    order.position_idx = idx
    if idx and (idx == 1) != order.is_buy:
        order.reduce_only = True  # in hedge mode the other side can only close


def _read_trigger(exchange: Exchange, order: Order, params: Json) -> None:
    price = number_of(params, "triggerPrice")
    if order.category == "spot":
        _read_spot_filter(exchange, order, params, price)
        return
    if not price:
        return
    if order.category == "option":
        raise bad_parameter("options have no conditional orders")
    by = text_of(params, "triggerBy") or "LastPrice"
    if by not in _TRIGGER_PRICES:
        raise bad_parameter("triggerBy must be LastPrice, IndexPrice or MarkPrice")
    direction = whole_number_of(params, "triggerDirection", 0)
    if direction not in (1, 2):
        raise bad_parameter("triggerDirection must be 1 (rises to) or 2 (falls to)")
    check_trigger(exchange, order, price, rising=direction == 1)
    order.trigger = Trigger(price, direction == 1, by)
    order.stop_type = "Stop"


def _read_spot_filter(exchange: Exchange, order: Order, params: Json, price: Decimal | None) -> None:
    chosen = text_of(params, "orderFilter")
    if chosen not in _SPOT_FILTERS:
        raise Refusal(170201, "Invalid orderFilter parameter.")
    if not price:
        if chosen in ("tpslOrder", "StopOrder"):
            raise Refusal(170202, "Please enter the TP/SL price.")
        return
    order.order_filter = chosen if chosen == "tpslOrder" else "StopOrder"
    order.stop_type = "tpslOrder" if chosen == "tpslOrder" else "Stop"
    order.trigger = Trigger(price, price > exchange.market.last(order.instrument), "LastPrice")


def check_trigger(exchange: Exchange, order: Order, price: Decimal, *, rising: bool) -> None:
    """Refuse a trigger price on the wrong side of the market (110092, 110093)."""
    last = exchange.market.last(order.instrument)
    if rising and price <= last:
        raise Refusal(110092, f"expect Rising, but trigger_price[{price}] <= current[{last}]")
    if not rising and price >= last:
        raise Refusal(110093, f"expect Falling, but trigger_price[{price}] >= current[{last}]")


def _read_sizes(exchange: Exchange, account: Account, order: Order, params: Json) -> None:
    codes = codes_of(order.category)
    qty = number_of(params, "qty")
    if qty is None:
        raise bad_parameter("qty is required")
    if order.reduce_only:
        closable = account.position(order.instrument, order.position_idx).closable(is_buy=order.is_buy)
        if not order.trigger and closable <= 0:
            raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
        if not qty and order.close_on_trigger:
            qty = closable
        if not order.trigger:
            qty = min(qty, closable)
    if order.kind == "Limit":
        price = number_of(params, "price")
        if price is None:
            raise bad_parameter("price is required for a limit order")
        order.price = check_price(exchange, order, price)
    order.by_quote = _is_by_quote(order, params)
    order.qty = check_qty(exchange, order, qty, codes)


def _is_by_quote(order: Order, params: Json) -> bool:
    if order.category != "spot" or order.kind != "Market":
        return False
    unit = text_of(params, "marketUnit") or ("quoteCoin" if order.is_buy else "baseCoin")
    if unit not in ("baseCoin", "quoteCoin"):
        raise bad_parameter("marketUnit must be baseCoin or quoteCoin")
    order.extra = {**(order.extra or {}), "marketUnit": unit}
    return unit == "quoteCoin"


def check_price(exchange: Exchange, order: Order, price: Decimal) -> Decimal:
    """Return the limit price the exchange takes; beyond the band futures are moved to its edge, spot is refused.

    Raises:
        Refusal: Off the tick, out of bounds, or (depending on the account's setting) outside the band.
    """
    instrument, codes = order.instrument, codes_of(order.category)
    if price < instrument.min_price or price > instrument.max_price:
        raise Refusal(codes.price_min, "price is outside the range of this symbol")
    if price % instrument.tick:
        raise Refusal(codes.price_tick, f"price is not a multiple of the tick size {instrument.tick}")
    if order.category == "option":
        return price
    edge = exchange.market.highest_buy(instrument) if order.is_buy else exchange.market.lowest_sell(instrument)
    if (price <= edge) if order.is_buy else (price >= edge):
        return price
    if exchange.accounts[order.uid].moves_price[order.category]:
        return edge
    if order.category == "spot":
        if order.is_buy:
            raise Refusal(170193, f"Buy order price cannot be higher than {edge}.")
        raise Refusal(170194, f"Sell order price cannot be lower than {edge}.")
    raise Refusal(110121 if order.is_buy else 110120, f"order price is beyond the price limit {edge}")


def check_qty(exchange: Exchange, order: Order, qty: Decimal, codes: Codes) -> Decimal:
    """Return the quantity if the instrument allows it.

    Raises:
        Refusal: Off the step, too small, too large, or worth too little.
    """
    instrument = order.instrument
    step, step_code = instrument.step, codes.qty_step
    if order.by_quote:
        step, step_code = instrument.quote_step, codes.amount_step
    is_spot = order.category == "spot"
    if not qty or (not is_spot and qty < instrument.min_qty):
        raise Refusal(codes.qty_min, f"qty is below the minimum {instrument.min_qty}")
    if qty % step:
        raise Refusal(step_code, f"qty is not a multiple of the step {step}")
    price = order.price or exchange.market.last(instrument)
    largest = instrument.max_market_qty if order.kind == "Market" else instrument.max_qty
    if (qty / price if order.by_quote else qty) > largest:
        raise Refusal(codes.qty_max, f"qty is above the maximum {largest}")
    value = qty if order.by_quote else qty * price
    if value < instrument.min_value and not order.reduce_only:
        raise Refusal(codes.value_min, f"order value is below the minimum {instrument.min_value}")
    return qty


def _read_slippage(order: Order, params: Json) -> None:
    kind = text_of(params, "slippageToleranceType")
    if not kind:
        return
    amount = number_of(params, "slippageTolerance")
    if kind not in ("TickSize", "Percent") or amount is None:
        raise bad_parameter("slippageToleranceType must be TickSize or Percent, with a slippageTolerance")
    if order.kind != "Market" or order.trigger:
        raise bad_parameter("slippageTolerance is for plain market orders")
    if kind == "TickSize" and (not 1 <= amount <= 10000 or amount % 1):
        raise Refusal(110108, "Allowable range: 1 to 10000 tick size")
    if kind == "Percent" and (not Decimal("0.01") <= amount <= 10 or amount % Decimal("0.01")):
        raise Refusal(110109, "Allowable range: 0.01% to 10%")


def _check_caps(exchange: Exchange, account: Account, order: Order) -> None:
    """Refuse an order beyond the number of open orders an account may have."""
    caps = exchange.config.caps
    bounds = {
        "all": (caps.spot, 170810),
        "tpslOrder": (caps.spot_conditional, 170810),
        "StopOrder": (caps.spot_conditional, 170810),
        "option": (caps.option, 110020),
        "conditional": (caps.conditional, 110009),
        "active": (caps.active, 110020),
    }
    for key in counting_keys(order):
        cap, code = bounds[key[1]]
        if account.active[key] >= cap:
            raise Refusal(code, f"not more than {cap} open orders of this kind are allowed")
