"""Orders that the tests place, and how."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from venue_server import Desk

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Order, OrderId, OrderLinkId, OrderRequest
from sluicegate.ports import Answer

LINK_ID = OrderLinkId("sg-01J0000000000000000000TEST")
FAR = timedelta(hours=1)


def request(**changes: Any) -> OrderRequest:
    """Return the usual order; keyword arguments replace its fields."""
    fields: dict[str, Any] = {
        "account": "main",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": Decimal("0.01"),
        "price": Decimal(60000),
    }
    return OrderRequest(**{**fields, **changes})


def live_order(**changes: Any) -> Order:
    """Return an order as the ledger holds it while it is live."""
    now = datetime.now(UTC)
    return Order(
        order_id=OrderId(LINK_ID.removeprefix("sg-")),
        link_id=LINK_ID,
        account="main",
        request=request(**changes),
        state=State.LIVE,
        version=3,
        created_at=now,
        updated_at=now,
        client_order_id="mine",
        fingerprint="",
    )


def place(desk: Desk, wanted: OrderRequest | None = None, *, sign_before: datetime | None = None) -> Answer:
    """Place an order under a claim that lasts."""
    deadline = sign_before or datetime.now(UTC) + FAR
    return desk.gateway.place(wanted or request(), LINK_ID, sign_before=deadline)
