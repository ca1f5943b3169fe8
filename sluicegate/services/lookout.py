"""Lookout: asks the exchange about orders, and leaves one that does not answer alone for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.orders import Category, Order, OrderRequest
from sluicegate.domain.records import Fill, Sighting
from sluicegate.ports import Account, Clock
from sluicegate.services.passage import Passage
from sluicegate.services.valve import Valve

REALTIME, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
TOKEN_WAIT_S = 0.3
LIST_TOKEN_WAIT_S = 1.0
MOST_FILL_PAGES = 100
FAILURES = 3
AWAY_S = 5.0
MOST_AT_ONCE = 6
"""Queries of one venue that may wait for an answer at the same time in one process. The control worker has eight
threads: two stay free for the scheduler's ticks and for other venues, however long this one takes to time out."""


@dataclass(slots=True)
class _Venue:
    waiting: int = 0
    failures: int = 0
    away_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the lists of orders show of one order.

    Attributes:
        sighting: None: no list knows it.
        answered_at_ms: the exchange's clock in the oldest of their answers.
    """

    sighting: Sighting | None
    answered_at_ms: int


@dataclass(frozen=True)
class Lookout:
    """Asks about orders, each question through the valve.

    A venue that failed `FAILURES` times in a row counts as away: for `AWAY_S` nobody asks it, and then one asks,
    alone. So orders of a venue that does not answer stay in doubt, and cost the others nothing.
    """

    valve: Valve
    clock: Clock
    _venues: dict[str, _Venue] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, account: Account, order: Order) -> Finding:
        """Look for an order among the open and the recently closed ones, then in the history.

        Raises:
            ExchangeUnavailable: no usable answer; nothing is known.
            BucketDenied, BucketUnavailable: not asked.
            OrderRejected: the exchange refuses the query.
        """
        answered: list[int] = []
        for path in (REALTIME, HISTORY):
            ask = account.exchange.find_open if path == REALTIME else account.exchange.find_closed
            for order_filter in filters(order.request):
                with self._asking(account, path, order.category, TOKEN_WAIT_S) as passage:
                    lookup = ask(order.category, order.symbol, order.link_id, order_filter=order_filter)
                    passage.answered(lookup.headers)
                answered.append(lookup.answered_at_ms)
                if lookup.sighting is not None:
                    return Finding(lookup.sighting, min(answered))
        return Finding(None, min(answered))

    def fills(self, account: Account, order: Order) -> list[Fill]:
        """Return the fills of an order, page by page; each pays its token.

        Raises:
            ExchangeUnavailable, BucketDenied, BucketUnavailable, OrderRejected: as `find`.
        """
        fills: list[Fill] = []
        cursor: str | None = None
        for _page in range(MOST_FILL_PAGES):
            with self._asking(account, EXECUTIONS, order.category, LIST_TOKEN_WAIT_S) as passage:
                page, cursor, headers = account.exchange.fills(
                    order.category, order.symbol, order.link_id, cursor=cursor
                )
                passage.answered(headers)
            fills += page
            if cursor is None:
                return fills
        raise ExchangeUnavailable(f"{EXECUTIONS} has no last page for {order.link_id}")

    def open_page(
        self, account: Account, category: Category, *, settle_coin: str, cursor: str | None
    ) -> tuple[list[Sighting], str | None]:
        """Return one page of open orders and the cursor of the next.

        Raises:
            ExchangeUnavailable, BucketDenied, BucketUnavailable, OrderRejected: as `find`.
        """
        with self._asking(account, REALTIME, category, LIST_TOKEN_WAIT_S) as passage:
            page, following, headers = account.exchange.open_orders(
                category, settle_coin=settle_coin, cursor=cursor
            )
            passage.answered(headers)
        return page, following

    @contextmanager
    def _asking(self, account: Account, path: str, category: Category, max_wait_s: float) -> Iterator[Passage]:
        venue = self._enter(account.environment)
        is_answer: bool | None = None  # not asked: nothing new is known
        try:
            with self.valve.open(account.name, path, category, max_wait_s=max_wait_s) as passage:
                is_answer = True
                passage.leave()
                yield passage
        except ExchangeUnavailable:
            is_answer = False
            raise
        finally:
            self._leave(venue, is_answer=is_answer)

    def _enter(self, environment: str) -> _Venue:
        with self._lock:
            venue = self._venues.setdefault(environment, _Venue())
            is_away = venue.failures >= FAILURES
            if is_away and (venue.waiting or self.clock.monotonic() < venue.away_until_s):
                raise ExchangeUnavailable(f"{environment} did not answer {venue.failures} times; asked again soon")
            if venue.waiting >= MOST_AT_ONCE:
                raise ExchangeUnavailable(f"{venue.waiting} questions to {environment} wait for their answers")
            venue.waiting += 1
            return venue

    def _leave(self, venue: _Venue, *, is_answer: bool | None) -> None:
        with self._lock:
            venue.waiting -= 1
            if is_answer is True:
                venue.failures = 0
            elif is_answer is False:
                venue.failures += 1
                venue.away_until_s = self.clock.monotonic() + AWAY_S


def filters(request: OrderRequest) -> tuple[str, ...]:
    """Return the `orderFilter`s under which an order may be listed; the empty one means any kind.

    A conditional or spot TP/SL order may be listed under its own filter alone while it waits, and as a plain order
    once it has triggered.

    Source: Bybit V5 open-orders page, docs of 2026-07-24; which kinds a query without a filter shows differs
    between products, so both are asked.
    """
    kind = request.order_filter or ("StopOrder" if request.trigger_price is not None else "Order")
    return ("",) if kind == "Order" else ("", kind)
