"""The SQL database that owns the truth about every order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypedDict

from sluicegate.domain.batches import Line
from sluicegate.domain.errors import LedgerConflict
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import (
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderId,
    OrderRequest,
    Receipt,
)
from sluicegate.domain.records import (
    AccountRecord,
    Change,
    ChangeState,
    DeadLetter,
    Halt,
    Incident,
    Severity,
)


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
