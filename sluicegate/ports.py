"""The Protocols that services talk to; adapters implement them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, Generic, Protocol, TypedDict, TypeVar

from sluicegate.domain.batches import Line
from sluicegate.domain.errors import LedgerConflict
from sluicegate.domain.holdings import AccountView, Balance, ForeignOrder, Position
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import (
    Category,
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderId,
    OrderLinkId,
    OrderRequest,
    Receipt,
)
from sluicegate.domain.outcomes import Outcome, RateHeaders, Refused
from sluicegate.domain.records import (
    AccountRecord,
    Change,
    ChangeState,
    DeadLetter,
    Fill,
    Halt,
    Incident,
    Severity,
    Sighting,
)
from sluicegate.domain.risk import RiskLimits


class Clock(Protocol):
    """Local time."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""

    def monotonic(self) -> float:
        """Return seconds that never step back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


# --- ledger ---------------------------------------------------------------------------------------------------


class Patch(TypedDict, total=False):
    """Columns of an order that a transition sets besides its state."""

    due_at: datetime | None
    wake_at: datetime | None
    lease_until: datetime | None
    horizon_ms: int | None
    attempts: int
    acked_at: datetime | None
    exchange_order_id: str
    exchange_status: str
    cum_exec_qty: Decimal
    avg_price: Decimal | None
    last_code: str
    last_message: str
    request: OrderRequest


class ChangePatch(TypedDict, total=False):
    """Columns of a change that a move sets besides its state."""

    attempts: int
    wake_at: datetime | None
    horizon_ms: int | None
    last_code: str
    last_message: str


@dataclass(frozen=True, slots=True)
class Move:
    """One order's move, as `Ledger.transition` takes it."""

    order: Order
    event: Event
    patch: Patch
    detail: Mapping[str, Any]
    dead_letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list; None means any.

    Attributes:
        limit: at most so many, newest first.
        before: only orders with an id below it (the last one of the page before).
    """

    account: str | None = None
    states: Collection[State] | None = None
    symbol: str | None = None
    limit: int = 100
    before: OrderId | None = None


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """One event of an order, as a follower sees it.

    Attributes:
        position: of the event in the ledger; following goes on behind it.
    """

    position: int
    account: str
    category: str
    symbol: str
    client_order_id: str
    event: OrderEvent

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "position": self.position,
            "at": self.event.at.isoformat(),
            "order_id": self.event.order_id,
            "client_order_id": self.client_order_id,
            "account": self.account,
            "category": self.category,
            "symbol": self.symbol,
            "event": self.event.event,
            "from_state": self.event.from_state,
            "state": self.event.to_state,
            "detail": dict(self.event.detail),
        }


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a batch of evidence came to.

    Attributes:
        moved: orders that it changed, before and after.
        fills: how many of the fills are new fills of our orders.
        foreign: how many of the others were new, or changed what was known of a foreign order.
        strangers: what carries a link id of ours and cannot be that order; kept as foreign.
    """

    moved: tuple[tuple[Order, Order], ...] = ()
    fills: int = 0
    foreign: int = 0
    strangers: tuple[Sighting | Fill, ...] = ()


