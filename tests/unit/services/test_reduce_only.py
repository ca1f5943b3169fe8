"""A reduce-only order is denied only when nothing is there, or on its way, that it could reduce."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sluicegate.domain.errors import OrderDenied
from sluicegate.services.gates import Gates
from tests.unit.domain import examples
from tests.unit.services.desk import accept
from tests.unit.services.world import World


class Book:
    """Positions; an entry fills as soon as the exchange has told the position, or the open orders were read."""

    def __init__(self, *, has_entry: bool) -> None:
        self._is_open, self._is_held = has_entry, False

    def _fill(self) -> None:
        self._is_held, self._is_open = self._is_held or self._is_open, False

    def is_current(self, _account: str) -> bool:
        """Tell that positions are known."""
        return True

    def exposure(self, *_: Any) -> tuple[Decimal, Decimal]:
        """Return what open orders may still buy and sell."""
        buying = Decimal(int(self._is_open))
        self._fill()
        return buying, Decimal(0)

    def shown_net(self, *_: Any) -> Decimal:
        """Return the position as a stream showed it."""
        return Decimal(int(self._is_held))

    def confirmed_net(self, *_: Any) -> Decimal:
        """Return the position as the exchange says."""
        held = Decimal(int(self._is_held))
        self._fill()
        return held


def check(*, has_entry: bool) -> None:
    """Let a reduce-only order meet the gate."""
    world = World()
    order = accept(world, side="Sell", reduce_only=True)
    book: Any = Book(has_entry=has_entry)
    account = world.accounts.get("main")
    fitted = examples.order(side="Sell", reduce_only=True)
    Gates(world.store, book)._check_reduction(fitted, order, account)


def test_entry_that_fills_while_the_gate_reads_is_not_overlooked() -> None:
    """It leaves the open orders for the position: read in the other order, it would be in neither."""
    check(has_entry=True)


def test_order_that_can_reduce_nothing_is_denied() -> None:
    """No position, and no order that would open one."""
    with pytest.raises(OrderDenied, match="no position to reduce"):
        check(has_entry=False)
