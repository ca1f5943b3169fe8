"""The machine finds no history that breaks a promise, and finds one for each defect that is planted here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sluicegate.domain import absence
from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import ChangeKind, Order, OrderLinkId, OrderRequest
from sluicegate.domain.outcomes import InDoubt, NeverSent, Refused
from sluicegate.ports import Answer
from sluicegate.services import perform
from sluicegate.services.conclude import Concluder
from tests.unit.services.machine import Interleavings
from tests.unit.services.memory_ledger import MemoryLedger
from tests.unit.services.venue import Venue

TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
HUNT = settings(
    TestInterleavings.settings,
    max_examples=4000,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def forget_the_horizon(patch: pytest.MonkeyPatch) -> None:
    """Take an order for absent as soon as nothing shows it."""
    patch.setattr(absence, "LAG_MS", -(10**9))


def claim_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    """Claim an order without looking whether somebody else has moved it."""
    careful = MemoryLedger.transition

    def transition(self: MemoryLedger, order: Order, event: Event, *rest: Any, **options: Any) -> Order | None:
        stored = self.orders[order.order_id]
        if event is Event.CLAIMED:
            self.orders[order.order_id] = replace(stored, version=order.version, state=order.state)
        return careful(self, order, event, *rest, **options)

    patch.setattr(MemoryLedger, "transition", transition)


def take_doubt_for_unsent(patch: pytest.MonkeyPatch) -> None:
    """Send again what was sent and not answered."""
    careful = perform.decide

    def decide(outcome: Any, *rest: Any) -> Any:
        is_doubt = isinstance(outcome, InDoubt)
        return careful(NeverSent(outcome.code, outcome.message) if is_doubt else outcome, *rest)

    patch.setattr(perform, "decide", decide)


def send_again_under_another_id(patch: pytest.MonkeyPatch) -> None:
    """Give the second request of an order a link id of its own."""
    careful = Venue.place

    def place(self: Venue, request: OrderRequest, link_id: OrderLinkId, *, sign_before: datetime) -> Answer:
        sent = vars(self).setdefault("sent", set())
        used = OrderLinkId(f"{link_id}-2") if link_id in sent else link_id
        sent.add(link_id)
        return careful(self, request, used, sign_before=sign_before)

    patch.setattr(Venue, "place", place)


def take_a_lost_amend_for_refused(patch: pytest.MonkeyPatch) -> None:
    """Settle an amend whose answer was lost as refused."""
    careful = Concluder.conclude

    def conclude(self: Concluder, order: Order, change: Any, answer: Answer, wanted: Any) -> str:
        if isinstance(answer.outcome, InDoubt) and change.kind is ChangeKind.AMEND:
            refused = Refused(answer.outcome.code, answer.outcome.message, None)  # type: ignore[arg-type]
            answer = replace(answer, outcome=refused)
        return careful(self, order, change, answer, wanted)

    patch.setattr(Concluder, "conclude", conclude)


DEFECTS: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    forget_the_horizon: "doubled|called_absent",
    claim_whatever_is_there: "doubled|trail",
    take_doubt_for_unsent: "doubled|called_absent",
    send_again_under_another_id: "unknown_on_exchange",
    take_a_lost_amend_for_refused: "amend_lost|differs",
}
"""What is planted, and what it must be found by."""


@pytest.mark.parametrize("plant", DEFECTS)
def test_planted_defect_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch):
    """A machine that passes whatever the code does proves nothing."""
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=DEFECTS[plant]):
        run_state_machine_as_test(Interleavings, settings=HUNT)
