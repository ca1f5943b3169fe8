"""Orders and executions, and how they look to a client."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from simulator.instruments import ZERO, Category, Instrument
from simulator.wire import Json

Side = Literal["Buy", "Sell"]


class Status(StrEnum):
    """Where an order stands; the words are Bybit's, but for `Created`: acknowledged, not yet with the matcher.

    `Triggered` lasts for one push: the order is `New`, or ended, by the time anyone can ask.
    """

    CREATED = "Created"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    PARTIALLY_FILLED_CANCELLED = "PartiallyFilledCanceled"
    REJECTED = "Rejected"
    DEACTIVATED = "Deactivated"


OPEN = frozenset({Status.CREATED, Status.UNTRIGGERED, Status.TRIGGERED, Status.NEW, Status.PARTIALLY_FILLED})
FORGOTTEN_AFTER_A_DAY = frozenset({Status.CANCELLED, Status.REJECTED, Status.DEACTIVATED})


@dataclass(frozen=True, slots=True)
class Trigger:
    """The condition of a conditional order: the last price rises or falls to `price`."""

    price: Decimal
    rising: bool
    by: str

    def is_met(self, last: Decimal) -> bool:
        """Say whether this last price sets the order off."""
        return last >= self.price if self.rising else last <= self.price


@dataclass(slots=True, eq=False)
class Order:
    """One order the exchange has accepted.

    Args:
        number: Position in the sequence of all accepted orders.
        by_quote: Spot market order whose `qty` is an amount of the quote coin.
        held: Spot: coins locked; derivatives: initial margin in USD.
        closed_rank: How many orders of this account and category had closed before this one; -1 while open.
        visible_from_ns: Queries do not show the order before this monotonic reading.
        parent_link_id: The orderLinkId of the order that brought this take profit or stop loss along.
        extra: Optional parameters that are only echoed, under their wire names.
    """

    number: int
    id: str
    link_id: str
    uid: int
    instrument: Instrument
    side: Side
    kind: str
    qty: Decimal
    price: Decimal
    tif: str
    created_ms: int
    updated_ms: int
    position_idx: int = 0
    reduce_only: bool = False
    close_on_trigger: bool = False
    by_quote: bool = False
    trigger: Trigger | None = None
    order_filter: str = ""
    stop_type: str = ""
    create_type: str = "CreateByUser"
    status: Status = Status.CREATED
    executed_qty: Decimal = ZERO
    executed_value: Decimal = ZERO
    fee: Decimal = ZERO
    fee_coin: str = ""
    held: Decimal = ZERO
    last_on_create: Decimal = ZERO
    reject_reason: str = "EC_NoError"
    cancel_type: str = "UNKNOWN"
    closed_rank: int = -1
    visible_from_ns: int = 0
    executions: list[Execution] | None = None
    parent_link_id: str = ""
    extra: dict[str, str] | None = None

    @property
    def category(self) -> Category:
        """Return the category of the order's market."""
        return self.instrument.category

    @property
    def is_open(self) -> bool:
        """Say whether the order may still trade."""
        return self.status in OPEN

    @property
    def is_buy(self) -> bool:
        """Say whether the order buys."""
        return self.side == "Buy"

    @property
    def is_waiting(self) -> bool:
        """Say whether the order is conditional and its trigger has not been met."""
        return self.trigger is not None and self.status in (Status.CREATED, Status.UNTRIGGERED)

    @property
    def remaining(self) -> Decimal:
        """Return what is left to trade, in the unit of `qty`."""
        return self.qty - (self.executed_value if self.by_quote else self.executed_qty)

    @property
    def has_executed(self) -> bool:
        """Say whether anything of the order has traded."""
        return self.executed_qty > 0

    @property
    def sorts_as(self) -> str:
        """Return which `orderFilter` finds the order."""
        return self.order_filter or ("StopOrder" if self.stop_type else "Order")


@dataclass(slots=True, eq=False)
class Execution:
    """One fill of one order; `leaves` is what the order still had open after it.

    `kind` is Bybit's execType; a `Funding` fee belongs to an order that nobody placed.
    """

    id: str
    seq: int
    order: Order
    price: Decimal
    qty: Decimal
    value: Decimal
    fee: Decimal
    fee_coin: str
    fee_rate: Decimal
    is_maker: bool
    time_ms: int
    leaves: Decimal
    closed_size: Decimal = ZERO
    profit: Decimal = ZERO
    kind: str = "Trade"


