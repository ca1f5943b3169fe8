"""Following orders to where they are wanted."""

from __future__ import annotations

import sys
import time
from collections import Counter
from itertools import islice
from typing import Any

from sluicegate.cli.console import complain, note, say, say_json, warn
from sluicegate.cli.progress import Progress
from sluicegate.domain.errors import LedgerUnavailable
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, State
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Order, Receipt
from sluicegate.ports import Ledger

FAILURES = frozenset({State.REJECTED, State.EXPIRED, State.DEAD})
POLL_S = 0.2
LOOKED_AT = 500
"""Orders that are looked at in one round; the others have their turn in the next."""

SAY_EVERY_S = 5.0


class Follower:
    """Waits for orders and prints each one's line when it is there.

    Args:
        ledger: where they are.
        until: `end`, or `live` for "on the exchange, or at its end".
        as_json: how a line is printed.
    """

    def __init__(self, ledger: Ledger, *, until: str, as_json: bool) -> None:
        self._ledger = ledger
        self._awaited = END_STATES if until == "end" else END_STATES | ON_EXCHANGE_STATES
        self._as_json = as_json
        self._waiting: dict[int, Receipt] = {}
        self._seen: Counter[str] = Counter()
        self._said_at = time.monotonic()

    def add(self, number: int, receipt: Receipt) -> None:
        """Follow an order."""
        self._waiting[number] = receipt

    def follow(self, *, timeout_s: float) -> bool:
        """Wait for all orders.

        Args:
            timeout_s: longest wait, seconds.

        Returns:
            Whether all came where they are wanted, and none failed.
        """
        give_up_at = time.monotonic() + timeout_s
        total = len(self._waiting)
        with Progress(total) as progress:
            while self._waiting:
                if not self._look():
                    return False
                progress.show(total - len(self._waiting), self._summary())
                if self._waiting and time.monotonic() >= give_up_at:
                    complain(
                        f"{len(self._waiting)} orders are not there yet after {timeout_s:g} s; {self._summary()}"
                    )
                    return False
                if self._waiting:
                    self._say_now_and_then()
                    time.sleep(POLL_S)
        note(self._summary())
        return not any(self._seen[state.value] for state in FAILURES)

    def print_rest(self) -> None:
        """Print the lines of the orders that are still on their way, as they were accepted."""
        for number, receipt in self._waiting.items():
            self._print(number, receipt, None)
        self._waiting.clear()

    def _look(self) -> bool:
        for number in list(islice(self._waiting, LOOKED_AT)):
            receipt = self._waiting[number]
            try:
                order = self._ledger.get(receipt.order_id)
            except LedgerUnavailable as e:
                complain(f"{e}. The orders are safe; follow them with: sluicegate orders list")
                return False
            del self._waiting[number]
            if order.state in self._awaited:
                self._seen[order.state.value] += 1
                self._print(number, receipt, order)
                self._warn_about(number, order)
            else:
                self._waiting[number] = receipt  # at the end of the row
        sys.stdout.flush()
        return True

    def _print(self, number: int, receipt: Receipt, order: Order | None) -> None:
        if self._as_json:
            say_json({"line": number, **receipt.to_json(), **({} if order is None else _result(order))})
            return
        known = "" if receipt.is_new else "  (known already)"
        state = receipt.state if order is None else order.state
        say(f"{receipt.order_id}  {state}  {receipt.account}  {receipt.client_order_id}{known}")

    def _warn_about(self, number: int, order: Order) -> None:
        if order.state in FAILURES:
            why = f"{order.last_code} {order.last_message}".strip()
            if order.state is State.DEAD:
                letter = self._ledger.dead_letter(order.order_id)
                why = f"({letter.reason}): {letter.message}. {letter.fix}"
            warn(f"line {number}: {order.order_id} is {order.state} {why}".rstrip())

    def _summary(self) -> str:
        parts = [f"{count} {state}" for state, count in sorted(self._seen.items())]
        if self._waiting:
            parts.append(f"{len(self._waiting)} on their way")
        return ", ".join(parts) or "no orders"

    def _say_now_and_then(self) -> None:
        if not sys.stderr.isatty() and time.monotonic() - self._said_at > SAY_EVERY_S:
            self._said_at = time.monotonic()
            note(self._summary())


def _result(order: Order) -> dict[str, Any]:
    return {
        "state": order.state.value,
        "cum_exec_qty": plain(order.cum_exec_qty),
        "avg_price": None if order.avg_price is None else plain(order.avg_price),
        "code": order.last_code,
        "message": order.last_message,
    }
