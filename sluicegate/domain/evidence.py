"""Evidence: what the exchange shows of an order, weighed against what the ledger knows. Pure.

Evidence arrives in any order, twice, late, or before the acknowledgement. Three rules make the outcome the same:
a state moves only as the lifecycle allows; the executed quantity never shrinks; the average price belongs to the
executed quantity and changes only with one that is at least as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from sluicegate.domain.lifecycle import END_STATES, ENDED_ON_EXCHANGE, TABLE, Event, State
from sluicegate.domain.likeness import differences
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Category, Order
from sluicegate.domain.records import EVENT_OF_STATUS, QUESTIONS, Fill, Sighting

_EXACT = Context(prec=40)
_ORDER_OF_STATUS = ("Untriggered", "Triggered", "New", "PartiallyFilled")
_RANK = {status: rank for rank, status in enumerate(_ORDER_OF_STATUS, 1)} | {
    status: len(_ORDER_OF_STATUS) + 1 for status in EVENT_OF_STATUS if status not in _ORDER_OF_STATUS
}
_OPEN = frozenset({Event.SEEN_OPEN, Event.SEEN_PARTIALLY_FILLED})
_SAME_STATE = {
    State.FILLED: Event.SEEN_FILLED,
    State.CANCELLED: Event.SEEN_CANCELLED,
    State.REJECTED: Event.SEEN_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What a piece of evidence does to an order.

    Attributes:
        event: for the lifecycle table.
        status: the exchange's word from now on.
        cum_exec_qty: from now on.
        avg_price: from now on.
        exchange_order_id: from now on.
        message: why it ended, in the exchange's words; empty: nothing to say.
        detail: for the audit trail.
    """

    event: Event
    status: str
    cum_exec_qty: Decimal
    avg_price: Decimal | None
    exchange_order_id: str
    message: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def belongs(order: Order, *, account: str, category: str, symbol: str, side: str) -> bool:
    """Tell whether what the exchange shows under an order's link id can be that order."""
    request = order.request
    return (order.account, order.symbol, request.side.value) == (account, symbol, side) and category in (
        "",
        order.category.value,
    )


def is_surely(order: Order, shown: Sighting | Fill) -> bool:
    """Tell whether what goes by an order's link id is that order: by Bybit's id, else by its content.

    A difference may come from an amend or from rounding; whoever looks at the order by REST weighs those as well.
    At an order that has ended nobody looks again.
    """
    if order.exchange_order_id and shown.exchange_order_id:
        return order.exchange_order_id == shown.exchange_order_id
    will_be_looked_at = order.state not in END_STATES
    return isinstance(shown, Fill) or not differences(order.request, shown, {}, is_sent_known=will_be_looked_at)


def is_cancelled_here_alone(order: Order) -> bool:
    """Tell whether an order was cancelled as never sent, and no sighting or person has said that it is over."""
    is_settled = order.last_code == Event.SETTLED_CANCELLED
    return order.state is State.CANCELLED and not order.exchange_status and not is_settled


def is_news(order: Order, seen: Sighting) -> bool:
    """Tell whether what the exchange shows of an order differs from what the ledger knows."""
    event = EVENT_OF_STATUS.get(seen.status)
    return (
        event is None
        or TABLE.get((order.state, event)) is not order.state
        or seen.cum_exec_qty > order.cum_exec_qty
        or average_after(order, seen) != order.avg_price
        or status_after(order, seen) != order.exchange_status
        or not order.exchange_order_id
        or order.last_code in QUESTIONS
    )


def is_as_asked(order: Order, seen: Sighting) -> bool:
    """Tell whether the exchange shows the quantity and the prices that the ledger knows."""
    request = order.request
    prices = ((seen.price, request.price), (seen.trigger_price, request.trigger_price))
    return seen.qty == request.qty and all(shown in (None, asked) for shown, asked in prices)


