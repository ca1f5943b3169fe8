"""One account on Bybit, its market, its limits and its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from sluicegate.domain.holdings import Balance, Position
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import (
    Category,
    Order,
    OrderLinkId,
    OrderRequest,
)
from sluicegate.domain.outcomes import Outcome, RateHeaders, Refused
from sluicegate.domain.records import (
    Fill,
    Sighting,
)
from sluicegate.domain.risk import RiskLimits
from sluicegate.ports.buckets import BucketSpec, Lane, LaneKind


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sent command came to, and when it was signed.

    Attributes:
        signed_at_ms: the request's timestamp, exchange clock as far as we know it; None when never signed.
        elapsed_s: from handing it to the network to the answer.
        left_at_s: when it was signed, monotonic; None when never signed.
    """

    outcome: Outcome
    signed_at_ms: int | None
    elapsed_s: float
    left_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a query by link id showed.

    Attributes:
        sighting: the order; None when this query does not know it.
        answered_at_ms: the exchange's clock when it answered.
    """

    sighting: Sighting | None
    answered_at_ms: int
    headers: RateHeaders


_Shown = TypeVar("_Shown")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Shown]):
    """One page of a list, newest first.

    Attributes:
        cursor: of the next page; None: this was the last.
        answered_at_ms: the exchange's clock when it answered.
    """

    rows: Sequence[_Shown]
    cursor: str | None
    answered_at_ms: int
    headers: RateHeaders


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What the exchange says about an API key."""

    uid: str
    is_read_only: bool
    permissions: Mapping[str, Sequence[str]]
    days_left: int | None