class EvidenceLedger(Protocol):
    """What the ledger learns from streams and lists. Every method raises `LedgerUnavailable` as `Ledger` does."""

    def witness(
        self,
        account: str,
        sightings: Sequence[Sighting],
        fills: Sequence[Fill],
        *,
        at: datetime,
        look_at: datetime,
    ) -> Witnessed:
        """Write down what the exchange shows of an account's orders, in one transaction.

        It may be shown in any order, twice, late, or before the acknowledgement. Orders and fills that are not
        ours are kept apart.

        Args:
            account: whose stream or list it was.
            sightings: orders as shown, oldest first.
            fills: executions as shown.
            at: local time.
            look_at: orders that stay open are looked at by themselves not before; those whose quantity or price
                is not what the ledger knows at once.
        """

    def take_missing_fills(self, now: datetime, *, limit: int) -> list[Order]:
        """Take orders of which more was executed than fills are known, and let them rest for a while."""

    def view(self, account: str) -> AccountView:
        """Return how well an account is known."""

    def update_view(self, view: AccountView) -> bool:
        """Store how well an account is known; False when a younger holder of its stream has written (by fence)."""

    def take_reconcile(self, now: datetime, *, account: str, again_at: datetime) -> bool:
        """Take an account's comparison that is due; False when none is, or someone else took it."""

    def ask_reconcile(self, account: str, at: datetime) -> None:
        """Let an account be compared at `at`, if that is sooner than planned."""

    def doubts(self, account: str) -> dict[str, Any]:
        """Return the differences that the last comparison could not explain."""

    def set_doubts(self, account: str, doubts: Mapping[str, Any]) -> None:
        """Store the differences that a comparison could not explain."""

    def positions(self, account: str | None = None) -> list[tuple[str, Position]]:
        """Return the positions that were seen last, with their accounts; flat ones are left out."""

    def set_positions(self, account: str, positions: Sequence[Position], *, complete_ms: int | None = None) -> int:
        """Store positions; older ones (by `updated_ms`) are dropped.

        Args:
            account: whose.
            positions: as shown.
            complete_ms: these were all at that instant, exchange clock: the others are flat, unless they changed
                later.

        Returns:
            How many differ from what was stored in side or size.
        """

    def balances(self, account: str | None = None) -> list[tuple[str, Balance]]:
        """Return the balances that were seen last, with their accounts."""

    def set_balances(self, account: str, balances: Sequence[Balance], *, at_ms: int, complete: bool) -> None:
        """Store balances as of `at_ms`, exchange clock; older ones are dropped."""

    def exposure(
        self, account: str, category: Category, symbol: str, *, before: OrderId
    ) -> tuple[Decimal, Decimal]:
        """Return what orders may still buy and sell: on the exchange, perhaps on it, or due and older than one."""

    def last_acknowledged(self, account: str, *, since: datetime, until: datetime) -> OrderLinkId | None:
        """Return the link id of the newest order acknowledged within that time; None: there is none."""

    def children(self, order_id: OrderId) -> list[ForeignOrder]:
        """Return the take-profit and stop-loss orders that came with an order."""

    def foreign_open(self, account: str) -> list[ForeignOrder]:
        """Return the open orders of an account that Sluicegate did not place."""

    def events_after(self, position: int, *, limit: int) -> list[OrderUpdate]:
        """Return events of all orders behind a position, oldest first."""

    def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""


