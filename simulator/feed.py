"""What happens to the accounts, told to whoever follows it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from simulator.accounts import Account
from simulator.events import Event, execution_event, order_event
from simulator.instruments import Instrument
from simulator.orders import Execution, Order


@dataclass(slots=True)
class Step:
    """What one step of the exchange changed for one account.

    Args:
        events: States of orders, and executions, as they were at each change and in their order.
        positions: Which positions changed; how they are is read when the step is told.
        coins: Which coins changed; likewise.
    """

    account: Account
    events: list[Event] = field(default_factory=list)
    positions: dict[tuple[Instrument, int], None] = field(default_factory=dict)
    coins: dict[str, None] = field(default_factory=dict)


class Listener(Protocol):
    """Who is told."""

    def told(self, step: Step) -> None:
        """Hear what a step changed for one followed account."""

    def traded(self, execution: Execution) -> None:
        """Hear of a trade of any account."""

    def market_moved(self, instrument: Instrument) -> None:
        """Hear that a price or a depth is another."""


class Feed:
    """Gather the changes of followed accounts and tell them when the step that made them is over.

    Everything that one step does to an account is told together, so that a market move that fills five orders
    becomes one message with five executions. Accounts that nobody follows cost nothing.
    """

    def __init__(self) -> None:
        self.followers: Counter[int] = Counter()
        self.listener: Listener | None = None
        self._steps: dict[int, Step] = {}

    def order_changed(self, account: Account, order: Order) -> None:
        """Tell the state of an order, and of the position and the coins it concerns.

        Bybit pushes the position on every create, amend and cancel, even if it did not change.
        """
        step = self._step(account)
        if step is None:
            return
        event = order_event(order)
        if not step.events or step.events[-1] != event:
            step.events.append(event)
        self._touch(step, order)

    def executed(self, account: Account, execution: Execution) -> None:
        """Tell an execution, and the position and the coins it changed."""
        if self.listener is not None and execution.kind == "Trade":
            self.listener.traded(execution)
        step = self._step(account)
        if step is not None:
            step.events.append(execution_event(execution))
            self._touch(step, execution.order)

    def market_moved(self, instrument: Instrument) -> None:
        """Tell that a price or a depth is another."""
        if self.listener is not None:
            self.listener.market_moved(instrument)

    def _step(self, account: Account) -> Step | None:
        if not self.followers[account.uid]:
            return None
        step = self._steps.get(account.uid)
        if step is None:
            step = self._steps[account.uid] = Step(account)
            asyncio.get_running_loop().call_soon(self._tell, account.uid)
        return step

    def _tell(self, uid: int) -> None:
        step = self._steps.pop(uid)
        if self.listener is not None:
            self.listener.told(step)

    @staticmethod
    def _touch(step: Step, order: Order) -> None:
        instrument = order.instrument
        if instrument.category == "spot":
            step.coins |= dict.fromkeys((instrument.base, instrument.quote))
        else:
            step.positions[instrument, order.position_idx] = None
            step.coins[instrument.settle] = None
