"""Orders and clocks for the ledger's tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import ChangeKind, Execution, NewOrder, Order, OrderId, OrderRequest, Receipt
from sluicegate.domain.records import Change, ChangeState, DeadLetter
from sluicegate.ports import Ledger

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SNOOZE = timedelta(seconds=30)

_numbers = count(1)


@dataclass
class StillClock:
    """A clock that moves when told."""

    at: datetime = NOON

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.at += timedelta(seconds=seconds)


def request(**fields: Any) -> OrderRequest:
    """Return a valid request, with some fields of one's own."""
    base = {
        "account": "main",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": "0.010",
        "price": "60000",
    }
    return OrderRequest.model_validate(base | fields)


def new_order(order_id: str = "", *, at: datetime = NOON, replay_of: str | None = None, **fields: Any) -> NewOrder:
    """Return an order to accept; ids grow."""
    name = OrderId(order_id or f"01{next(_numbers):024d}")
    return NewOrder(name, request(**fields), at, None if replay_of is None else OrderId(replay_of))


def accept(ledger: Ledger, *orders: NewOrder, wake_at: datetime = NOON) -> list[Order]:
    """Store new orders and return them as the ledger shows them."""
    stored = []
    for receipt in ledger.accept(orders, wake_at=wake_at):
        assert isinstance(receipt, Receipt)
        stored.append(ledger.get(receipt.order_id))
    return stored


def accept_one(ledger: Ledger, **fields: Any) -> Order:
    """Store one new order."""
    return accept(ledger, new_order(**fields))[0]


def dead_letter(order_id: str, *, at: datetime = NOON, **facts: Any) -> DeadLetter:
    """Return a dead letter, with some facts of one's own."""
    base = {
        "account": "main",
        "reason": "parameter",
        "code": "10001",
        "message": "Qty invalid",
        "cause": "the quantity is off its step",
        "fix": "use a multiple of 0.001",
    }
    return DeadLetter(order_id=OrderId(order_id), created_at=at, **(base | facts))


def kill(ledger: Ledger, at: datetime = NOON, *, account: str = "main", reason: str = "parameter") -> OrderId:
    """Dead-letter a new order; return its id."""
    order = accept_one(ledger, account=account)
    letter = dead_letter(order.order_id, at=at, account=account, reason=reason)
    assert ledger.transition(order, Event.DEAD_LETTERED, {}, {}, dead_letter=letter)
    return order.order_id


def change(order_id: str, change_id: str, kind: ChangeKind = ChangeKind.CANCEL, **facts: Any) -> Change:
    """Return a change that was just asked for."""
    base: dict[str, Any] = {
        "sequence": 0,
        "fields": {},
        "state": ChangeState.PENDING,
        "version": 0,
        "created_at": NOON,
        "wake_at": NOON,
    }
    return Change(change_id=change_id, order_id=OrderId(order_id), kind=kind, **(base | facts))


def fill(order_id: str, exec_id: str, **facts: Any) -> Execution:
    """Return one fill."""
    base: dict[str, Any] = {
        "qty": Decimal("0.004"),
        "price": Decimal("60000.10"),
        "fee": Decimal("-0.000000000000000001"),
        "fee_coin": "USDT",
        "is_maker": True,
        "executed_at": NOON,
    }
    return Execution(exec_id=exec_id, order_id=OrderId(order_id), **(base | facts))


class WallClock:
    """The machine's clock, for processes beside the test's own."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
