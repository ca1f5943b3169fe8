"""Create, amend, cancel, cancel-all: checked and acknowledged here, done by the matcher later."""

from __future__ import annotations

from decimal import Decimal

from simulator.accounts import Account
from simulator.codes import bad_parameter, codes_of
from simulator.entry import check_price, check_qty, check_trigger, read_order
from simulator.exchange import Call, Exchange
from simulator.instruments import Instrument
from simulator.memory import is_remembered
from simulator.orders import Order, Status
from simulator.parameters import category_of, instrument_of, number_of, text_of
from simulator.wire import Json, Refusal, Reply

_AMENDABLE = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice", "tpTriggerBy", "slTriggerBy", "orderIv")


def ids_of(order: Order) -> Json:
    """Return all that an acknowledgement tells about an order."""
    return {"orderId": order.id, "orderLinkId": order.link_id}


def create(call: Call) -> Reply:
    """Acknowledge a new order."""
    return Reply(ids_of(accept_order(call.exchange, call.account, call.params)))


def accept_order(exchange: Exchange, account: Account, params: Json) -> Order:
    """Check a new order, reserve what it needs, remember it and hand it to the matcher."""
    order = read_order(exchange, account, params)
    is_paid_later = order.is_waiting and order.order_filter != "tpslOrder"
    if not is_paid_later:
        exchange.margin.hold(account, order)
    exchange.admit_order(account, order)
    return order


def amend(call: Call) -> Reply:
    """Acknowledge a change of an open order."""
    return Reply(ids_of(accept_amend(call.exchange, call.account, call.params)))


def accept_amend(exchange: Exchange, account: Account, params: Json) -> Order:
    """Check a change and hand it to the matcher."""
    order = find_open(exchange, account, params)
    codes = codes_of(order.category)
    change: dict[str, Decimal] = {}
    price = number_of(params, "price")
    if price is not None and order.kind == "Limit":
        change["price"] = check_price(exchange, order, price)
    qty = number_of(params, "qty")
    if qty is not None:
        if qty <= order.executed_qty:
            raise Refusal(codes.amended_below_filled, "the new qty must be greater than what is filled")
        change["qty"] = check_qty(exchange, order, qty, codes)
    trigger_price = number_of(params, "triggerPrice")
    if trigger_price and order.trigger:
        if order.category != "spot":
            check_trigger(exchange, order, trigger_price, rising=order.trigger.rising)
        change["trigger_price"] = trigger_price
    extra = {name: text_of(params, name) for name in _AMENDABLE if params.get(name)}
    if not change and not extra:
        raise bad_parameter("nothing to amend: give qty, price, triggerPrice or TP/SL")
    exchange.check_amend(account, order, change)
    exchange.matching.amend(order, change, extra)
    return order


def cancel(call: Call) -> Reply:
    """Acknowledge the cancel of an open order."""
    return Reply(ids_of(accept_cancel(call.exchange, call.account, call.params)))


def accept_cancel(exchange: Exchange, account: Account, params: Json) -> Order:
    """Check a cancel and hand it to the matcher."""
    order = find_open(exchange, account, params)
    exchange.matching.cancel(order)
    return order


def find_open(exchange: Exchange, account: Account, params: Json) -> Order:
    """Return the open order a call names; orderId wins over orderLinkId.

    Raises:
        Refusal: The order is unknown, forgotten, or has ended.
    """
    category = category_of(params)
    instrument = instrument_of(exchange.instruments, category, params)
    order_id, link_id = text_of(params, "orderId"), text_of(params, "orderLinkId")
    if not order_id and not link_id:
        raise bad_parameter("orderId or orderLinkId is required")
    codes = codes_of(category)
    order = account.by_id.get(order_id) if order_id else account.links.get(link_id)
    if order is None or order.instrument is not instrument or not _passes_filter(order, params):
        raise Refusal(codes.unknown, "order not exists or too late to cancel")
    if order.is_open:
        return order
    if order.status == Status.FILLED:
        raise Refusal(codes.filled, "the order has been completed")
    if order.status == Status.REJECTED or not is_remembered(order, exchange.clock.now_ms()):
        raise Refusal(codes.unknown, "order not exists or too late to cancel")
    raise Refusal(codes.cancelled, "the order has been cancelled")


def _passes_filter(order: Order, params: Json) -> bool:
    """A spot stop or TP/SL order that still waits is found only under its own orderFilter."""
    if order.category != "spot" or not order.is_waiting:
        return True
    return order.sorts_as == (text_of(params, "orderFilter") or "Order")


def cancel_all(call: Call) -> Reply:
    """Acknowledge the cancel of every open order of a symbol, base coin, settle coin or category."""
    params, account = call.params, call.account
    category = category_of(params)
    symbol, base, settle = (text_of(params, name) for name in ("symbol", "baseCoin", "settleCoin"))
    if category in ("linear", "inverse") and not (symbol or base or settle):
        raise bad_parameter("symbol, baseCoin or settleCoin is required")
    instrument = instrument_of(call.exchange.instruments, category, params) if symbol else None
    wanted = text_of(params, "orderFilter") or ("Order" if category == "spot" else "")
    found = [
        order
        for order in account.open[category].values()  # type: ignore[index]
        if _is_meant(order, instrument, base, settle if category != "spot" else "") and _is_wanted(order, wanted)
    ]
    for order in found:
        call.exchange.matching.cancel(order)
    return Reply({"list": [ids_of(order) for order in found], "success": "1"})


def _is_meant(order: Order, instrument: Instrument | None, base: str, settle: str) -> bool:
    if instrument is not None:
        return order.instrument is instrument
    if base:
        return order.instrument.base == base
    return not settle or order.instrument.settle == settle


def _is_wanted(order: Order, wanted: str) -> bool:
    if wanted == "OpenOrder":
        return not order.is_waiting
    if not wanted:
        return True
    return (order.sorts_as if order.is_waiting else "Order") == wanted
