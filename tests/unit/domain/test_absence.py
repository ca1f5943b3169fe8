"""What an absence proves depends on when it is seen, and on what the exchange said before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sluicegate.domain.absence import LAG_MS, MEMORY_MS, Proof, proof_of_absence
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import NewOrder, Order, OrderId
from sluicegate.domain.records import Question
from tests.unit.domain import examples

HORIZON_MS = 1_784_894_400_000
DAY_MS = int(timedelta(days=1).total_seconds() * 1000)
LONGEST_CLAIM_MS = 300_000 + 60_000 + 60_000
"""Lease, receive window and margin, each at the most that the settings allow."""


def doubtful(**changes: object) -> Order:
    """Return an order in doubt."""
    new = NewOrder(OrderId("O-1"), examples.order(), examples.NOW)
    order = Order(
        order_id=new.order_id,
        link_id=new.link_id,
        account="main",
        request=new.request,
        state=State.IN_DOUBT,
        version=3,
        created_at=examples.NOW,
        updated_at=examples.NOW,
        client_order_id="c",
        fingerprint="",
        horizon_ms=HORIZON_MS,
        last_code="net_read_timeout",
    )
    return replace(order, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after_ms", "proof"),
    [
        (-1000, Proof.NOTHING_YET),
        (LAG_MS, Proof.NOTHING_YET),
        (LAG_MS + 1, Proof.ABSENT),
        (MEMORY_MS, Proof.ABSENT),
        (MEMORY_MS + 1, Proof.NOTHING_ANY_MORE),
        (30 * DAY_MS, Proof.NOTHING_ANY_MORE),
    ],
)
def test_absence_proves_by_its_time_on_the_exchanges_clock(after_ms: int, proof: Proof) -> None:
    """Too early it may still arrive; a day later it may be forgotten; between, it is absent."""
    assert proof is proof_of_absence(doubtful(), HORIZON_MS + after_ms, is_taken=False)


def test_absence_of_an_order_that_the_exchange_has_proves_nothing() -> None:
    """The link id is taken: somewhere it is, or was."""
    answered_at_ms = HORIZON_MS + LAG_MS + 1
    assert Proof.NOTHING_ANY_MORE is proof_of_absence(doubtful(), answered_at_ms, is_taken=True)
    assert Proof.NOTHING_YET is proof_of_absence(doubtful(), HORIZON_MS, is_taken=True)


@pytest.mark.parametrize("question", [Question.UNPROVABLE, Question.FOREIGN])
def test_absence_that_could_not_be_proved_once_is_never_proved(question: Question) -> None:
    """What asks a person goes on asking, whatever the clocks say."""
    order = doubtful(last_code=question.value)
    assert Proof.NOTHING_ANY_MORE is proof_of_absence(order, HORIZON_MS + LAG_MS + 1, is_taken=False)


def test_memory_ends_before_the_exchange_may_have_forgotten() -> None:
    """An order that arrived as early as its horizon allows is not older than a day when memory ends."""
    assert MEMORY_MS + LONGEST_CLAIM_MS < DAY_MS
