"""How orders and executions look on the private topics."""

from __future__ import annotations

from typing import NamedTuple

from simulator.instruments import ZERO
from simulator.orders import Execution, Order, execution_view, order_view, text
from simulator.wire import Json

_FAST_FIELDS = (
    "category",
    "symbol",
    "execId",
    "execPrice",
    "execQty",
    "orderId",
    "isMaker",
    "orderLinkId",
    "side",
    "execTime",
    "seq",
)


class Event(NamedTuple):
    """One row of a private topic.

    Args:
        kind: `order`, `execution`, `position` or `wallet`.
        category: Of the row; empty for a wallet.
        row: Under Bybit's names.
    """

    kind: str
    category: str
    row: Json


def order_event(order: Order) -> Event:
    """Show an order as the topic `order` does: as REST does, and a little more."""
    row = {"category": order.category, **order_view(order), "feeCurrency": order.fee_coin}
    row["closedPnl"] = text(sum((fill.profit for fill in order.executions or ()), ZERO))
    if order.category == "option":
        row.pop("createType", None)
    return Event("order", order.category, row)


def execution_event(execution: Execution) -> Event:
    """Show a fill as the topic `execution` does."""
    order = execution.order
    extra = order.extra or {}
    row = {
        "category": order.category,
        **execution_view(execution),
        "isLeverage": extra.get("isLeverage", "0") if order.category == "spot" else "0",
        "execPnl": text(execution.profit),
        "marketUnit": extra.get("marketUnit", ""),
        "extraFees": [],  # a list here, a string in REST
    }
    return Event("execution", order.category, row)


def fast_row(row: Json) -> Json:
    """Shorten an execution to what the topic `execution.fast` carries."""
    return {name: row[name] for name in _FAST_FIELDS}
