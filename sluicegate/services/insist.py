"""Insist: write acknowledgements down although someone moved the orders. Evidence is never dropped."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sluicegate.domain.lifecycle import ENDED_ON_EXCHANGE, ON_EXCHANGE_STATES, State
from sluicegate.domain.orders import Order, OrderId
from sluicegate.ports import Clock, Ledger, Move, Observer

log = structlog.get_logger(__name__)

TRIES = 5


def insist(moves: Sequence[Move], ledger: Ledger, clock: Clock, observer: Observer) -> dict[OrderId, str]:
    """Write acknowledgements that came too late for the order as it was claimed; a stream is often faster.

    Args:
        moves: the acknowledgements, each with the order as its worker knew it.
        ledger: where the orders stand otherwise by now.
        clock: for what is noted beside.
        observer: counts.

    Returns:
        Each order's state afterwards.
    """
    results: dict[OrderId, str] = {}
    missing = {move.order.order_id: move for move in moves}
    for _try in range(TRIES):
        if not missing:
            return results
        again = [_behind(order, missing[order.order_id]) for order in ledger.get_many(missing.keys())]
        for move, moved in zip(again, ledger.transition_many(again), strict=True):
            if moved is None:
                continue
            del missing[moved.order_id]
            if move.order.state is State.DEAD:  # given up as absent, and there after all: it must not be replayed
                note = "the exchange has it after all"
                ledger.discard_dead_letter(moved.order_id, at=clock.now(), note=note)
            if moved.state is not move.order.state:  # a stream may have counted it
                observer.moved(moved.account, moved.state.value)
            note_total(observer, moved)
            results[moved.order_id] = moved.state.value
    for order_id, move in missing.items():
        log.error("acknowledgement_not_written", order_id=order_id, order_link_id=move.order.link_id)
        results[order_id] = "someone else was faster"
    return results


def note_total(observer: Observer, order: Order) -> None:
    """Measure an order's time from acceptance to acknowledgement."""
    observer.stage("total", max(0.0, (order.updated_at - order.created_at).total_seconds()))


def _behind(current: Order, move: Move) -> Move:
    """Return an acknowledgement as a move of the order as it stands."""
    patch = move.patch.copy()
    if current.state in ON_EXCHANGE_STATES:  # a stream has shown it and says what comes next
        patch.pop("wake_at", None)
    if current.state in ENDED_ON_EXCHANGE:  # what it ended with stays
        patch = {"exchange_order_id": patch["exchange_order_id"], "acked_at": patch["acked_at"]}
    return Move(current, move.event, patch, move.detail)
