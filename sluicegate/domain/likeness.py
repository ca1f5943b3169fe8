"""Likeness: is an order that the exchange shows under our link id the one that was asked for?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Category, OnStep, OrderRequest, OrderType, Side, TimeInForce
from sluicegate.domain.records import Sighting

EverAsked = Mapping[str, Collection[Decimal]]
"""Every value that a field of the order ever had, amends included that may have arrived."""

_FUTURES = frozenset({Category.LINEAR, Category.INVERSE})


def differences(request: OrderRequest, seen: Sighting, ever: EverAsked) -> list[str]:
    """Return in words how a shown order differs from what was asked; nothing when it may be ours.

    What the exchange does not show is not compared, and what it changes by itself is no difference: it shrinks
    what reduces a position, and moves the price of a futures order beyond its price band to the band's edge.

    Args:
        request: the order as the ledger knows it.
        seen: what the exchange shows under its link id.
        ever: earlier values, by field; amends explain a difference.

    Source: Bybit V5 order fields, and `lpaPerp` of user-setting-config, docs of 2026-07-24. That a moved price
    still lies on the side of the last price where it trades is our reading; a resting price is never moved.
    """
    found = _differing_words(request, seen)
    numbers = {"qty": _is_qty, "price": _is_price, "trigger_price": _is_trigger}
    for name, is_ours in numbers.items():
        asked = getattr(request, name)
        known = {*ever.get(name, ()), *([asked] if asked is not None else [])}
        shown = getattr(seen, name)
        if not is_ours(request, seen, known):
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


def _is_qty(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    if request.is_quote_amount or seen.qty in known:
        return True
    if request.reduce_only or request.close_on_trigger:
        return Decimal(0) in known or seen.qty < max(known)
    return _may_be_rounded(request, seen.qty, known)


def _is_price(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    if request.order_type is OrderType.MARKET or request.order_iv is not None or seen.price is None:
        return True
    if seen.price in known:
        return True
    return _may_be_rounded(request, seen.price, known) or _may_be_moved(request, seen, known)


def _may_be_moved(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    """Tell whether a price may be that of the band's edge: better than asked, and not resting."""
    last = seen.last_price_on_create
    if request.category not in _FUTURES or seen.price is None or last is None:
        return False
    if request.side is Side.BUY:
        return last <= seen.price < max(known)
    return min(known) < seen.price <= last


def _is_trigger(request: OrderRequest, seen: Sighting, known: set[Decimal]) -> bool:
    shown = seen.trigger_price
    if shown is None or shown in known:
        return True
    return _may_be_rounded(request, shown, known)


def _may_be_rounded(request: OrderRequest, shown: Decimal, known: set[Decimal]) -> bool:
    """Tell whether a value may be one of ours on its step: at least one step is left, so more than half is."""
    return request.on_step is OnStep.ROUND_DOWN and any(value / 2 < shown < value for value in known)
