"""Producers: threads that submit, amend and cancel all the time, and remember what they were told."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sluicegate import Sluicegate
from sluicegate.domain.errors import LedgerConflict, LedgerUnavailable, OrderNotFound, TooLate
from sluicegate.domain.orders import OrderId, OrderRequest, Receipt, parse_order
from sluicegate.domain.records import Change
from tests.chaos.evidence import Promises

ACCOUNTS = {"a1": 1001, "a2": 1002, "a3": 1003}
"""UIDs of the accounts that trade."""

MARKETS = {
    ("linear", "BTCUSDT"): ("0.01", 60000, "0.1"),
    ("linear", "ETHUSDT"): ("0.1", 3000, "0.01"),
    ("spot", "BTCUSDT"): ("0.001", 60000, "0.1"),
}
"""Quantity, opening price, tick."""
UNITS = {market: Decimal(qty) for market, (qty, _price, _tick) in MARKETS.items()}
"""Every quantity that is meant to pass is a multiple of its market's."""


@dataclass
class Producer:
    """One producer.

    What an act needs of chance is drawn before its first call, so that an answer shifts no later draw.

    Args:
        number: makes its client order ids unique.
        gate: the library.
        rng: what it does next.
        stopped: set to end it.
        pace_s: mean time between two requests.
    """

    number: int
    gate: Sluicegate
    rng: random.Random
    stopped: threading.Event
    pace_s: float
    receipts: list[Receipt] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    cancelled: list[OrderId] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    outages: int = 0
    _count: int = 0

    def run(self) -> None:
        """Go on until stopped."""
        while not self.stopped.wait(self.rng.uniform(0.2, 1.8) * self.pace_s):
            [act] = self.rng.choices(
                [self._submit_one, self._submit_some, self._cancel, self._amend], [55, 10, 20, 15]
            )
            act()

    def _submit_one(self) -> None:
        request = self._draw_order()
        self._submit(lambda: [self.gate.submit(request)])

    def _submit_some(self) -> None:
        requests = [self._draw_order() for _ in range(self.rng.randint(2, 6))]
        self._submit(lambda: self.gate.submit_many(requests))

    def _submit(self, hand_over: Callable[[], Sequence[Receipt | LedgerConflict]]) -> None:
        """Hand over until it is known to be accepted; always under the same `client_order_id`s."""
        is_forgetful = self.rng.random() < 0.05
        while True:
            try:
                self._keep(hand_over())
                if is_forgetful:
                    self._keep(hand_over())  # a producer that crashed and does not know that it was done
            except LedgerUnavailable:
                self.outages += 1
                if not self.stopped.wait(0.3):
                    continue
            return

    def _keep(self, results: Sequence[Receipt | LedgerConflict]) -> None:
        for result in results:
            if isinstance(result, LedgerConflict):
                self.lost.append(f"{result}")  # nobody else uses these ids
            else:
                self.receipts.append(result)

    def _cancel(self) -> None:
        def cancel(order_id: OrderId) -> Change | None:
            change = self.gate.cancel(order_id)
            if change is None:
                self.cancelled.append(order_id)
            return change

        self._change(cancel)

    def _amend(self) -> None:
        is_qty, times, away = self.rng.random() < 0.3, self.rng.choice((2, 3)), self._draw_distance()

        def amend(order_id: OrderId) -> Change | None:
            request = self.gate.status(order_id).request
            _qty, price, _tick = MARKETS[(request.category.value, request.symbol)]
            if request.price is None or is_qty:
                return self.gate.amend(order_id, qty=format(request.qty * times, "f"))
            return self.gate.amend(order_id, price=str(_price(price, request.side.value, away)))

        self._change(amend)

    def _change(self, ask: Callable[[OrderId], Change | None]) -> None:
        is_young, where = self.rng.random() < 0.7, self.rng.random()
        if not self.receipts:
            return
        among = self.receipts[-12:] if is_young else self.receipts  # mostly those that are still on their way
        order_id = among[int(where * len(among))].order_id
        try:
            change = ask(order_id)
        except LedgerUnavailable:
            self.outages += 1
        except TooLate:
            return
        except OrderNotFound:
            self.lost.append(order_id)
        else:
            if change is not None:
                self.changes.append(change.change_id)

    def _draw_order(self) -> OrderRequest:
        self._count += 1
        rng = self.rng
        category, symbol = rng.choice(list(MARKETS))
        qty, price, _tick = MARKETS[(category, symbol)]
        side = rng.choice(("Buy", "Sell"))
        content = {
            "account": rng.choice(list(ACCOUNTS)),
            "category": category,
            "symbol": symbol,
            "side": side,
            "order_type": "Limit",
            "qty": qty,
            "price": str(_price(price, side, self._draw_distance())),
            "client_order_id": f"chaos-{self.number}-{self._count}",
        }
        what = rng.random()
        if what < 0.08:
            content |= {"order_type": "Market", "market_unit": "baseCoin"} if category == "spot" else {}
            content["order_type"] = "Market"
            del content["price"]
        elif what < 0.12:
            content["qty"] = "0.0000001"  # off the step: a dead letter
        elif what < 0.25:
            content["deadline_s"] = rng.randint(1, 20)  # type: ignore[assignment]
        elif what < 0.30:
            content["priority"] = rng.randint(1, 9)  # type: ignore[assignment]
        elif what < 0.36:
            content["time_in_force"] = rng.choice(("IOC", "FOK", "PostOnly"))
        elif what < 0.42 and category == "linear":
            content |= self._draw_trigger(price, side)
        elif what < 0.45:
            content["due_at"] = (datetime.now(UTC) + timedelta(seconds=rng.uniform(1, 15))).isoformat()
        return parse_order(content)

    def _draw_trigger(self, middle: int, side: str) -> dict[str, Any]:
        """Make it a conditional order that a usual move of the market sets off."""
        is_rise = side == "Buy"
        trigger = round(middle * (1 + (1 if is_rise else -1) * self.rng.uniform(0.013, 0.02)))
        return {"trigger_price": str(trigger), "trigger_direction": 1 if is_rise else 2, "price": str(trigger)}

    def _draw_distance(self) -> float:
        """Draw how far from the opening price: mostly it rests there, sometimes it crosses."""
        return self.rng.uniform(-0.003, 0.02)


