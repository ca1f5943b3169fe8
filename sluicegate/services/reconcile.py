"""Reconcile: compare ledger and exchange, bring the ledger to the truth, and tell what nobody can explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from sluicegate.domain.comparison import Difference, Kind, compare_orders, compare_positions
from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderNotFound,
    OrderRejected,
)
from sluicegate.domain.holdings import AccountEvent
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES
from sluicegate.domain.orders import LINK_ID_PREFIX, Order, OrderId
from sluicegate.domain.records import Severity
from sluicegate.ports import Account, Accounts, Buckets, Clock, OrderFilter, StreamObserver
from sluicegate.services.backfill import POSITIONS, Backfill, OpenOrders
from sluicegate.services.faults import Faults
from sluicegate.services.halts import Halts
from sluicegate.services.lookout import REALTIME
from sluicegate.services.resolve import Resolver
from sluicegate.services.witness import Evidence

log = structlog.get_logger(__name__)

SETTLED: Final = timedelta(seconds=5)
"""What changed within that time may be in flight: acknowledged and not listed yet, or filled and not told yet."""
STREAM_FRESH: Final = timedelta(seconds=15)
SPARE: Final = 0.5
"""A comparison that is not urgent leaves so much of each quota to others."""
LOOKED_AT: Final = frozenset({Kind.MISSING, Kind.BEHIND})
"""Differences that a look at the order mends."""
MOST_LOOKS: Final = 50
DIFFERENCE: Final = "difference"
MOST_ORDERS: Final = 20_000


@dataclass(frozen=True)
class Reconciler:
    """Compares accounts.

    A difference is looked at, order by order, and nearly always explained by that: an event was lost, and the
    ledger follows. One that two comparisons in a row find is unexplained: it opens an incident, which closes by
    itself when a comparison does not find it any more. A stream that did not show what an order became reads so in
    the doubts that a comparison leaves in the ledger, and connects again.

    Args:
        interval_s: between two comparisons of an account; a stream asks for one after each gap.
    """

    ledger: Evidence
    accounts: Accounts
    buckets: Buckets
    halts: Halts
    backfill: Backfill
    resolver: Resolver
    clock: Clock
    observer: StreamObserver
    interval_s: float

    def reconcile(self) -> dict[str, int]:
        """Compare the accounts whose turn it is.

        Returns:
            The number of differences by account, for the log.
        """
        done: dict[str, int] = {}
        uids = {record.name: record.uid for record in self.ledger.accounts() if record.uid}
        for name in self.accounts.names():
            if name not in uids:
                continue
            try:
                with Faults().apart("reconcile", account=name):
                    if self._is_my_turn(name, uids[name]):
                        done[name] = len(self.compare(self.accounts.get(name)))
            except (BucketDenied, BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
                log.info("reconcile_put_off", account=name, why=str(e))
            except OrderRejected as e:
                self.halts.obey(name, e)
        return done

    def _is_my_turn(self, name: str, uid: str) -> bool:
        """Take an account's turn, unless it is halted, not due, taken, or others need its quota."""
        now = self.clock.now()
        if self.halts.silencing(name) is not None:
            return False
        if not self.ledger.take_reconcile(now, account=name, again_at=now + timedelta(seconds=self.interval_s)):
            return False
        if self._is_quota_short(name, uid):
            self.ledger.ask_reconcile(name, now + timedelta(seconds=self.interval_s / 6))
            return False
        return True

    def compare(self, account: Account) -> list[Difference]:
        """Compare one account now.

        Raises:
            BucketDenied, BucketUnavailable, ExchangeUnavailable, OrderRejected, LedgerUnavailable: nothing was
                concluded.
        """
        opened = self.backfill.list_open(account)
        settled_at = self.clock.now() - SETTLED
        orders = self._orders(account.name, opened)
        settled_ms = account.clock.to_exchange_ms(settled_at)
        found = compare_orders(orders, opened.sightings, settled_at=settled_at, settled_ms=settled_ms)
        is_streamed = self._is_streamed(account.name)
        positions = self._compare_positions(account, settled_ms)
        self.backfill.refresh_balances(account)
        self.backfill.witness.take_orders(account.name, opened.sightings, ())
        self._look(found)
        if is_streamed:
            found += positions
        else:  # nobody said that the ledger is up to date: what a look mends is no difference
            found = [difference for difference in found if difference.kind not in LOOKED_AT]
        before = self.ledger.doubts(account.name)
        for difference in found:
            self.observer.differed(account.name, difference.kind.value)
            if before.get(difference.key, {}).get("detail") != difference.detail:  # told once, while it stays
                self._note(account.name, difference)
        self._judge(account.name, found, before)
        return found

    def _compare_positions(self, account: Account, settled_ms: int) -> list[Difference]:
        known = [position for _account, position in self.ledger.positions(account.name)]
        shown, complete_ms = self.backfill.list_positions(account)
        self.ledger.set_positions(account.name, shown, complete_ms=complete_ms)
        return compare_positions(known, shown, settled_ms=settled_ms)

    def _orders(self, name: str, opened: OpenOrders) -> dict[str, Order]:
        """Return the orders that should be on the exchange and those that it shows, by link id."""
        away = self.ledger.list_orders(OrderFilter(account=name, states=ON_EXCHANGE_STATES, limit=MOST_ORDERS))
        orders = {order.link_id: order for order in away}
        found: dict[str, Order] = {str(link_id): order for link_id, order in orders.items()}
        for link_id in opened.links - found.keys():
            try:
                found[link_id] = self.ledger.get(OrderId(link_id.removeprefix(LINK_ID_PREFIX)))
            except OrderNotFound:
                continue
        return found

    def _note(self, name: str, difference: Difference) -> None:
        log.warning("ledger_differs", account=name, kind=difference.kind.value, detail=difference.detail)
        facts = {"kind": difference.kind.value, "detail": difference.detail}
        if difference.order_id:
            self.ledger.note(OrderId(difference.order_id), DIFFERENCE, facts)
        else:  # a position belongs to no one order, a stranger's order to none of ours
            self.ledger.note_account(AccountEvent(name, self.clock.now(), DIFFERENCE, facts))

    def _look(self, found: Sequence[Difference]) -> None:
        """Let the orders that differ be looked at alone; many of them by the scheduler, a few now."""
        about = [d.order_id for d in found if d.order_id and d.kind in LOOKED_AT]
        for order_id in about[:MOST_LOOKS]:
            with Faults().apart("reconcile", order_id=order_id):
                self.resolver.look(OrderId(order_id))
        for order_id in about[MOST_LOOKS:]:
            self.ledger.wake(OrderId(order_id), self.clock.now())

    def _judge(self, name: str, found: Sequence[Difference], before: Mapping[str, Any]) -> None:
        """Open incidents for what the last comparison found too, close those that are over."""
        now = self.clock.now()
        doubts: dict[str, Any] = {}
        for difference in found:
            known = before.get(difference.key)
            is_told = known is not None
            since = (known or {}).get("since", now.isoformat())
            about = {"kind": difference.kind.value, "detail": difference.detail}
            doubts[difference.key] = {"since": since, "is_told": is_told, **about}
            if is_told:
                self.ledger.open_incident(
                    _incident(name, difference.key),
                    severity=Severity.CRITICAL,
                    title=f"Ledger and exchange differ on account {name}: {difference.kind.value}",
                    detail=difference.detail,
                    fix="Compare by hand on Bybit. An order under a link id of ours that is not here comes from "
                    "another ledger on the same account; nobody ends an order that Bybit forgot: cancel it here.",
                    at=now,
                )
        for key, known in before.items():
            if key not in doubts and known.get("is_told"):
                self.ledger.resolve_incident(_incident(name, key), now)
        if doubts != before:
            self.ledger.set_doubts(name, doubts)

    def _is_streamed(self, name: str) -> bool:
        seen_at = self.ledger.view(name).stream_at
        return seen_at is not None and self.clock.now() - seen_at <= STREAM_FRESH

    def _is_quota_short(self, name: str, uid: str) -> bool:
        """Tell whether others need the quota; after a gap of the stream the comparison comes first."""
        if not self._is_streamed(name):
            return False
        try:
            states = self.buckets.states()
        except BucketUnavailable:
            return True
        return any(
            state.free < state.limit * SPARE
            for state in states
            if f":{uid}:{REALTIME}:" in state.name or f":{uid}:{POSITIONS}:" in state.name
        )


def overlooked(doubts: Mapping[str, Any], since: datetime) -> str | None:
    """Return the key of a difference that a stream which was up since then should have prevented; None for none.

    Args:
        doubts: what the last comparison left in the ledger.
        since: when the ledger had everything, by the gap that was filled.
    """
    for key, doubt in doubts.items():
        if doubt.get("kind") in LOOKED_AT and datetime.fromisoformat(doubt["since"]) > since + SETTLED:
            return key
    return None


def _incident(name: str, key: str) -> str:
    return f"reconcile:{name}:{key}"
