"""Evidence that makes no sense does no harm."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sluicegate.domain.evidence import weigh_fills
from sluicegate.domain.records import Fill
from tests.unit.services.desk import live, now


def test_inverse_fill_at_nothing_leaves_the_average_alone() -> None:
    """The harmonic mean divides by the price."""
    order = now(live(category="inverse", symbol="BTCUSD", qty="1"))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    fill = Fill("f-1", order.link_id, Decimal(1), Decimal(0), Decimal(0), "", is_maker=False, executed_at=at)
    step = weigh_fills(order, [fill], Decimal(1))
    assert step is not None
    assert step.avg_price is None
