"""Ledger and exchange side by side: each order exactly once, or not at all, as its state says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Order, OrderType

STATUSES: Final[Mapping[State, frozenset[str]]] = {
    State.LIVE: frozenset({"New", "Untriggered", "Triggered"}),
    State.PARTIALLY_FILLED: frozenset({"PartiallyFilled"}),
    State.FILLED: frozenset({"Filled"}),
    State.CANCELLED: frozenset({"Cancelled", "PartiallyFilledCanceled", "Deactivated"}),
    State.REJECTED: frozenset({"Rejected"}),
}
"""The exchange's statuses that agree with a state of ours."""

NEVER_THERE: Final = frozenset({State.ACCEPTED, State.PARKED, State.EXPIRED, State.DEAD})
"""States in which the exchange must not know the order."""


def compare(orders: Iterable[Order], truth: Iterable[Mapping[str, Any]]) -> list[str]:
    """Compare every order of the ledger with every order that the exchange ever accepted.

    Args:
        orders: the whole ledger.
        truth: the exchange's orders, with `orderLinkId`, `orderStatus`, `symbol`, `side`, `qty`, `price`.

    Returns:
        What differs; empty when each order is there exactly once or never, and nothing else is there.
    """
    on_exchange: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in truth:
        on_exchange[str(item["orderLinkId"])].append(item)
    differences: list[str] = []
    for order in orders:
        difference = _compare_one(order, on_exchange.pop(order.link_id, []))
        if difference:
            differences.append(f"{order.client_order_id} ({order.link_id}, {order.state}): {difference}")
    differences += [f"{link_id or 'no link id'}: on the exchange and not in the ledger" for link_id in on_exchange]
    return differences


def _compare_one(order: Order, found: list[Mapping[str, Any]]) -> str:
    was_sent = order.state not in NEVER_THERE and not (order.state is State.CANCELLED and order.attempts == 0)
    if len(found) != int(was_sent):
        return f"{len(found)} times on the exchange, must be {int(was_sent)}"
    if not found:
        return ""
    [seen] = found
    if seen["orderStatus"] not in STATUSES.get(order.state, frozenset()):
        return f"the exchange says {seen['orderStatus']}"
    if (seen["symbol"], seen["side"]) != (order.symbol, order.request.side.value):
        return f"the exchange has {seen['side']} {seen['symbol']}"
    if order.request.order_type is OrderType.LIMIT and not _has_same_size(order, seen):
        return f"the exchange has {seen['qty']} at {seen['price']}"
    return ""


def _has_same_size(order: Order, seen: Mapping[str, Any]) -> bool:
    request = order.request
    return Decimal(str(seen["qty"])) == request.qty and Decimal(str(seen["price"])) == request.price
