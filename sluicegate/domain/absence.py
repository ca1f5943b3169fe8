"""Absence: what it proves that the exchange shows an order in doubt nowhere."""

from __future__ import annotations

from enum import Enum

from sluicegate.domain.orders import Order
from sluicegate.domain.records import Question

LAG_MS = 3000
"""Queries may lag so much behind the exchange: an absence counts when it is seen that long after the horizon.

An order sent again too early would be safe, for its link id refuses a second one. But what is taken for absent may
also be cancelled, expire or be denied as never sent, and then nothing would look for it any more."""

MEMORY_MS = 23 * 3_600_000
"""So long after its horizon the exchange still shows an order whatever became of it.

Source: Bybit V5 order-history page, docs of 2026-07-24: what was rejected, or cancelled without a fill, is kept
for 24 hours, other closed orders without fills for 7 days, those with fills for 2 years. An hour is our margin:
the order may be older than its horizon by a lease and a receive window, and the page does not say from when it
counts."""


class Proof(Enum):
    """What an absence proves."""

    NOTHING_YET = "a request may still arrive, or be invisible"
    ABSENT = "it never came into being, and cannot any more"
    NOTHING_ANY_MORE = "it may have been there, and be forgotten"


def proof_of_absence(order: Order, answered_at_ms: int, *, is_taken: bool) -> Proof:
    """Return what is proved when neither open orders, nor history, nor executions know an order in doubt.

    Args:
        order: in doubt; its horizon covers every request of ours that was not proved absent before.
        answered_at_ms: the exchange's clock in the older of the answers.
        is_taken: the exchange refused the last request because it has the link id already.
    """
    if order.last_code in (Question.UNPROVABLE, Question.FOREIGN):
        return Proof.NOTHING_ANY_MORE  # time makes an absence weaker, never stronger
    if order.horizon_ms is None or answered_at_ms <= order.horizon_ms + LAG_MS:
        return Proof.NOTHING_YET
    if is_taken or answered_at_ms > order.horizon_ms + MEMORY_MS:
        return Proof.NOTHING_ANY_MORE
    return Proof.ABSENT