def text(number: Decimal) -> str:
    """Write a number the way the exchange does: plain, without superfluous zeros."""
    if not number:
        return "0"
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def order_view(order: Order) -> Json:
    """Show an order as `realtime` and `history` do."""
    extra = order.extra or {}
    is_spot = order.category == "spot"
    view = {
        "orderId": order.id,
        "orderLinkId": order.link_id,
        "parentOrderLinkId": order.parent_link_id,
        "blockTradeId": "",
        "symbol": order.instrument.symbol,
        "price": text(order.price),
        "qty": text(order.qty),
        "side": order.side,
        "isLeverage": extra.get("isLeverage", "0") if is_spot else "",
        "positionIdx": order.position_idx,
        "orderStatus": order.status.value,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "timeInForce": order.tif,
        "orderType": order.kind,
        "orderIv": extra.get("orderIv", ""),
        "marketUnit": extra.get("marketUnit", ""),
        "slippageToleranceType": extra.get("slippageToleranceType", "UNKNOWN"),
        "slippageTolerance": extra.get("slippageTolerance", ""),
        "lastPriceOnCreated": text(order.last_on_create),
        "basePrice": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_on_trigger,
        "placeType": "",
        "smpType": extra.get("smpType", "None"),
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "extraFees": "",
        "rpiTakerAccess": False,
        "rpiMatchedQty": "",
    }
    if not is_spot:
        view["createType"] = order.create_type
    return view | _progress_view(order) | _stops_view(order, extra)


def _progress_view(order: Order) -> Json:
    """Show what has traded and what is left."""
    average = ""
    if order.has_executed:
        ratio = order.executed_value / order.executed_qty
        average = text(round_to_tick(1 / ratio if order.category == "inverse" else ratio, order.instrument))
    leaves = order.remaining if order.is_open else ZERO
    return {
        "avgPrice": average,
        "leavesQty": text(leaves),
        "leavesValue": text(order.instrument.value(leaves, order.price)),
        "cumExecQty": text(order.executed_qty),
        "cumExecValue": text(order.executed_value),
        "cumExecFee": text(order.fee),
        "cumFeeDetail": {order.fee_coin: text(order.fee)} if order.fee_coin else {},
    }


def _stops_view(order: Order, extra: dict[str, str]) -> Json:
    """Show the trigger, and the take profit and stop loss the order carries."""
    trigger = order.trigger
    echoed = (
        "takeProfit",
        "stopLoss",
        "tpslMode",
        "tpLimitPrice",
        "slLimitPrice",
        "tpTriggerBy",
        "slTriggerBy",
    )
    return {
        "stopOrderType": order.stop_type,
        "triggerPrice": text(trigger.price) if trigger else "",
        "triggerDirection": (1 if trigger.rising else 2) if trigger else 0,
        "triggerBy": trigger.by if trigger else "",
        "ocoTriggerBy": "",
        **{name: extra.get(name, "") for name in echoed},
    }


def execution_view(execution: Execution) -> Json:
    """Show a fill as `execution/list` does."""
    order = execution.order
    return {
        "symbol": order.instrument.symbol,
        "orderId": order.id,
        "orderLinkId": order.link_id,
        "side": order.side,
        "orderPrice": text(order.price),
        "orderQty": text(order.qty),
        "leavesQty": text(execution.leaves),
        "createType": "" if order.category == "spot" else order.create_type,
        "orderType": order.kind,
        "stopOrderType": order.stop_type or "UNKNOWN",
        "execFee": text(execution.fee),
        "execFeeV2": "",
        "feeCurrency": execution.fee_coin,
        "feeRate": text(execution.fee_rate),
        "execId": execution.id,
        "execPrice": text(execution.price),
        "execQty": text(execution.qty),
        "execValue": text(execution.value),
        "execType": execution.kind,
        "execTime": str(execution.time_ms),
        "isMaker": execution.is_maker,
        "closedSize": text(execution.closed_size),
        "seq": execution.seq,
        "markPrice": text(execution.price),
        "indexPrice": text(execution.price),
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "extraFees": "",
    }


def round_to_tick(price: Decimal, instrument: Instrument) -> Decimal:
    """Shorten an average price to two digits more than the market's tick."""
    return price.quantize(instrument.tick.scaleb(-2))