class Ledger(Protocol):
    """The SQL database that owns the truth about every order.

    Every write either happens whole, with its event row in the same transaction, or not at all. Every method
    raises `LedgerUnavailable` when the database does not answer (fail closed: send nothing).
    """

    def accept(
        self, orders: Sequence[NewOrder], *, wake_at: datetime | Mapping[OrderId, datetime]
    ) -> list[Receipt | LedgerConflict]:
        """Store new orders, state `accepted`, each with its first event, in one transaction.

        Args:
            orders: to store. One whose (account, client_order_id) is known is not stored again.
            wake_at: when the scheduler publishes them, or each, if nobody did before (an order due later: its
                due_at).

        Returns:
            One entry an order, same order: a receipt (`is_new` False for a repeated content), or the conflict.
        """

    def get(self, order_id: OrderId) -> Order:
        """Return an order.

        Raises:
            OrderNotFound: there is none.
        """

    def get_many(self, order_ids: Collection[OrderId]) -> list[Order]:
        """Return those orders that exist, in any order."""

    def find(self, account: str, client_order_id: str) -> Order | None:
        """Return the order under a producer's id, or None."""

    def list_orders(self, wanted: OrderFilter) -> list[Order]:
        """Return orders, newest first."""

    def events(self, order_id: OrderId) -> list[OrderEvent]:
        """Return the audit trail of an order, oldest first."""

    def executions(self, order_id: OrderId) -> list[Execution]:
        """Return the fills of an order, oldest first."""

    def transition(
        self,
        order: Order,
        event: Event,
        patch: Patch,
        detail: Mapping[str, Any],
        *,
        dead_letter: DeadLetter | None = None,
        done: Change | None = None,
    ) -> Order | None:
        """Move an order by compare-and-set on (id, version, state), with its event row, in one transaction.

        Args:
            order: the snapshot that the decision was made on.
            event: what happened; the lifecycle table gives the new state.
            patch: further columns.
            detail: facts for the audit trail, JSON values only.
            dead_letter: stored in the same transaction.
            done: a change that becomes `done` in the same transaction, by compare-and-set.

        Returns:
            The order after the move; None when someone else moved it, or the change, first: nothing was written
            (load it again and decide anew).

        Raises:
            IllegalTransition: the lifecycle has no such pair.
        """

    def transition_many(self, moves: Sequence[Move]) -> list[Order | None]:
        """Move several orders in one transaction, each by compare-and-set as `transition` does.

        Args:
            moves: of different orders.

        Returns:
            One entry a move, same order: the order after it; None when someone else moved that order first (the
            others are moved all the same).

        Raises:
            IllegalTransition: the lifecycle has no such pair; nothing was written.
        """

    def note(self, order_id: OrderId, event: str, detail: Mapping[str, Any]) -> None:
        """Write an event row that changes no state."""

    def due_states(self, now: datetime) -> Collection[State]:
        """Return the states in which an order's `wake_at` has come: a cheap read, without a lock."""

    def rest(self, orders: Collection[Order], at: datetime) -> None:
        """Let orders that were taken sleep until `at`, unless someone woke them in between."""

    def parked_accounts(self) -> list[str]:
        """Return the accounts that have parked orders: cheap however many orders there are."""

    def due_lines(self, now: datetime) -> list[Line]:
        """Return the lines in which an accepted order's `wake_at` has come: cheap however many wait."""

    def take_due_of(self, line: Line, now: datetime, *, limit: int, snooze: timedelta) -> list[Order]:
        """Take accepted orders of one line, as `take_due` does."""

    def take_due(self, now: datetime, *, states: Collection[State], limit: int, snooze: timedelta) -> list[Order]:
        """Take orders whose `wake_at` has come and let them sleep until `now + snooze`; no event, no version.

        Several schedulers may call this at once: an order goes to one of them. One that takes orders and dies
        delays them by `snooze`.

        Returns:
            Highest priority first, then earliest `wake_at`.
        """

    def overdue(self, now: datetime, *, limit: int) -> list[Order]:
        """Return accepted and parked orders whose deadline has come, earliest first; nothing is taken."""

    def wake(self, order_id: OrderId, at: datetime) -> None:
        """Let the scheduler look at an open order at `at`, if that is sooner than planned."""

    def questions(self, *, limit: int) -> list[Order]:
        """Return open orders whose code is a `Question`: a person must decide about them; the oldest first."""

    def add_executions(self, executions: Sequence[Execution]) -> int:
        """Store fills; known `exec_id`s are skipped. Returns how many were new."""

    def accepted_within(self, account: str, until: datetime, window: timedelta) -> int:
        """Count orders of an account created in `(until - window, until]`."""

    def fates_within(self, account: str, until: datetime, window: timedelta) -> tuple[int, int]:
        """Count how an account's orders came out in `(until - window, until]`.

        Returns:
            How many became dead letters, and how many were acknowledged.
        """

    def add_change(self, change: Change) -> Change:
        """Store an amend or cancel request with an event row; sets its sequence."""

    def open_changes(self, order_id: OrderId) -> list[Change]:
        """Return the pending and submitting changes of an order, oldest first."""

    def changes(self, order_id: OrderId) -> list[Change]:
        """Return all changes of an order, oldest first."""

    def move_change(
        self, change: Change, state: ChangeState, patch: ChangePatch, detail: Mapping[str, Any]
    ) -> Change | None:
        """Move a change by compare-and-set on (id, version), with an event row of its order; None when lost."""

    def take_due_changes(self, now: datetime, *, limit: int, snooze: timedelta) -> list[Change]:
        """Take open changes whose `wake_at` has come, as `take_due` does orders; oldest first."""

    def rest_change(self, change: Change, at: datetime) -> None:
        """Let an open change sleep until `at`, unless someone moved it meanwhile; no event, no version."""

    def dead_letters(
        self,
        *,
        account: str | None = None,
        reason: str | None = None,
        only_open: bool = True,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Return dead letters, newest first."""

    def dead_letter(self, order_id: OrderId) -> DeadLetter:
        """Return one dead letter.

        Raises:
            OrderNotFound: the order has none.
        """

    def discard_dead_letter(self, order_id: OrderId, *, at: datetime, note: str = "") -> bool:
        """Mark a dead letter discarded, with an event row; False when none was open."""

    def replay_dead_letter(self, fresh: NewOrder, *, wake_at: datetime) -> Receipt | LedgerConflict:
        """Store a new order in place of a dead one, and mark the letter, with event rows, in one transaction.

        The letter must be open and the order dead when the transaction commits; others that replay, discard or
        move it wait, or are refused.

        Args:
            fresh: with `replay_of`, whose letter it is.
            wake_at: as in `accept`.

        Returns:
            The receipt, `is_new` False when the letter was replayed by the same content before; or why it may not
            be replayed: nothing was written.

        Raises:
            OrderNotFound: the order has no dead letter.
        """

    def halt(self, halt: Halt) -> bool:
        """Store a halt; False when the scope was halted already (the longer `until` wins, None is longest)."""

    def lift(self, scope: str) -> Halt | None:
        """Remove a halt and return it; None when there was none."""

    def halts(self, scopes: Collection[str] | None = None) -> list[Halt]:
        """Return the halts of the given scopes, or all."""

    def open_incident(
        self, key: str, *, severity: Severity, title: str, detail: str, fix: str, at: datetime
    ) -> tuple[Incident, bool]:
        """Open an incident, or count it up if one with this key is unresolved. True: it is new."""

    def incident(self, incident_id: int) -> Incident | None:
        """Return an incident; None when there is no such one."""

    def ack_incident(self, incident_id: int, at: datetime, *, by: str = "", note: str = "") -> Incident | None:
        """Acknowledge an incident: it is not paged again until it is over. None when there is no such one.

        Args:
            incident_id: which.
            at: when; the first acknowledgement counts.
            by: who takes care of it.
            note: what they have to say.
        """

    def resolve_incident(self, key: str, at: datetime) -> Incident | None:
        """Close the unresolved incident with this key; None when there is none."""

    def claim_page(self, now: datetime, lease: timedelta) -> Incident | None:
        """Take the incident whose page is due the longest, so that no other scheduler pages about it.

        Args:
            now: pages due until then.
            lease: longer than any delivery takes; who claims and dies delays the page by so much.

        Returns:
            The incident, whose `page_kind` says what to tell; None when no page is due.
        """

    def settle_page(self, claimed: Incident, *, delivered: bool, at: datetime, next_at: datetime | None) -> None:
        """Write down what became of a page that was claimed.

        Args:
            claimed: as `claim_page` returned it.
            delivered: somebody was told.
            at: when.
            next_at: when the next page is due, unless the incident was acknowledged or resolved meanwhile.
        """

    def count_undelivered_pages(self) -> int:
        """Count incidents that nobody was told about, or whose last page reached nobody."""

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> list[Incident]:
        """Return incidents, newest first."""

    def register_account(self, record: AccountRecord) -> AccountRecord:
        """Store or complete an account (a uid becomes known).

        Raises:
            ConfigurationError: the ledger knows the account in another environment, or under another uid.
        """

    def accounts(self) -> list[AccountRecord]:
        """Return the accounts that ever had an order or a check."""

    def count_orders(self) -> dict[tuple[str, State], int]:
        """Count orders by account and state."""

    def count_dead_letters(self) -> dict[str, int]:
        """Count open dead letters by reason."""

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """Return the earliest `due_at` among `accepted` orders that are due by `now`; None when none waits."""

    def oldest_horizon_ms(self) -> int | None:
        """Return the earliest horizon among orders in doubt, the exchange's clock, ms; None when there is none."""


# --- buckets --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One bucket: a scope of one Bybit limit.

    Attributes:
        name: stable key, e.g. `mainnet:1001:/v5/order/create:linear_inverse` or `egress:default`.
        limit: tokens, as documented for the account's tier; what the exchange says later wins.
        window_s: how long a spent token stays away.
        cost: tokens that one request takes from this bucket.
    """

    name: str
    limit: int
    window_s: float = 1.0
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens taken from several buckets at once.

    Attributes:
        lease_id: names the tokens until they are settled.
        wait_s: how long to wait before sending; the tokens are reserved.
    """

    lease_id: str
    wait_s: float
    specs: tuple[BucketSpec, ...]


class LaneKind(IntEnum):
    """How orders travel: each in a request of its own, or all in one."""

    ALONE = 1
    TOGETHER = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """An endpoint through which orders may go.

    Attributes:
        path: the endpoint.
        kind: `ALONE`: a request for each order. `TOGETHER`: one request for all.
        spec: its bucket; `cost` is that of the first order.
        step: tokens that each further order of the same request takes.
    """

    path: str
    kind: LaneKind
    spec: BucketSpec
    step: int = 0


@dataclass(frozen=True, slots=True)
class LaneGrant:
    """Tokens for some orders in one lane.

    Attributes:
        orders: how many orders may go; as many as asked for, or fewer.
        grants: one for each request, the endpoint's bucket first; all have the same wait.
    """

    lane: Lane
    orders: int
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Trip:
    """How a request travelled, as far as its answer tells: this says when its tokens may come back.

    Attributes:
        venue: names the exchange that was asked, e.g. `mainnet`: one clock, one way there.
        left_after_s: from the end of the grant's wait until the request left, monotonic.
        exchange_ms: the exchange's clock in the answer, ms.
    """

    venue: str
    left_after_s: float
    exchange_ms: int


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as it stands: `limit` tokens for each `window_s`."""

    name: str
    limit: int
    free: int
    in_flight: int
    blocked_for_s: float
    window_s: float


class Buckets(Protocol):
    """Token buckets shared by all workers. Every method raises `BucketUnavailable` when they cannot be read."""

    def acquire(self, specs: Sequence[BucketSpec], *, max_wait_s: float, lease_s: float) -> Grant:
        """Take tokens from every bucket named, or from none.

        Args:
            specs: the buckets and what each costs.
            max_wait_s: longest wait that the caller will sleep for.
            lease_s: after so long without `settle` the tokens come back by themselves; longer than the request's
                time limit plus the window.

        Raises:
            BucketDenied: not within `max_wait_s`; carries when to come back.
        """

    def acquire_lane(
        self,
        lanes: Sequence[Lane],
        beside: Sequence[BucketSpec],
        *,
        orders: int,
        max_wait_s: float,
        lease_s: float,
    ) -> LaneGrant:
        """Take the tokens of at least one order and at most `orders` from the lane that grants first.

        It takes what is free when the first token is, and does not wait for the rest. When both lanes grant at
        once, several orders go together and one goes alone.

        Args:
            lanes: of different kinds.
            beside: buckets that every request needs besides, e.g. the IP's.
            orders: how many orders wait; no more than one request of the lane `TOGETHER` carries.
            max_wait_s: as in `acquire`.
            lease_s: as in `acquire`.

        Raises:
            BucketDenied: no lane has a token within `max_wait_s`. No ticket was given: who waits keeps its orders
                in line itself.
        """

    def settle(
        self, grant: Grant, *, sent: bool, observed: RateHeaders | None = None, trip: Trip | None = None
    ) -> None:
        """Say what became of the tokens.

        Args:
            grant: from `acquire`.
            sent: False: no request left, the tokens return at once. True: they return one window from now, or
                sooner if `trip` tells when the request arrived.
            observed: the response's headers, which concern the first bucket of the grant: its true limit.
            trip: how the request travelled; it concerns the first bucket of the grant, too.
        """

    def block(self, spec: BucketSpec, *, for_s: float, is_refusal: bool = False) -> None:
        """Let nothing through a bucket for a while: the exchange said so.

        Args:
            spec: the bucket.
            for_s: how long.
            is_refusal: the exchange refused a request that had its tokens: they come back later for a while.
        """

    def states(self) -> list[BucketState]:
        """Return every bucket that is known."""


# --- exchange -------------------------------------------------------------------------------------------------


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

    def fills(self, category: Category, symbol: str, link_id: str) -> tuple[list[Fill], RateHeaders]:
        """Ask `execution/list`: the fills of an order, all pages."""

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

    def list_fills(self, category: Category, *, since_ms: int, cursor: str | None) -> Page[Fill]:
        """Ask `execution/list` for one page of all executions since an instant at most 7 days ago."""

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


# --- messages, pages, metrics ---------------------------------------------------------------------------------


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

    def note_waiting(self, lines: Collection[Line], for_s: float) -> None:
        """Let producers know, for a while, that orders of these lines wait in the ledger.

        Raises:
            BrokerUnavailable: no answer.
        """


class StreamObserver(Protocol):
    """Counts what streams bring, besides what `Observer` counts. Never raises."""

    def moved(self, account: str, state: str) -> None:
        """Count one order that came into a state."""

    def streamed(self, account: str, topic: str, result: str, count: int = 1) -> None:
        """Count rows of a topic by what became of them."""

    def lagged(self, topic: str, seconds: float) -> None:
        """Measure how long after the exchange made an event it stood in the ledger."""

    def reconnected(self, account: str, reason: str) -> None:
        """Count one lost connection."""

    def differed(self, account: str, kind: str, count: int = 1) -> None:
        """Count differences between ledger and exchange that a comparison found."""


class Pager(Protocol):
    """Tells a person about an incident."""

    def page(self, incident: Incident) -> bool:
        """Deliver what `incident.page_kind` says; False when nobody could be reached (it is tried again later)."""


class Observer(Protocol):
    """Counts what happens. Never raises: a failing observer is counted and dropped."""

    def response(self, *, account: str, endpoint: str, category: str, ret_code: str, elapsed_s: float) -> None:
        """Count one answer of the exchange, or the lack of one."""

    def moved(self, account: str, state: str) -> None:
        """Count one order that came into a state."""

    def stage(self, stage: str, seconds: float) -> None:
        """Measure one stage of an order's way: queue, token, exchange, total."""

    def retried(self, reason: str) -> None:
        """Count one retry."""

    def waited(self, seconds: float) -> None:
        """Measure one wait for a token."""

    def spent(self, bucket: str, tokens: int) -> None:
        """Count tokens that a request took from a bucket."""

    def key_expires(self, account: str, at: datetime | None) -> None:
        """Show when the API key of an account ends; None for one that does not."""

    def paged(self, kind: str, result: str) -> None:
        """Count one page."""

    def clock_offset(self, account: str, seconds: float) -> None:
        """Show the exchange's clock minus ours."""
