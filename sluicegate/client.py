"""The producer's API."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sluicegate.bootstrap import Container
from sluicegate.config import Settings, load_settings
from sluicegate.domain.errors import LedgerConflict
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, State
from sluicegate.domain.orders import Order, OrderId, OrderRequest, Receipt, parse_amend
from sluicegate.domain.records import Change
from sluicegate.ports import OrderUpdate
from sluicegate.services.tail import Tail

POLL_S = 0.1
STREAM_POLL_S = 0.2
"""Events of workers give no hint; a stream looks so often."""


class Sluicegate:
    """Hand orders to Sluicegate and follow them.

    Safe for threads; build one a process, after fork.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Sluicegate:
        """Build a client from `SLUICEGATE_*` variables and the file named by `SLUICEGATE_CONFIG`.

        Raises:
            ConfigurationError: a setting is missing or wrong; the text names it.
        """
        return cls(Container(settings if settings is not None else load_settings(), "producer"))

    @property
    def container(self) -> Container:
        """Return the objects behind this client."""
        return self._container

    def close(self) -> None:
        """Give connections back; the client cannot be used afterwards."""
        self._container.close()

    def submit(self, request: OrderRequest) -> Receipt:
        """Accept an order: when this returns, it is safe in the ledger, whatever happens to broker and workers.

        Args:
            request: the order. `client_order_id` is its idempotency key: the same key with the same content
                returns the first receipt.

        Raises:
            LedgerConflict: the key is taken by other content.
            InvalidOrder: its account is not configured.
            LedgerUnavailable: nothing was accepted; submit again, with the same `client_order_id`.
        """
        [result] = self._container.submitter.submit([request])
        if isinstance(result, LedgerConflict):
            raise result
        return result

    def submit_many(self, requests: Sequence[OrderRequest]) -> list[Receipt | LedgerConflict]:
        """Accept many orders in few transactions.

        Returns:
            One entry an order, same order: its receipt, or the conflict about its `client_order_id`.

        Raises:
            InvalidOrder: an account is not configured; nothing was accepted.
            LedgerUnavailable: some may be accepted; submit again, with the same `client_order_id`s.
        """
        return self._container.submitter.submit(requests)

    def cancel(self, order_id: str) -> Change | None:
        """Ask for an order to be cancelled.

        Returns:
            The request, carried out by a worker; None when the order was cancelled at once, never sent.

        Raises:
            OrderNotFound: there is no such order.
            TooLate: it has come to its end.
        """
        return self._container.changes.cancel(OrderId(order_id))

    def amend(self, order_id: str, **fields: Any) -> Change | None:
        """Ask for an order to be amended: qty (the new total), price, trigger_price, take_profit, stop_loss.

        Returns:
            The request, carried out by a worker; None when the order was amended at once, not sent yet.

        Raises:
            InvalidOrder: a field is wrong.
            OrderNotFound, TooLate: as `cancel`.
        """
        return self._container.changes.amend(OrderId(order_id), parse_amend(fields))

    def status(self, order_id: str) -> Order:
        """Return an order as the ledger knows it.

        Raises:
            OrderNotFound: there is no such order.
        """
        return self._container.ledger.get(OrderId(order_id))

    def wait(
        self, order_id: str, *, timeout_s: float, until: Collection[State] = END_STATES | ON_EXCHANGE_STATES
    ) -> Order:
        """Wait until an order is on the exchange or has come to an end.

        Args:
            order_id: from the receipt.
            timeout_s: longest wait, seconds.
            until: the states to wait for; `END_STATES` alone waits for the order's end.

        Returns:
            The order.

        Raises:
            TimeoutError: it is in none of these states yet; nothing else happened to it.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            order = self.status(order_id)
            if order.state in until:
                return order
            if time.monotonic() >= deadline:
                raise TimeoutError(f"order {order_id} is still {order.state} after {timeout_s} s")
            time.sleep(POLL_S)

    def stream(
        self,
        *,
        after: int | None = None,
        accounts: Collection[str] | None = None,
        idle_s: float | None = None,
    ) -> Iterator[OrderUpdate]:
        """Yield what happens to orders, as it happens, each event once and in the ledger's order.

        Events come from the ledger; Redis only says when to look. Remember `position` of the last one handled and
        give it as `after` to go on behind it, in another process or on another day.

        Args:
            after: a position; None: from now on; 0: from the beginning.
            accounts: only theirs; None: of all.
            idle_s: end after so long without an event; None: never.

        Raises:
            LedgerUnavailable: go on behind the last event's position.
        """
        ledger = self._container.ledger
        tail = Tail(ledger, self._container.clock, ledger.last_position() if after is None else after)
        return self._updates(tail, accounts, idle_s)  # from now on, not from the first `next` on

    def _updates(
        self, tail: Tail, accounts: Collection[str] | None, idle_s: float | None
    ) -> Iterator[OrderUpdate]:
        listener = self._container.nudges.listen()
        quiet_since = time.monotonic()
        try:
            while True:
                updates = tail.read()
                for update in updates:
                    if accounts is None or update.account in accounts:
                        quiet_since = time.monotonic()
                        yield update
                if idle_s is not None and time.monotonic() - quiet_since >= idle_s:
                    return
                if not updates:
                    listener.wait(STREAM_POLL_S)
        finally:
            listener.close()
