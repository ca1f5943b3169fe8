"""What a round of the scheduler costs while many orders wait in the ledger (SQLite) for their account's quota.

The peer of a backlog is the smallest one: a ratio of 1 means that the cost does not depend on who else waits.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure, compare
from benchmarks.servers import valkey
from sluicegate.bootstrap import Container
from sluicegate.config import Settings
from sluicegate.domain.batches import Line
from sluicegate.domain.orders import NewOrder, OrderId, OrderRequest
from sluicegate.ports import Standing
from sluicegate.services.pace import Pace
from sluicegate.services.submit import new_order_id

HANDED_OUT = 30
"""What the scheduler's first round gives a line whose quota nobody knows yet: 1.5 s of two lanes of ten."""
ROUNDS = 60
BLOCK = 500
COPIED = {"order_id": "o.order_id || '-' || :copy", "link_id": "o.link_id || '-' || :copy"}
COPIED["client_order_id"] = "o.client_order_id || '-' || :copy"
"""What must differ between an order and its copies."""


class Silence:
    """A broker with room that takes every message."""

    def __init__(self) -> None:
        self.taken: list[OrderId] = []

    def publish_orders(self, companies: Sequence[Mapping[OrderId, str]]) -> None:
        """Take them."""
        self.taken += [order_id for company in companies for order_id in company]

    def publish_change(self, order_id: OrderId, described: str) -> None:
        """Take it."""

    def publish_release(self) -> None:
        """Do nothing."""

    def publish_look(self, order_id: OrderId, described: str) -> None:
        """Take it."""

    def standing(self, lines: Collection[Line]) -> Standing:  # noqa: ARG002 - the port's
        """Return that nothing waits."""
        return Standing(0)

    def note_waiting(self, lines: Mapping[Line, bool], for_s: float) -> None:
        """Take note."""


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure rounds with growing backlogs; the backlogs take turns, so all meet the same load."""
    sizes = (1000, 100_000, 1_000_000)
    rounds = 3 * ROUNDS if full else ROUNDS
    runs: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        url = stack.enter_context(valkey())
        ledgers = {size: stack.enter_context(_ledger(url, size)) for size in sizes}
        for _round in range(rounds):
            for size, container in ledgers.items():
                runs[size].append(_release(container))
    found = []
    for size in sizes[1:]:
        name = f"release of {HANDED_OUT} of {size:,} that wait for their quota"
        found.append(compare(name, "ms", runs[size], f"of {sizes[0]:,}", runs[sizes[0]]))
    return found


@contextmanager
def _ledger(broker_url: str, size: int) -> Iterator[Container]:
    """Run a ledger in which so many orders wait."""
    with tempfile.TemporaryDirectory() as home:
        container = Container(Settings(home=Path(home), broker_url=broker_url), "scheduler")  # type: ignore[arg-type]
        try:
            _fill(container, size)
            yield container
        finally:
            container.close()


def _release(container: Container) -> float:
    """Hand out what a quota carries, and return how long the round takes, ms."""
    pace = Pace(container.ledger, container.quotas, container.buckets, container.clock)
    broker = Silence()
    releaser = replace(container.releaser, publisher=broker, pace=pace)
    started = time.perf_counter()
    done = releaser.release()
    took_ms = (time.perf_counter() - started) * 1000
    assert done["published"] == HANDED_OUT, done
    for order_id in broker.taken:  # back into the line
        container.ledger.wake(order_id, datetime.now(UTC))
    return took_ms


def _fill(container: Container, size: int) -> None:
    """Let so many orders of one account wait: a block through the ledger's own door, the rest copied by SQL."""
    now = datetime.now(UTC)
    request = OrderRequest(
        account="main",
        category="linear",
        symbol="BTCUSDT",
        side="Buy",
        order_type="Limit",
        qty="0.01",
        price="60000",
    )
    block = min(BLOCK, size)
    container.ledger.accept([NewOrder(new_order_id(), request, now) for _ in range(block)], wake_at=now)
    with container.engine.begin() as connection:
        columns = [row[1] for row in connection.execute(text("PRAGMA table_info(orders)"))]
        taken = ", ".join(COPIED.get(column, f"o.{column}") for column in columns)
        copy = text(f"INSERT INTO orders ({', '.join(columns)}) SELECT {taken} FROM orders o LIMIT {block}")
        for number in range(1, size // block):
            connection.execute(copy, {"copy": number})