def status_after(order: Order, seen: Sighting) -> str:
    """Return the exchange's word that counts once this was seen: a conditional order does not wait again."""
    if _RANK.get(seen.status, 0) < _RANK.get(order.exchange_status, 0):
        return order.exchange_status
    return seen.status


def average_after(order: Order, seen: Sighting) -> Decimal | None:
    """Return the average price that counts once this was seen: never that of a smaller quantity."""
    if seen.avg_price is None or seen.cum_exec_qty < order.cum_exec_qty:
        return order.avg_price
    return seen.avg_price


def weigh_sighting(order: Order, seen: Sighting) -> Step | None:
    """Weigh one sighting of an order.

    Args:
        order: as the ledger knows it.
        seen: it belongs to the order.

    Returns:
        What it does; None when it says nothing new, or something older than what is known.
    """
    event = EVENT_OF_STATUS.get(seen.status)
    if event is None:
        return None
    if event in _OPEN and is_cancelled_here_alone(order):
        event = Event.REOPENED  # what is filled of it moves it on with the next sighting
    elif (order.state, event) not in TABLE:
        if seen.cum_exec_qty <= order.cum_exec_qty or order.state not in {*_SAME_STATE, State.PARTIALLY_FILLED}:
            return None  # a late word about the past
        event = _SAME_STATE.get(order.state, Event.SEEN_PARTIALLY_FILLED)
    elif not is_news(order, seen):
        return None
    return Step(
        event,
        status_after(order, seen),
        max(seen.cum_exec_qty, order.cum_exec_qty),
        average_after(order, seen),
        seen.exchange_order_id,
        "" if seen.reject_reason == "EC_NoError" else seen.reject_reason,
        seen.raw,
    )


def weigh_fills(order: Order, fills: Sequence[Fill], exec_qty: Decimal) -> Step | None:
    """Weigh new fills of an order: they prove that it is on the exchange, and how much of it was executed.

    Whether they end it only a sighting tells: an amended or split order ends elsewhere than its first quantity.

    Args:
        order: as the ledger knows it.
        fills: not known before.
        exec_qty: sum of all known fills, these included.

    Returns:
        What they do; None when the ledger knows of as much already.
    """
    if not fills or (
        exec_qty <= order.cum_exec_qty and order.state in {*ENDED_ON_EXCHANGE, State.PARTIALLY_FILLED}
    ):
        return None
    event = _SAME_STATE.get(order.state, Event.SEEN_PARTIALLY_FILLED)
    known = exec_qty - sum((fill.qty for fill in fills), Decimal(0))
    average = order.avg_price
    if exec_qty > order.cum_exec_qty and known == order.cum_exec_qty:
        average = _blended(order.category, known, average, fills)
    detail = {"exec_ids": [fill.exec_id for fill in fills][:20], "cumExecQty": plain(exec_qty)}
    order_id = order.exchange_order_id or fills[0].exchange_order_id
    return Step(event, order.exchange_status, max(exec_qty, order.cum_exec_qty), average, order_id, "", detail)


def _blended(category: Category, qty: Decimal, average: Decimal | None, fills: Sequence[Fill]) -> Decimal | None:
    """Return the average price over what was known and new fills; that of inverse contracts is harmonic."""
    if qty and average is None:
        return None
    if any(fill.qty <= 0 or fill.price <= 0 for fill in fills):  # no market trades like that
        return average
    parts = [(fill.qty, fill.price) for fill in fills] + ([(qty, average)] if average is not None else [])
    total = sum((part for part, _price in parts), Decimal(0))
    if category is Category.INVERSE:
        value = sum((_EXACT.divide(part, price) for part, price in parts), Decimal(0))
        return _rounded(_EXACT.divide(total, value))
    value = sum((part * price for part, price in parts), Decimal(0))
    return _rounded(_EXACT.divide(value, total))


def _rounded(price: Decimal) -> Decimal:
    """Cut to 12 digits behind the point; the exchange's own average replaces it with the next sighting."""
    return Decimal(format(price, ".12f")).normalize(_EXACT)
