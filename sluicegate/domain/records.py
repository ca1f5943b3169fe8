"""Records beside the order: changes, dead letters, halts, incidents, accounts, sightings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import ChangeKind, OrderId


class ChangeState(StrEnum):
    """Where an amend or cancel request is."""

    PENDING = "pending"
    SUBMITTING = "submitting"
    DONE = "done"
    REFUSED = "refused"
    VOID = "void"  # overtaken: the order ended, or a cancel made an amend pointless


OPEN_CHANGES = frozenset({ChangeState.PENDING, ChangeState.SUBMITTING})


@dataclass(frozen=True, slots=True)
class Change:
    """One amend or cancel request of an order.

    Attributes:
        sequence: position among the order's changes; older ones go first.
        fields: the new values of an amend, as JSON; empty for a cancel.
        version: guards every change of this record.
        wake_at: when the scheduler looks at it next; None once it is settled.
    """

    change_id: str
    order_id: OrderId
    sequence: int
    kind: ChangeKind
    fields: Mapping[str, Any]
    state: ChangeState
    version: int
    created_at: datetime
    attempts: int = 0
    wake_at: datetime | None = None
    horizon_ms: int | None = None
    last_code: str = ""
    last_message: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain values."""
        return {
            "change_id": self.change_id,
            "order_id": self.order_id,
            "kind": self.kind.value,
            "fields": dict(self.fields),
            "state": self.state.value,
            "attempts": self.attempts,
            "created_at": self.created_at.isoformat(),
            "code": self.last_code,
            "message": self.last_message,
        }


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An order that will never succeed as it stands.

    Attributes:
        reason: one of a closed set of words; a metric label.
        code: the exchange's code, or the gate's name.
        replayed_as: the order that replaced it.
        discarded_at: when a person gave it up.
    """

    order_id: OrderId
    account: str
    reason: str
    code: str
    message: str
    cause: str
    fix: str
    created_at: datetime
    replayed_as: OrderId | None = None
    discarded_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether it still waits for a person."""
        return self.replayed_as is None and self.discarded_at is None

    def refusal(self, state: State) -> str:
        """Say why it may not be replayed while its order is in a state; empty: it may."""
        if not self.is_open:
            fate = f"replayed as {self.replayed_as}" if self.replayed_as else "discarded"
            return f"dead letter {self.order_id} was {fate} already"
        if state is not State.DEAD:
            return f"order {self.order_id} is {state} by now; it must not be sent a second time"
        return ""


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing is sent for a scope until a person, or a timer, resumes it.

    Attributes:
        scope: `account:NAME` or `egress:NAME`.
        until: when it lifts by itself; None: a person must resume.
    """

    scope: str
    code: str
    message: str
    cause: str
    fix: str
    since: datetime
    until: datetime | None = None


def account_scope(account: str) -> str:
    """Return the halt scope of an account."""
    return f"account:{account}"


def egress_scope(egress: str) -> str:
    """Return the halt scope of an egress address (one public IP)."""
    return f"egress:{egress}"


class Severity(StrEnum):
    """How urgently a person must look."""

    CRITICAL = "critical"
    WARNING = "warning"


class PageKind(StrEnum):
    """What a page says about its incident."""

    OPENED = "opened"
    REPEATED = "repeated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """One ongoing problem; however many orders meet it, it pages once, and again until somebody acknowledges.

    Attributes:
        key: what makes it one problem, e.g. `halt:account:main`.
        count: how often it was met.
        paged_at: when the last page about it was delivered; None: none was yet.
        acked_by: who takes care of it.
        page_at: when the next page is due; None for at once if there was none yet, and for never otherwise.
        pages: how many were delivered.
        page_failures: how many in a row were not.
    """

    incident_id: int
    key: str
    severity: Severity
    title: str
    detail: str
    fix: str
    opened_at: datetime
    last_seen_at: datetime
    count: int = 1
    paged_at: datetime | None = None
    acked_at: datetime | None = None
    resolved_at: datetime | None = None
    acked_by: str = ""
    ack_note: str = ""
    page_at: datetime | None = None
    pages: int = 0
    page_failures: int = 0

    @property
    def page_kind(self) -> PageKind:
        """Return what the next page about it says."""
        if self.resolved_at is not None:
            return PageKind.RESOLVED
        return PageKind.OPENED if self.paged_at is None else PageKind.REPEATED


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """What the ledger knows of an account: an account never changes its environment."""

    name: str
    environment: str
    uid: str = ""


class Question(StrEnum):
    """What the exchange cannot answer about an order, as its `last_code`: a person decides."""

    NOT_SHOWN = "not_shown"  # it was live, and is shown nowhere any more
    UNPROVABLE = "unprovable"  # in doubt, and its absence proves nothing any more
    FOREIGN = "foreign"  # another order goes by its link id


QUESTIONS = frozenset(question.value for question in Question)


class Status(StrEnum):
    """Bybit's order statuses. Source: Bybit V5 enums page, docs of 2026-07-24."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    REJECTED = "Rejected"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    PARTIALLY_FILLED_CANCELED = "PartiallyFilledCanceled"
    DEACTIVATED = "Deactivated"


EVENT_OF_STATUS: dict[str, Event] = {
    Status.NEW: Event.SEEN_OPEN,
    Status.UNTRIGGERED: Event.SEEN_OPEN,
    Status.TRIGGERED: Event.SEEN_OPEN,
    Status.PARTIALLY_FILLED: Event.SEEN_PARTIALLY_FILLED,
    Status.FILLED: Event.SEEN_FILLED,
    Status.CANCELLED: Event.SEEN_CANCELLED,
    Status.PARTIALLY_FILLED_CANCELED: Event.SEEN_CANCELLED,
    Status.DEACTIVATED: Event.SEEN_CANCELLED,
    Status.REJECTED: Event.SEEN_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """An order as the exchange shows it. What it does not show is empty or None.

    Attributes:
        status: Bybit's `orderStatus`; unknown words are kept as they are.
        raw: the exchange's own fields, for the audit trail.
        category: where it trades; empty when the caller knows it.
        parent_link_id: of the order that this take profit or stop loss was attached to; else empty.
        updated_ms: when the order last changed, exchange clock; 0: not told.
        last_price_on_create: the market's price when it was placed; futures only.
        take_profit: attached to it; 0: shown that there is none.
        stop_loss: likewise.
    """

    link_id: str
    exchange_order_id: str
    symbol: str
    side: str
    status: str
    qty: Decimal
    price: Decimal | None
    cum_exec_qty: Decimal
    avg_price: Decimal | None
    reject_reason: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)
    category: str = ""
    parent_link_id: str = ""
    stop_order_type: str = ""
    updated_ms: int = 0
    order_type: str = ""
    time_in_force: str = ""
    trigger_price: Decimal | None = None
    reduce_only: bool | None = None
    position_idx: int | None = None
    last_price_on_create: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


TRADE = "Trade"
"""The `execType` of an ordinary fill. Source: Bybit V5 enums page, docs of 2026-07-24."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as the exchange lists it; not yet attributed to an order of ours.

    Attributes:
        exec_type: Bybit's `execType`; only `Trade` fills an order that someone placed.
    """

    exec_id: str
    link_id: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    is_maker: bool
    executed_at: datetime
    exchange_order_id: str = ""
    category: str = ""
    symbol: str = ""
    side: str = ""
    exec_type: str = TRADE
