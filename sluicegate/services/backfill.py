"""Backfill: what happened while nobody listened, asked by REST, page by page, through the valve."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import structlog

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.holdings import Balance, ForeignOrder, Position
from sluicegate.domain.instruments import OPTION_COINS
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, State
from sluicegate.domain.orders import LINK_ID_PREFIX, Category, Order
from sluicegate.domain.records import Fill, Severity, Sighting
from sluicegate.ports import Account, Accounts, Clock, OrderFilter, Page
from sluicegate.services.lookout import EXECUTIONS, HISTORY, REALTIME
from sluicegate.services.valve import Valve
from sluicegate.services.witness import Evidence, Witness

log = structlog.get_logger(__name__)

POSITIONS, BALANCES = "/v5/position/list", "/v5/account/wallet-balance"
SCOPES: Final = (
    (Category.LINEAR, "USDT"),
    (Category.LINEAR, "USDC"),
    (Category.INVERSE, ""),
    (Category.SPOT, ""),
    (Category.OPTION, ""),
)
"""What lists an account whole: linear is asked by settle coin. Source: Bybit V5 `realtime`, docs of 2026-07-24."""

FILL_SCOPES: Final = (
    *((category, "") for category in Category if category is not Category.OPTION),
    *((Category.OPTION, coin) for coin in OPTION_COINS),
)
"""What lists all fills: options are asked by base coin. Source: Bybit V5 `execution/list`, docs of 2026-07-24."""

TOKEN_WAIT_S: Final = 2.0
OVERLAP_MS: Final = 5_000
"""So much before the gap is asked again: what happened last may have been shown in another order."""
SPAN: Final = timedelta(days=7)
"""What one list spans when only its start is given. Source: Bybit V5 `execution/list`, docs of 2026-07-24."""
KEPT: Final = timedelta(days=729)
"""Bybit keeps fills for two years; a day is our margin. Source: as above."""
FIRST_SPAN: Final = timedelta(days=1)
OPEN_PAGES: Final = 400
"""20,000 open orders of a category: Bybit allows 500 a symbol."""
CLOSED_PAGES: Final = 60
FILL_PAGES: Final = 2_000
"""200,000 fills of one week: more than that is a list without an end."""
AWAY: Final = frozenset({State.IN_DOUBT, *ON_EXCHANGE_STATES})

_MS: Final = timedelta(milliseconds=1)

_Shown = TypeVar("_Shown", Sighting, Fill, Position, Balance)


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """The open orders of an account, ours or not.

    Attributes:
        asked_at_ms: exchange clock: an order that came before is in the list, or has ended.
    """

    sightings: tuple[Sighting, ...]
    asked_at_ms: int

    @property
    def links(self) -> set[str]:
        """Return the link ids of ours."""
        return {seen.link_id for seen in self.sightings if seen.link_id.startswith(LINK_ID_PREFIX)}


@dataclass(frozen=True)
class Backfill:
    """Asks for what a stream has missed."""

    ledger: Evidence
    accounts: Accounts
    valve: Valve
    witness: Witness
    clock: Clock

    def fill(self, name: str, since_ms: int | None) -> dict[str, int]:
        """Fill the gap of an account: open orders, executions, orders that ended, positions, balances.

        Args:
            name: of the account.
            since_ms: exchange clock: all that happened before was seen; None: nothing was.

        Returns:
            How many rows each list had, and how many orders it moved; for the log.

        Raises:
            BucketDenied, BucketUnavailable, ExchangeUnavailable: try again; nothing is lost.
            OrderRejected: the exchange refuses the account; obey it.
            LedgerUnavailable, ConfigurationError: as everywhere.
        """
        account = self.accounts.get(name)
        others = self.ledger.foreign_open(name)  # first: what is not in the list then has ended
        opened = self.list_open(account)
        fills = self._list_fills(account, since_ms)
        away = [order for order in self._away(name) if order.link_id not in opened.links]
        shown = {seen.exchange_order_id for seen in opened.sightings}
        gone = [other for other in others if other.exchange_order_id not in shown]
        closed = self._list_closed(account, away, gone)
        done = self.witness.take_orders(name, [*closed, *opened.sightings], fills)
        self._wake_rest(away, closed)
        self._close_rest(name, gone, opened.asked_at_ms)
        positions = self.refresh_positions(account)
        self.refresh_balances(account)
        return {
            "open": len(opened.sightings),
            "closed": len(closed),
            "fills": len(fills),
            "positions": positions,
            "moved": sum(len(part.moved) for part in done),
            "new_fills": sum(part.fills for part in done),
        }

    def list_open(self, account: Account, categories: Collection[Category] = frozenset(Category)) -> OpenOrders:
        """List the open orders of an account in some categories; raises as `fill`."""
        asked_at_ms = account.clock.to_exchange_ms(self.clock.now())
        shown: list[Sighting] = []
        for category, coin in SCOPES:
            if category not in categories:
                continue

            def ask(cursor: str | None, category: Category = category, coin: str = coin) -> Page[Sighting]:
                return account.exchange.list_open(category, settle_coin=coin, cursor=cursor)

            for page in self._pages(account, REALTIME, category, ask, OPEN_PAGES):
                shown += page.rows
        return OpenOrders(tuple(shown), asked_at_ms)

    def refresh_positions(self, account: Account) -> int:
        """Ask for all positions and store them; returns how many were different. Raises as `fill`."""
        shown, complete_ms = self.list_positions(account)
        return self.ledger.set_positions(account.name, shown, complete_ms=complete_ms)

    def list_positions(self, account: Account) -> tuple[list[Position], int]:
        """Ask for all positions; returns the instant, exchange clock, at which they were all. Raises as `fill`."""
        shown: list[Position] = []
        asked_at_ms = account.clock.to_exchange_ms(self.clock.now())
        for category, coin in SCOPES:
            if category is Category.SPOT:
                continue

            def ask(cursor: str | None, category: Category = category, coin: str = coin) -> Page[Position]:
                return account.exchange.list_positions(category, settle_coin=coin, cursor=cursor)

            for page in self._pages(account, POSITIONS, category, ask, OPEN_PAGES):
                shown += page.rows
        return shown, asked_at_ms

    def refresh_balances(self, account: Account) -> None:
        """Ask for the balances and store them; raises as `fill`."""
        with self.valve.open(account.name, BALANCES, None, max_wait_s=TOKEN_WAIT_S) as passage:
            passage.leave()
            page = account.exchange.list_balances()
            passage.answered(page.headers)
        self.ledger.set_balances(account.name, page.rows, at_ms=page.answered_at_ms, complete=True)

    def _list_fills(self, account: Account, since_ms: int | None) -> list[Fill]:
        """List the fills of a gap, oldest first, in spans as long as the exchange allows."""
        now_ms = account.clock.to_exchange_ms(self.clock.now())
        spans = range(self._start_ms(account, since_ms), now_ms + 1, SPAN // _MS)
        shown: list[Fill] = []
        for (category, coin), start_ms in itertools.product(FILL_SCOPES, reversed(spans)):

            def ask(
                cursor: str | None, category: Category = category, coin: str = coin, start_ms: int = start_ms
            ) -> Page[Fill]:
                return account.exchange.list_fills(category, base_coin=coin, since_ms=start_ms, cursor=cursor)

            for page in self._pages(account, EXECUTIONS, category, ask, FILL_PAGES):
                shown += page.rows
        shown.reverse()
        return shown

    def _list_closed(self, account: Account, away: list[Order], gone: list[ForeignOrder]) -> list[Sighting]:
        """List the orders that ended, until all that are looked for were found or are older than the page."""
        shown: list[Sighting] = []
        wanted: dict[Category, set[str]] = defaultdict(set)
        for order in away:
            wanted[order.category].add(order.link_id)
        for other in gone:  # it may have no link id
            wanted[Category(other.category)].add(other.exchange_order_id)
        for category, missing in wanted.items():

            def ask(cursor: str | None, category: Category = category) -> Page[Sighting]:
                return account.exchange.list_closed(category, cursor=cursor)

            pages = max(2, len(missing) // 10)
            for page in self._pages(account, HISTORY, category, ask, min(pages, CLOSED_PAGES), is_whole=False):
                shown += page.rows
                missing -= {name for seen in page.rows for name in (seen.link_id, seen.exchange_order_id)}
                if not missing:
                    break
        shown.reverse()
        return shown

    def _wake_rest(self, away: list[Order], closed: list[Sighting]) -> None:
        """Let orders that no list showed be looked at by themselves, soon."""
        found = {seen.link_id for seen in closed}
        for order in away:
            if order.link_id not in found:
                self.ledger.wake(order.order_id, self.clock.now())

    def _close_rest(self, name: str, gone: list[ForeignOrder], asked_at_ms: int) -> None:
        """Close foreign orders that no list shows; of spot, a list without a filter may not show every kind."""
        ids = [other.exchange_order_id for other in gone if other.category != Category.SPOT.value]
        if ids:
            self.ledger.close_foreign(name, ids, before_ms=asked_at_ms - OVERLAP_MS, at=self.clock.now())

    def _away(self, name: str) -> list[Order]:
        return self.ledger.list_orders(OrderFilter(account=name, states=AWAY, limit=20_000))

    def _start_ms(self, account: Account, since_ms: int | None) -> int:
        now = self.clock.now()
        if since_ms is None:
            return account.clock.to_exchange_ms(now - FIRST_SPAN)
        earliest = account.clock.to_exchange_ms(now - KEPT)
        if since_ms < earliest:
            self._report_forgotten(account.name, since_ms)
        return max(since_ms - OVERLAP_MS, earliest)

    def _report_forgotten(self, name: str, since_ms: int) -> None:
        since = datetime.fromtimestamp(since_ms / 1000, UTC)
        log.error("stream_gap_forgotten", account=name, since=since.isoformat(), kept_days=KEPT.days)
        self.ledger.open_incident(
            f"stream_gap:{name}",
            severity=Severity.WARNING,
            title=f"Account {name} was not followed for longer than Bybit keeps fills",
            detail=f"The ledger has everything until {since:%Y-%m-%d %H:%M} UTC and the last {KEPT.days} days.",
            fix="Take what lies between from your own statements. Close this with `sluicegate incidents resolve`.",
            at=self.clock.now(),
        )

    def _pages(
        self,
        account: Account,
        path: str,
        category: Category,
        ask: Callable[[str | None], Page[_Shown]],
        most: int,
        *,
        is_whole: bool = True,
    ) -> Iterator[Page[_Shown]]:
        """Yield the pages of a list; each pays its token."""
        cursor: str | None = None
        for _number in range(most):
            with self.valve.open(account.name, path, category, max_wait_s=TOKEN_WAIT_S) as passage:
                passage.leave()
                page = ask(cursor)
                passage.answered(page.headers)
            yield page
            cursor = page.cursor
            if cursor is None:
                return
        if is_whole:
            raise ExchangeUnavailable(f"{path} has more than {most} pages of {category}")