def _price(middle: int, side: str, away: float) -> int:
    """Return a limit price; whole numbers are on every tick."""
    return round(middle * (1 - away if side == "Buy" else 1 + away))


class Producers:
    """Several producers and what they were told.

    Args:
        gate: the library.
        seed: of what they do.
        count: how many.
        rate: requests a second, all together.
    """

    def __init__(self, gate: Callable[[], Sluicegate], *, seed: int, count: int, rate: float) -> None:
        self._gate, self._seed, self._count, self._rate = gate, seed, count, rate
        self._stopped = threading.Event()
        self.members: list[Producer] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Let them begin."""
        gate = self._gate()
        for number in range(self._count):
            rng = random.Random(f"{self._seed}-{number}")
            member = Producer(number, gate, rng, self._stopped, self._count / self._rate)
            thread = threading.Thread(target=member.run, name=f"producer-{number}")
            self.members.append(member)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let them finish what they are at."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def promises(self) -> Promises:
        """Return what they were told."""
        return Promises(
            receipts=[receipt for member in self.members for receipt in member.receipts],
            changes=[change_id for member in self.members for change_id in member.changes],
            cancelled=[order_id for member in self.members for order_id in member.cancelled],
        )

    @property
    def accepted(self) -> int:
        """Return how many new orders the producers hold receipts of; at least so many are accepted."""
        return sum(receipt.is_new for member in self.members for receipt in list(member.receipts))

    @property
    def lost(self) -> list[str]:
        """Return the orders that the ledger once denied knowing, and the ids that it says others used."""
        return [order_id for member in self.members for order_id in member.lost]

    @property
    def outages(self) -> int:
        """Return how often the ledger was unavailable."""
        return sum(member.outages for member in self.members)