class Exchange(Protocol):
    """One account on Bybit. Commands answer with an outcome and never raise; queries raise.

    Queries raise `OrderRejected` (with the code) when the exchange refuses them and `ExchangeUnavailable` when no
    usable answer came.
    """

    def place(self, request: OrderRequest, link_id: OrderLinkId, *, sign_before: datetime) -> Answer:
        """Send an order.

        Args:
            request: fitted to its instrument.
            link_id: the order's, on every attempt the same.
            sign_before: local time after which the request must not be signed any more (the claim's lease).
        """

    def place_many(
        self, orders: Sequence[tuple[OrderRequest, OrderLinkId]], *, sign_before: datetime
    ) -> list[Answer]:
        """Send several orders of one category in one request.

        Args:
            orders: each fitted to its instrument, with its link id; no more than a batch takes.
            sign_before: as in `place`.

        Returns:
            One answer an order, same order. What befell the whole request befell each of them.
        """

    def amend(self, order: Order, changed: Mapping[str, str], *, sign_before: datetime) -> Answer:
        """Send an amendment: Bybit's field names with plain values."""

    def cancel(self, order: Order, *, sign_before: datetime) -> Answer:
        """Send a cancellation."""

    def find_open(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `realtime`: open and recently closed orders."""

    def find_closed(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `history`: closed orders."""

    def open_orders(
        self, category: Category, *, settle_coin: str, cursor: str | None
    ) -> tuple[list[Sighting], str | None, RateHeaders]:
        """Ask `realtime` for one page of open orders, newest first; of those, the ones with our link ids.

        Args:
            category: all its orders are listed, of every symbol.
            settle_coin: required for linear; ignored for spot.
            cursor: from the page before; None for the first.

        Returns:
            The orders, the cursor of the next page (None: this was the last), the rate headers.
        """

    def fills(
        self, category: Category, symbol: str, link_id: str, *, cursor: str | None = None
    ) -> tuple[list[Fill], str | None, RateHeaders]:
        """Ask `execution/list` for one page of an order's fills; also returns the next page's cursor."""

    def key_info(self) -> KeyInfo:
        """Ask whose key this is and what it may do."""

    def list_open(self, category: Category, *, settle_coin: str, cursor: str | None) -> Page[Sighting]:
        """Ask `realtime` for one page of all open orders, ours or not.

        Args:
            category: all its orders are listed, of every symbol.
            settle_coin: required for linear; empty elsewhere.
            cursor: from the page before; None for the first.
        """

    def list_closed(self, category: Category, *, cursor: str | None) -> Page[Sighting]:
        """Ask `history` for one page of closed orders of the last 7 days, newest by creation first."""

    def list_fills(
        self, category: Category, *, base_coin: str = "", since_ms: int, cursor: str | None
    ) -> Page[Fill]:
        """Ask `execution/list` for one page of all executions of the 7 days that begin at an instant.

        Options are listed by base coin; without one Bybit means BTC.
        """

    def list_positions(self, category: Category, *, settle_coin: str, cursor: str | None) -> Page[Position]:
        """Ask `position/list` for one page of open positions; parameters as `list_open`."""

    def list_balances(self) -> Page[Balance]:
        """Ask `wallet-balance` for the unified account's coins."""


class Market(Protocol):
    """Public data of one environment."""

    def rules(self, category: Category, symbol: str) -> InstrumentRules | None:
        """Return the rules of an instrument; None when the exchange does not list it.

        Raises:
            ExchangeUnavailable: the rules cannot be had now; fail closed.
        """

    def last_price(self, category: Category, symbol: str) -> Decimal:
        """Return the last price, a few seconds old at most.

        Raises:
            ExchangeUnavailable: there is none now; fail closed.
        """


class ExchangeClock(Protocol):
    """The exchange's clock as far as it was measured."""

    @property
    def offset_s(self) -> float:
        """Return the exchange's clock minus ours, seconds."""

    def to_exchange_ms(self, local: datetime) -> int:
        """Translate local time into the exchange's, ms."""

    def to_local(self, exchange_ms: int) -> datetime:
        """Translate the exchange's time, ms, into local time."""


@dataclass(frozen=True, slots=True)
class Account:
    """One configured account with everything that its orders need.

    Attributes:
        environment: `mainnet`, `testnet`, `demo`, `simulator`.
        reach_ms: how long after its signature a request may still be accepted, margin included.
    """

    name: str
    environment: str
    exchange: Exchange
    market: Market
    clock: ExchangeClock
    risk: RiskLimits
    reach_ms: int


class Accounts(Protocol):
    """The configured accounts."""

    def get(self, name: str) -> Account:
        """Return an account.

        Raises:
            ConfigurationError: it is not configured here, or its key cannot be read.
        """

    def names(self) -> list[str]:
        """Return the names of all configured accounts."""

    def resync_clock(self, name: str) -> float:
        """Measure the clock of the account's exchange anew; returns the offset, seconds.

        Raises:
            ExchangeUnavailable: no answer.
        """


class Quotas(Protocol):
    """Which buckets a request draws from."""

    def lanes(
        self, account: str, uid: str, paths: Mapping[LaneKind, str], category: Category
    ) -> tuple[list[Lane], list[BucketSpec]]:
        """Return the lanes of an account's orders, and the buckets that each request needs besides."""

    def specs(
        self, account: str, uid: str, path: str, category: Category | None, *, orders: int = 1
    ) -> list[BucketSpec]:
        """Return the buckets of a request, the endpoint's first, the IP's last.

        Args:
            account: its tier and limits may raise the documented quota.
            uid: whose quota it is; two accounts with keys of one UID share it.
            path: e.g. `/v5/order/create`.
            category: None for endpoints without one.
            orders: how many orders the request carries.
        """

    def egress(self) -> BucketSpec:
        """Return the bucket of this host's public IP."""


class CodeBook(Protocol):
    """What the exchange's codes mean."""

    def burial(self, code: str) -> tuple[str, str, str] | None:
        """Return dead-letter reason, cause and fix of a code after which sending again is pointless, or None."""

    def is_taken(self, code: str) -> bool:
        """Tell whether a code says that the exchange has an order under this link id already."""

    def is_about_order(self, code: str) -> bool:
        """Tell whether a code is about the order itself: unknown to the exchange, over, or there already."""

    def refusal(self, code: str, message: str) -> Refused:
        """Return a refused query as an outcome, with action, cause and fix."""
