"""Witness: what a stream or a list shows goes into the ledger; every row is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.evidence import is_cancelled_here_alone
from sluicegate.domain.holdings import Balance, Position
from sluicegate.domain.lifecycle import END_STATES, State
from sluicegate.domain.orders import LINK_ID_PREFIX, Order, OrderId
from sluicegate.domain.records import Fill, Severity, Sighting
from sluicegate.ports import Clock, EvidenceLedger, ExchangeClock, Ledger, StreamObserver, Witnessed

log = structlog.get_logger(__name__)

MOST_ROWS = 500


class Evidence(Ledger, EvidenceLedger, Protocol):
    """A ledger that takes evidence."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was shown together.

    Attributes:
        topic: where: `order`, `execution`, `position`, `wallet`, or a word for a list.
        created_ms: when the exchange made it, its clock; 0: not told.
    """

    topic: str
    created_ms: int
    sightings: Sequence[Sighting] = ()
    fills: Sequence[Fill] = ()
    positions: Sequence[Position] = ()
    balances: Sequence[Balance] = ()


@dataclass(frozen=True)
class Witness:
    """Writes down what accounts show.

    Args:
        nudge: tells whoever follows an account that there is something new; must not raise.
        look_s: an order that a stream has shown is looked at by itself not before.
    """

    ledger: Evidence
    clock: Clock
    observer: StreamObserver
    nudge: Callable[[str], None]
    look_s: float

    def take(self, account: str, batches: Sequence[Batch], exchange_clock: ExchangeClock | None = None) -> None:
        """Write down batches, oldest first, in one transaction each for orders, positions and balances.

        Args:
            account: whose they are.
            batches: as they came.
            exchange_clock: to measure how late they are in the ledger; None: not measured.

        Raises:
            LedgerUnavailable: show them again; what was written already is not written twice.
        """
        sightings = [seen for batch in batches for seen in batch.sightings]
        fills = [fill for batch in batches for fill in batch.fills]
        positions = [position for batch in batches for position in batch.positions]
        if (
            positions
        ):  # first: a fill that counts twice for a moment keeps a limit, one that counts nowhere does not
            self.ledger.set_positions(account, positions)
            self.observer.streamed(account, "position", "stored", len(positions))
        self.take_orders(account, sightings, fills)
        if exchange_clock is not None:
            self._measure(batches, exchange_clock)
        balances = {balance.coin: balance for batch in batches for balance in batch.balances}  # the last counts
        if balances:
            at_ms = max(batch.created_ms for batch in batches if batch.balances)
            self.ledger.set_balances(account, list(balances.values()), at_ms=at_ms, complete=False)
            self.observer.streamed(account, "wallet", "stored", len(balances))

    def _measure(self, batches: Sequence[Batch], exchange_clock: ExchangeClock) -> None:
        now = self.clock.now()
        for batch in batches:
            if batch.created_ms and (batch.sightings or batch.fills):
                late = now - exchange_clock.to_local(batch.created_ms)
                self.observer.lagged(batch.topic, max(0.0, late.total_seconds()))

    def take_orders(self, account: str, sightings: Sequence[Sighting], fills: Sequence[Fill]) -> list[Witnessed]:
        """Write down orders and fills, as many in one transaction as are written quickly.

        Raises:
            LedgerUnavailable: as `take`.
        """
        now = self.clock.now()
        look_at = now + timedelta(seconds=self.look_s)
        done = []
        for start in range(0, max(len(sightings), len(fills)), MOST_ROWS):
            some, more = sightings[start : start + MOST_ROWS], fills[start : start + MOST_ROWS]
            witnessed = self.ledger.witness(account, some, more, at=now, look_at=look_at)
            self._account_for(account, some, more, witnessed, now)
            done.append(witnessed)
        return done

    def _account_for(
        self, account: str, sightings: Sequence[Sighting], fills: Sequence[Fill], done: Witnessed, now: datetime
    ) -> None:
        self._count(account, sightings, fills, done)
        for before, after in done.moved:
            if after.state is not before.state:
                self.observer.moved(account, after.state.value)
            if before.state is State.DEAD:  # given up as absent, and there after all: it must not be replayed
                note = "the exchange has it after all"
                self.ledger.discard_dead_letter(after.order_id, at=now, note=note)
            if before.state is State.EXPIRED or is_cancelled_here_alone(before):
                self._report_unsent(before, after, now)
            if after.state in END_STATES and before.state not in END_STATES:
                log.info("order_ended", order_id=after.order_id, state=after.state.value)
        for stranger in done.strangers:
            self._report(account, stranger, now)
        if done.moved or done.fills:
            self.nudge(account)

    def _count(self, account: str, sightings: Sequence[Sighting], fills: Sequence[Fill], done: Witnessed) -> None:
        ours = sum(seen.link_id.startswith(LINK_ID_PREFIX) for seen in sightings)
        news = min(len(done.moved), ours)
        self.observer.streamed(account, "order", "news", news)
        self.observer.streamed(account, "order", "known", ours - news)
        self.observer.streamed(account, "order", "foreign", len(sightings) - ours)
        own = sum(fill.link_id.startswith(LINK_ID_PREFIX) for fill in fills)
        self.observer.streamed(account, "execution", "news", done.fills)
        self.observer.streamed(account, "execution", "known", max(0, own - done.fills))
        self.observer.streamed(account, "execution", "foreign", len(fills) - own)

    def _report_unsent(self, before: Order, after: Order, now: datetime) -> None:
        """Tell of an order that was ended here as never sent, and is or was on the exchange."""
        is_reopened = before.state is State.CANCELLED and after.state not in END_STATES
        self.ledger.open_incident(
            f"called_unsent:{after.order_id}",
            severity=Severity.CRITICAL,
            title=f"An order that was {before.state} as never sent is on the exchange",
            detail=f"{after.describe()}: {before.state} here, {after.exchange_status or 'filled'} there. "
            f"Last answer: {before.last_code or 'none'} {before.last_message}".strip(),
            fix=("Sluicegate cancels it now. " if is_reopened else "")
            + f"Look at it with `sluicegate orders show {after.order_id}`, check the position, and report it: "
            "the exchange has executed what it said it had not, or somebody else has sent it.",
            at=now,
        )

    def _report(self, account: str, stranger: Sighting | Fill, now: datetime) -> None:
        """Tell of what carries a link id of ours and is not that order."""
        self.observer.streamed(account, "order" if isinstance(stranger, Sighting) else "execution", "stranger")
        order_id = OrderId(stranger.link_id.removeprefix(LINK_ID_PREFIX))
        try:
            order = self.ledger.get(order_id)
        except OrderNotFound:
            log.warning("link_id_of_no_order", account=account, order_link_id=stranger.link_id)
            return
        self.ledger.open_incident(
            f"foreign:{order_id}",
            severity=Severity.CRITICAL,
            title=f"Another order lives under our link id {order.link_id}",
            detail=f"Asked: {order.describe()}. Shown: {stranger.side} {stranger.qty} {stranger.symbol}.",
            fix="Find out who placed it. Sluicegate neither adopts it nor sends its own.",
            at=now,
        )
