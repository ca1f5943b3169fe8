"""Those who are told: workers and people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluicegate.domain.batches import Line
from sluicegate.domain.orders import (
    OrderId,
)
from sluicegate.domain.records import (
    Incident,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the broker stands.

    Attributes:
        messages: order messages that no worker has taken yet.
        waiting: lines whose orders wait in the ledger; newcomers go behind them.
    """

    messages: int
    waiting: frozenset[Line] = frozenset()


class Publisher(Protocol):
    """Celery messages: hints that carry an order id and nothing else."""

    def publish_orders(self, companies: Sequence[Mapping[OrderId, str]]) -> None:
        """Tell workers that orders are due.

        Args:
            companies: a message each: orders that go together, each with one line that Flower shows.

        Raises:
            BrokerUnavailable: perhaps published, perhaps not; the scheduler publishes them later.
        """

    def publish_release(self) -> None:
        """Tell the scheduler that orders are due, before it looks by itself.

        Raises:
            BrokerUnavailable: perhaps published, perhaps not.
        """

    def publish_change(self, order_id: OrderId, described: str) -> None:
        """Tell workers that an order has an open change.

        Raises:
            BrokerUnavailable: as above.
        """

    def publish_look(self, order_id: OrderId, described: str) -> None:
        """Tell a control worker to look at an order on the exchange.

        Raises:
            BrokerUnavailable: as above.
        """

    def standing(self, lines: Collection[Line]) -> Standing:
        """Return how many order messages wait in the broker, and which of these lines have orders waiting.

        Raises:
            BrokerUnavailable: no answer.
        """

    def note_waiting(self, lines: Mapping[Line, bool], for_s: float) -> None:
        """Let producers know, for a while, whether orders of these lines wait in the ledger.

        Raises:
            BrokerUnavailable: no answer.
        """


class Pager(Protocol):
    """Tells a person about an incident."""

    def page(self, incident: Incident) -> bool:
        """Deliver what `incident.page_kind` says; False when nobody could be reached (it is tried again later)."""
