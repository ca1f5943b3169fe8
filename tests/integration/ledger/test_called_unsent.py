"""An order that was ended here as never sent, and that the exchange shows all the same, pages a person."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_cases import StillClock, accept_one
from test_ledger_evidence import seen, sent

from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import Order
from sluicegate.ledger.repository import SqlLedger
from sluicegate.services.witness import Witness


class Nobody:
    """An observer that looks away."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


def incidents_after(ledger: SqlLedger, order: Order, status: str) -> list[str]:
    """Show an order to a witness; return the open incidents."""
    observer: Any = Nobody()
    witness = Witness(ledger, StillClock(), observer, lambda _account: None, look_s=60)
    witness.take_orders("main", [seen(order, status)], [])
    return [incident.key for incident in ledger.incidents()]


@pytest.mark.parametrize("event", [Event.CANCELLED_UNSENT, Event.EXPIRED])
@pytest.mark.parametrize("status", ["New", "Cancelled"])
def test_order_called_unsent_that_the_exchange_shows_is_told(ledger: SqlLedger, event: Event, status: str) -> None:
    """It contradicts what was answered to its owner, whether it is open there or over."""
    order = accept_one(ledger)
    assert ledger.transition(order, event, {}, {}) is not None
    assert [f"called_unsent:{order.order_id}"] == incidents_after(ledger, order, status)


def test_order_that_was_sent_is_shown_without_an_incident(ledger: SqlLedger) -> None:
    """What the exchange shows of it is expected."""
    assert [] == incidents_after(ledger, sent(ledger), "New")
