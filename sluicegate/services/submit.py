"""Submit: an order is safe in the ledger first; then a worker is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from ulid import ULID

from sluicegate.domain.batches import Line, companies
from sluicegate.domain.errors import BrokerUnavailable, InvalidOrder, LedgerConflict
from sluicegate.domain.orders import NewOrder, OrderId, OrderRequest, Receipt
from sluicegate.ports import Clock, Ledger, Observer, Publisher

log = structlog.get_logger(__name__)

_WakeAt = Mapping[OrderId, datetime]

CHUNK = 100
"""Orders a transaction: on SQLite everybody else who writes waits meanwhile."""
DIRECT = 40
"""Orders of one line that a call publishes itself; more go through the scheduler."""
FULL_QUEUE = 200
"""With so many messages waiting the workers have enough to do; the rest waits in the ledger, not in the broker."""


def new_order_id() -> OrderId:
    """Return a new order id: 26 letters and digits, sortable by time."""
    return OrderId(str(ULID()))


@dataclass(frozen=True)
class Submitter:
    """Accepts orders.

    Args:
        known_accounts: names that are configured; an order for another is refused at once.
        republish_s: the scheduler publishes an order again that nobody took up for so long.
    """

    ledger: Ledger
    publisher: Publisher
    clock: Clock
    observer: Observer
    known_accounts: frozenset[str]
    republish_s: float

    def submit(self, requests: Sequence[OrderRequest]) -> list[Receipt | LedgerConflict]:
        """Accept orders and tell the workers.

        Args:
            requests: valid orders.

        Returns:
            One entry an order, same order: its receipt, or the conflict about its `client_order_id`.

        Raises:
            InvalidOrder: an account is not configured; nothing was accepted.
            LedgerUnavailable: the orders of this chunk and the following were not accepted; the same call again is
                safe when each order has a `client_order_id`.
        """
        for request in requests:
            self._check_account(request.account)
        results: list[Receipt | LedgerConflict] = []
        handed: Counter[Line] = Counter()
        for start in range(0, len(requests), CHUNK):
            results += self._submit_chunk(requests[start : start + CHUNK], handed)
        return results

    def _check_account(self, account: str) -> None:
        if account not in self.known_accounts:
            known = ", ".join(sorted(self.known_accounts)) or "none"
            raise InvalidOrder(f"account: {account!r} is not configured (configured: {known})")

    def _submit_chunk(
        self, requests: Sequence[OrderRequest], handed: Counter[Line]
    ) -> list[Receipt | LedgerConflict]:
        now = self.clock.now()
        first = now - timedelta(microseconds=len(requests))  # an instant each: limits count who was first
        instants = (first + timedelta(microseconds=i) for i in range(len(requests)))
        pairs = zip(requests, instants, strict=True)
        return self._accept([NewOrder(new_order_id(), request, at) for request, at in pairs], handed)

    def accept(self, orders: Sequence[NewOrder]) -> list[Receipt | LedgerConflict]:
        """Store orders and publish those that are new and due.

        Raises:
            LedgerUnavailable: nothing was accepted.
        """
        return self._accept(orders, Counter())

    def _accept(self, orders: Sequence[NewOrder], handed: Counter[Line]) -> list[Receipt | LedgerConflict]:
        return self._store(orders, lambda wake_at: self.ledger.accept(orders, wake_at=wake_at), handed)

    def replay(self, order: NewOrder) -> Receipt | LedgerConflict:
        """Store an order in place of the dead one that it names, and publish it if it is new and due.

        Raises:
            LedgerUnavailable: nothing was accepted.
            OrderNotFound: that order has no dead letter.
        """

        def replay(wake_at: _WakeAt) -> list[Receipt | LedgerConflict]:
            return [self.ledger.replay_dead_letter(order, wake_at=wake_at[order.order_id])]

        return self._store([order], replay, Counter())[0]

    def _store(
        self,
        orders: Sequence[NewOrder],
        store: Callable[[_WakeAt], list[Receipt | LedgerConflict]],
        handed: Counter[Line],
    ) -> list[Receipt | LedgerConflict]:
        now = self.clock.now()
        direct, begins_line = self._direct(orders, now, handed)
        later = now + timedelta(seconds=self.republish_s)
        results = store({order.order_id: later if order.order_id in direct else now for order in orders})
        fresh = [
            order
            for order, receipt in zip(orders, results, strict=True)
            if isinstance(receipt, Receipt) and receipt.is_new
        ]
        for order in fresh:
            self.observer.moved(order.request.account, "accepted")
        due = [order for order in fresh if order.order_id in direct]
        if due:
            self._publish(due)
        if begins_line:
            self._hurry()
        return results

    def _hurry(self) -> None:
        """Let the scheduler hand out a line that begins, which it would find within a quarter of a second."""
        try:
            self.publisher.publish_release()
        except BrokerUnavailable as e:
            log.warning("publish_failed", error=str(e), then="the scheduler comes by itself")

    def _publish(self, due: Sequence[NewOrder]) -> None:
        requests = {order.order_id: order.request for order in due}
        formed = companies(requests)
        described = [{order_id: describe(requests[order_id]) for order_id in company} for company in formed]
        try:
            self.publisher.publish_orders(described)
        except BrokerUnavailable as e:
            log.warning("publish_failed", orders=len(due), error=str(e), then="the scheduler publishes them")

    def _direct(
        self, orders: Sequence[NewOrder], now: datetime, handed: Counter[Line]
    ) -> tuple[set[OrderId], bool]:
        """Return the orders that are published at once, and whether others begin a line.

        Those wait in the ledger for the scheduler.

        Nobody overtakes a line that waits, and nobody fills the broker: the first `DIRECT` of each line may go.

        Args:
            orders: some of those that were handed over together.
            now: the time.
            handed: how many of each line came before them; counts them too.
        """
        due: list[tuple[NewOrder, int]] = []
        for order in orders:
            if order.due_at <= now:
                handed[_line(order)] += 1
                due.append((order, handed[_line(order)]))
        try:
            standing = self.publisher.standing({_line(order) for order, _nth in due})
        except BrokerUnavailable as e:
            log.warning("broker_unavailable", error=str(e), then="the scheduler publishes the orders later")
            return set(), False
        if standing.messages >= FULL_QUEUE:
            return set(), False
        free = [(order, nth) for order, nth in due if _line(order) not in standing.waiting]
        direct = {order.order_id for order, nth in free if nth <= DIRECT}
        return direct, any(nth == DIRECT + 1 for _order, nth in free)


def _line(order: NewOrder) -> Line:
    return order.request.account, order.request.category


def describe(request: OrderRequest) -> str:
    """Return one line for Flower: `main Buy 0.01 BTCUSDT linear`."""
    return f"{request.account} {request.side} {format(request.qty, 'f')} {request.symbol} {request.category}"
