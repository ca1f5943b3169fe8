"""What a demo found: gathered from ledger, exchange, metrics and pages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sluicegate.bootstrap import Container
from sluicegate.cli.demo.comparison import compare
from sluicegate.cli.stack import probes
from sluicegate.cli.stack.stack import Addresses
from sluicegate.domain.orders import Order, Receipt
from sluicegate.domain.records import DeadLetter, Halt
from sluicegate.ports import OrderFilter
from sluicegate.telemetry.catalogue import PREFIX

MOST_ORDERS: Final = 100_000


@dataclass
class Findings:
    """Everything that a demo came to.

    Attributes:
        receipts: by the number of the line.
        refused: why a line was refused, by its number.
        truth: every order that the exchange ever accepted.
        stats: the exchange's own counts, by UID and endpoint.
        responses: answers by (endpoint, retCode), counted by the workers.
        injected: how many 10006 the demo had the exchange give.
        trails: names of the events of some orders, by client order id.
        problems: what is not as it must be.
    """

    seconds: float = 0.0
    receipts: dict[int, Receipt] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    responses: Counter[tuple[str, str]] = field(default_factory=Counter)
    injected: int = 0
    trails: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def by_state(self) -> Counter[str]:
        """Count the orders by state."""
        return Counter(order.state.value for order in self.orders)

    @property
    def by_code(self) -> Counter[str]:
        """Count the exchange's answers by retCode."""
        codes: Counter[str] = Counter()
        for (_endpoint, code), count in self.responses.items():
            codes[code] += count
        return codes

    @property
    def differences(self) -> list[str]:
        """Return how ledger and exchange differ."""
        return compare(self.orders, self.truth)

    @property
    def too_many(self) -> int:
        """Return how many 10006 the exchange gave of its own accord."""
        given = sum(
            tally["ret_codes"].get("10006", 0) for buckets in self.stats.values() for tally in buckets.values()
        )
        return int(given) - self.injected

    def limits(self) -> list[dict[str, Any]]:
        """Return each bucket of the exchange: the largest number in any rolling second, and the limit."""
        return [
            {"uid": uid, "endpoint": endpoint, **{k: tally[k] for k in ("requests", "max_per_second", "limit")}}
            for uid, buckets in sorted(self.stats.items())
            for endpoint, tally in sorted(buckets.items())
        ]

    def document(self) -> dict[str, Any]:
        """Return the summary as one JSON document."""
        from sluicegate.cli.views import halt_document, letter_document

        names = {order.order_id: order.client_order_id for order in self.orders}
        return {
            "ok": not self.problems,
            "seconds": round(self.seconds, 1),
            "lines": {
                "accepted": len(self.receipts),
                "refused": [{"line": number, "why": why} for number, why in sorted(self.refused.items())],
                "repeated": sum(not receipt.is_new for receipt in self.receipts.values()),
            },
            "orders": {"total": len(self.orders), "by_state": dict(self.by_state)},
            "ret_codes": dict(self.by_code),
            "responses": [
                {"endpoint": endpoint, "ret_code": code, "count": count}
                for (endpoint, code), count in sorted(self.responses.items())
            ],
            "dead_letters": [
                {"client_order_id": names.get(letter.order_id, ""), **letter_document(letter)}
                for letter in self.letters
            ],
            "halts": [halt_document(halt) for halt in self.halts],
            "pages": self.pages,
            "limiter": {
                "unexpected_10006": self.too_many,
                "injected_10006": self.injected,
                "buckets": self.limits(),
            },
            "comparison": {
                "ledger": len(self.orders),
                "exchange": len(self.truth),
                "agree": not self.differences,
                "differences": self.differences,
            },
            "problems": self.problems,
        }


def gather(found: Findings, opened: Container, addresses: Addresses, watched: Mapping[str, str]) -> None:
    """Read ledger, exchange and metrics anew.

    Args:
        found: takes what is read.
        opened: the ledger's.
        addresses: of the running stack.
        watched: client order ids of orders whose trails are read, with their accounts.

    Raises:
        LedgerUnavailable, OSError: something does not answer.
    """
    ledger = opened.ledger
    found.truth = probes.fetch_json(f"{addresses.simulator_url}/simulator/orders")["list"]
    found.orders = ledger.list_orders(OrderFilter(limit=MOST_ORDERS))
    found.letters = ledger.dead_letters(limit=MOST_ORDERS)
    found.halts = ledger.halts()
    found.stats = probes.fetch_json(f"{addresses.simulator_url}/simulator/stats")["uids"]
    by_client_id = {(order.account, order.client_order_id): order for order in found.orders}
    for client_id, account in watched.items():
        order = by_client_id.get((account, client_id))
        if order is not None:
            found.trails[client_id] = [
                f"{event.event} {event.detail.get('code', '')}".strip() for event in ledger.events(order.order_id)
            ]


def count_responses(metrics: Mapping[str, str]) -> Counter[tuple[str, str]]:
    """Return the exchange's answers by (endpoint, retCode), from the metrics of every process.

    Args:
        metrics: URLs by process.
    """
    from prometheus_client.parser import text_string_to_metric_families

    name = f"{PREFIX}exchange_responses_total"
    counted: Counter[tuple[str, str]] = Counter()
    for url in metrics.values():
        for family in text_string_to_metric_families(_page(url)):
            for sample in family.samples:
                if sample.name == name:
                    counted[sample.labels["endpoint"], sample.labels["ret_code"]] += int(sample.value)
    return counted


def _page(url: str) -> str:
    give_up_at = time.monotonic() + 5
    while True:
        try:
            return probes.fetch(url)
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)
