"""Comparison: ledger and exchange side by side. Pure; what is in flight is no difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sluicegate.domain.evidence import is_news
from sluicegate.domain.holdings import Position
from sluicegate.domain.lifecycle import ENDED_ON_EXCHANGE, ON_EXCHANGE_STATES, State
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import LINK_ID_PREFIX, Order
from sluicegate.domain.records import QUESTIONS, Sighting


class Kind(StrEnum):
    """How ledger and exchange may differ; a metric label."""

    MISSING = "missing"  # live here, not open there
    BEHIND = "behind"  # open in both, with more executed or another status there
    ENDED = "ended"  # ended here, open there
    UNKNOWN = "unknown"  # open there under a link id of ours, and no order here
    POSITION = "position"  # another size there


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        key: stays the same while the difference lasts.
        order_id: of the order that it is about; empty for a position.
        detail: both sides, for people.
    """

    kind: Kind
    key: str
    detail: str
    order_id: str = ""


def compare_orders(
    orders: Mapping[str, Order], shown: Sequence[Sighting], *, settled_at: datetime, settled_ms: int
) -> list[Difference]:
    """Compare the orders of an account.

    Args:
        orders: of the ledger by link id: those that should be on the exchange, and those that the exchange shows.
        shown: its open orders there, ours among them.
        settled_at: what the ledger changed since then may be in flight.
        settled_ms: what the exchange changed since then may be, its clock.
    """
    seen = {sighting.link_id: sighting for sighting in shown if sighting.link_id.startswith(LINK_ID_PREFIX)}
    found = [
        _difference(Kind.MISSING, order, "it is not among the open orders")
        for link_id, order in orders.items()
        if link_id not in seen
        and order.state in ON_EXCHANGE_STATES
        and order.updated_at < settled_at
        and order.last_code not in QUESTIONS  # a person was asked about it already
    ]
    for link_id, sighting in seen.items():
        if sighting.updated_ms > settled_ms:
            continue
        order = orders.get(link_id)
        if order is None:
            detail = f"{sighting.side} {plain(sighting.qty)} {sighting.symbol} under {link_id}; no such order here"
            found.append(Difference(Kind.UNKNOWN, f"order:{link_id}", detail))
        elif order.updated_at >= settled_at:
            continue
        elif order.state in ENDED_ON_EXCHANGE or order.state in {State.DEAD, State.EXPIRED}:
            found.append(_difference(Kind.ENDED, order, f"the exchange shows {sighting.status}"))
        elif is_news(order, sighting):
            there = f"{sighting.status}, {plain(sighting.cum_exec_qty)} executed"
            found.append(_difference(Kind.BEHIND, order, f"the exchange shows {there}"))
    return found


def compare_positions(
    known: Sequence[Position], shown: Sequence[Position], *, settled_ms: int
) -> list[Difference]:
    """Compare the positions of an account; those that changed after `settled_ms` may be in flight."""
    here = {position.key: position for position in known if position.side}
    there = {position.key: position for position in shown if position.side}
    found = []
    for key in sorted(here.keys() | there.keys()):
        before, now = here.get(key), there.get(key)
        sizes = [position.net if position else Decimal(0) for position in (before, now)]
        newest = max(position.updated_ms for position in (before, now) if position is not None)
        if sizes[0] != sizes[1] and newest < settled_ms:
            category, symbol, index = key
            detail = f"{category} {symbol}: {plain(sizes[0])} here, {plain(sizes[1])} there"
            found.append(Difference(Kind.POSITION, f"position:{category}:{symbol}:{index}", detail))
    return found


def _difference(kind: Kind, order: Order, there: str) -> Difference:
    here = f"{order.state}, {plain(order.cum_exec_qty)} executed"
    return Difference(kind, f"order:{order.link_id}", f"{order.describe()}: {here} here; {there}", order.order_id)
