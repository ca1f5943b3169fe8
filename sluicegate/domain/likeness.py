"""Likeness: is an order that the exchange shows under our link id the one that was asked for?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Category, OnStep, OrderRequest, OrderType, Side, TimeInForce
from sluicegate.domain.records import Sighting, Status

EverAsked = Mapping[str, Collection[Decimal]]
"""Every value that a field of the order ever had, amends included that may have arrived."""

NUMBERS = ("qty", "price", "trigger_price", "take_profit", "stop_loss")

_FUTURES = frozenset({Category.LINEAR, Category.INVERSE})


def as_sent(request: OrderRequest) -> dict[str, str]:
    """Return the numbers of an order as it goes out, plain, for the audit trail: by them it is known again."""
    values = {name: getattr(request, name) for name in NUMBERS}
    return {name: plain(value) for name, value in values.items() if value is not None}


def differences(
    request: OrderRequest, seen: Sighting, ever: EverAsked, *, is_sent_known: bool = False
) -> list[str]:
    """Return in words how a shown order differs from what was asked; nothing when it may be ours.

    What the exchange does not show is not compared, and what it changes by itself is no difference: it shrinks
    what reduces a position, and moves the price of a futures order beyond its price band to the band's edge.

    Args:
        request: the order as the ledger knows it.
        seen: what the exchange shows under its link id.
        ever: earlier values, by field; amends explain a difference.
        is_sent_known: whether the order and `ever` hold all that went out. Where they may not, a value may also
            be what `on_step = "round_down"` made of one of them.

    Source: Bybit V5 order fields, and `lpaPerp` of user-setting-config, docs of 2026-07-24. That a moved price
    still lies on the side of the last price where it trades is our reading; a resting price is never moved.
    """
    found = _differing_words(request, seen)
    may_be_rounded = request.on_step is OnStep.ROUND_DOWN and not is_sent_known
    for name in NUMBERS:
        asked, shown = getattr(request, name), getattr(seen, name)
        known = {*ever.get(name, ()), *([asked] if asked is not None else [])}
        is_rounded = may_be_rounded and shown is not None and _is_rounded(shown, known)
        if not is_rounded and not _is_ours(name, request, seen, known):
            found.append(f"{name} {_number(asked)}, shown {_number(shown)}")
    return found


def _number(value: Decimal | None) -> str:
    return "none" if value is None else plain(value)


def _differing_words(request: OrderRequest, seen: Sighting) -> list[str]:
    pairs: dict[str, tuple[object, object]] = {
        "side": (request.side.value, seen.side),
        "symbol": (request.symbol, seen.symbol),
    }
    if seen.order_type and request.slippage_tolerance is None:
        pairs["order_type"] = (request.order_type.value, seen.order_type)
    if seen.time_in_force and request.order_type is OrderType.LIMIT:  # Market orders are IOC, whatever was asked
        asked = request.time_in_force or TimeInForce.GTC
        if asked is not TimeInForce.RPI:
            pairs["time_in_force"] = (asked.value, seen.time_in_force)
    if seen.position_idx is not None and request.position_idx is not None:
        pairs["position_idx"] = (request.position_idx, seen.position_idx)
    if seen.reduce_only is not None and not _may_reduce_unasked(request, seen):
        pairs["reduce_only"] = (bool(request.reduce_only), seen.reduce_only)
    return [f"{name} {ours}, shown {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs]


def _may_reduce_unasked(request: OrderRequest, seen: Sighting) -> bool:
    """Tell whether Bybit may show reduce-only by itself: what closes a position, or one side of a hedge."""
    closes = bool(request.close_on_trigger) or request.position_idx in (1, 2)
    return bool(seen.reduce_only) and not request.reduce_only and closes


def _is_ours(name: str, request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    match name:
        case "qty":
            return _is_qty(request, seen, known)
        case "price":
            return _is_price(request, seen, known)
        case "trigger_price":
            return seen.trigger_price is None or seen.trigger_price in known
        case _:
            return _is_stop(getattr(seen, name), request, seen, known)


def _is_qty(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    if request.is_quote_amount or seen.qty in known:
        return True
    may_be_less = request.reduce_only or request.close_on_trigger
    return bool(may_be_less) and (Decimal(0) in known or seen.qty < max(known))


def _is_price(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    if request.order_type is OrderType.MARKET or request.order_iv is not None or seen.price is None:
        return True
    if seen.price in known:
        return True
    return _may_be_moved(request, seen, known)


def _may_be_moved(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    """Tell whether a price may be that of the band's edge: better than asked, and not resting."""
    last = seen.last_price_on_create
    if request.category not in _FUTURES or seen.price is None or last is None:
        return False
    if request.side is Side.BUY:
        return last <= seen.price < max(known)
    return min(known) < seen.price <= last


def _is_stop(shown: Decimal | None, request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    """Tell whether a take profit or stop loss may be ours.

    Compared only where that is certain: one that was asked for, of a futures order with full stops, which waits
    in the book or for its trigger. Its stops go over to the position only when it is filled.
    """
    is_resting = request.order_type is OrderType.LIMIT and seen.status == Status.NEW
    waits = is_resting or seen.status == Status.UNTRIGGERED
    is_compared = request.category in _FUTURES and request.tpsl_mode != "Partial" and waits
    return shown is None or not is_compared or not any(known) or shown in known


def _is_rounded(shown: Decimal, known: set[Decimal]) -> bool:
    """Tell whether a value may be one of ours on its step: at least one step is left, so more than half is."""
    return any(value / 2 < shown < value for value in known)
