"""The ledger's tables."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, MetaData, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sluicegate.domain.lifecycle import END_STATES
from sluicegate.ledger.columns import BigId, ExactDecimal, IdText, Moment, Words

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
ONE_ORDER_A_CLIENT_ID = "uq_orders_account_client_order_id"
ONE_OPEN_INCIDENT_A_KEY = "uq_incidents_open_key"
ONE_HALT_A_SCOPE = "pk_halts"
ONE_ACCOUNT_A_NAME = "pk_accounts"

_ENDED = ", ".join(sorted(f"'{state.value}'" for state in END_STATES))
# Written out, not bound: SQLite uses a partial index only for a query that repeats its condition.
WAKING_ROWS = text("wake_at IS NOT NULL")
ACCEPTED_ROWS = text("state = 'accepted'")
IN_LINE_ROWS = text("state = 'accepted' AND wake_at IS NOT NULL")
UNSENT_ROWS = text("state IN ('accepted', 'parked') AND deadline_at IS NOT NULL")
UNRESOLVED_ROWS = text("resolved_at IS NULL")
PAGING_ROWS = text("page_at IS NOT NULL")
ACKED_ROWS = text("acked_at IS NOT NULL")
QUESTION_ROWS = text("last_code IN ('foreign', 'not_shown', 'unprovable')")
OPEN_LETTER_ROWS = text("replayed_as IS NULL AND discarded_at IS NULL")
MISSING_FILL_ROWS = text("fills_due_at IS NOT NULL")
CHILD_ROWS = text("parent_order_id IS NOT NULL")


def _partial(name: str, *columns: str, where: Any, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


class LedgerRow(SQLModel):
    """Base of the tables; their metadata is nobody else's."""

    metadata: ClassVar[MetaData] = METADATA


class OrderRow(LedgerRow, table=True):
    """One order as it stands. `request` is the JSON of the request, so new fields need no migration.

    `exec_qty` is the sum of its rows in `executions`; while the exchange says that more was executed
    (`cum_exec_qty`), `fills_due_at` tells when to fetch the missing ones.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account", "client_order_id", name=ONE_ORDER_A_CLIENT_ID),
        UniqueConstraint("link_id"),
        CheckConstraint(f"wake_at IS NULL OR state NOT IN ({_ENDED})", name="ended_never_wakes"),
        # One range per state and priority: what is due costs the same whatever else waits.
        _partial("ix_orders_wake", "state", "priority", "wake_at", where=WAKING_ROWS),
        # One range per line and priority: who waits in one line costs nothing in another.
        _partial("ix_orders_line", "account", "category", "priority", "wake_at", where=IN_LINE_ROWS),
        _partial("ix_orders_accepted_due_at", "due_at", where=ACCEPTED_ROWS),
        # Who is past its deadline is found wherever it stands in its line.
        _partial("ix_orders_deadline_at", "deadline_at", where=UNSENT_ROWS),
        _partial("ix_orders_questions", "order_id", where=QUESTION_ROWS),
        _partial("ix_orders_account_acked_at", "account", "acked_at", where=ACKED_ROWS),
        Index("ix_orders_account_created_at", "account", "created_at"),
        Index("ix_orders_account_state", "account", "state"),
        _partial("ix_orders_fills_due_at", "fills_due_at", where=MISSING_FILL_ROWS),
    )

    order_id: str = Field(primary_key=True, sa_type=IdText)
    link_id: str
    account: str
    client_order_id: str
    fingerprint: str
    state: str
    version: int
    category: str
    symbol: str
    priority: int
    request: dict[str, Any] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)
    due_at: datetime | None = Field(default=None, sa_type=Moment)
    wake_at: datetime | None = Field(default=None, sa_type=Moment)
    deadline_at: datetime | None = Field(default=None, sa_type=Moment)
    lease_until: datetime | None = Field(default=None, sa_type=Moment)
    horizon_ms: int | None = Field(default=None, sa_type=BigInteger)
    attempts: int
    acked_at: datetime | None = Field(default=None, sa_type=Moment)
    exchange_order_id: str = Field(sa_type=Words)
    exchange_status: str = Field(default="", sa_type=Words)
    cum_exec_qty: Decimal = Field(sa_type=ExactDecimal)
    exec_qty: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    fills_due_at: datetime | None = Field(default=None, sa_type=Moment)
    avg_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    last_code: str = Field(sa_type=Words)
    last_message: str = Field(sa_type=Words)
    replay_of: str | None = Field(default=None, sa_type=IdText)


class OrderEventRow(LedgerRow, table=True):
    """One line of an order's audit trail. Triggers refuse to change or delete it."""

    __tablename__ = "order_events"
    __table_args__ = (Index("ix_order_events_order_id_event_id", "order_id", "event_id"),)

    event_id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    order_id: str = Field(foreign_key="orders.order_id", sa_type=IdText)
    version: int
    at: datetime = Field(sa_type=Moment)
    event: str
    from_state: str
    to_state: str
    actor: str
    detail: dict[str, Any] = Field(sa_type=JSON)


class ExecutionRow(LedgerRow, table=True):
    """One fill. Both sides of a trade may carry the same `exec_id`, and both may be ours."""

    __tablename__ = "executions"

    order_id: str = Field(primary_key=True, foreign_key="orders.order_id", sa_type=IdText)
    exec_id: str = Field(primary_key=True)
    qty: Decimal = Field(sa_type=ExactDecimal)
    price: Decimal = Field(sa_type=ExactDecimal)
    fee: Decimal = Field(sa_type=ExactDecimal)
    fee_coin: str
    is_maker: bool
    executed_at: datetime = Field(sa_type=Moment)


class DeadLetterRow(LedgerRow, table=True):
    """An order that waits for a person, or did."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        _partial("ix_dead_letters_open", "created_at", where=OPEN_LETTER_ROWS),
        Index("ix_dead_letters_account_created_at", "account", "created_at"),
    )

    order_id: str = Field(primary_key=True, foreign_key="orders.order_id", sa_type=IdText)
    account: str
    reason: str
    code: str = Field(sa_type=Words)
    message: str = Field(sa_type=Words)
    cause: str = Field(sa_type=Words)
    fix: str = Field(sa_type=Words)
    created_at: datetime = Field(sa_type=Moment)
    replayed_as: str | None = Field(default=None, sa_type=IdText)
    discarded_at: datetime | None = Field(default=None, sa_type=Moment)


class ChangeRow(LedgerRow, table=True):
    """One amend or cancel request of an order."""

    __tablename__ = "order_changes"
    __table_args__ = (
        UniqueConstraint("order_id", "sequence"),
        _partial("ix_order_changes_wake", "wake_at", where=WAKING_ROWS),
    )

    change_id: str = Field(primary_key=True, sa_type=IdText)
    order_id: str = Field(foreign_key="orders.order_id", sa_type=IdText)
    sequence: int
    kind: str
    fields: dict[str, Any] = Field(sa_type=JSON)
    state: str
    version: int
    created_at: datetime = Field(sa_type=Moment)
    attempts: int
    wake_at: datetime | None = Field(default=None, sa_type=Moment)
    horizon_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_code: str = Field(sa_type=Words)
    last_message: str = Field(sa_type=Words)


class HaltRow(LedgerRow, table=True):
    """A scope that sends nothing."""

    __tablename__ = "halts"

    scope: str = Field(primary_key=True)
    code: str = Field(sa_type=Words)
    message: str = Field(sa_type=Words)
    cause: str = Field(sa_type=Words)
    fix: str = Field(sa_type=Words)
    since: datetime = Field(sa_type=Moment)
    until: datetime | None = Field(default=None, sa_type=Moment)


class IncidentRow(LedgerRow, table=True):
    """One ongoing problem; at most one unresolved a key."""

    __tablename__ = "incidents"
    __table_args__ = (
        _partial(ONE_OPEN_INCIDENT_A_KEY, "key", where=UNRESOLVED_ROWS, unique=True),
        _partial("ix_incidents_page_at", "page_at", where=PAGING_ROWS),
    )

    incident_id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    key: str
    severity: str
    title: str = Field(sa_type=Words)
    detail: str = Field(sa_type=Words)
    fix: str = Field(sa_type=Words)
    opened_at: datetime = Field(sa_type=Moment)
    last_seen_at: datetime = Field(sa_type=Moment)
    count: int
    paged_at: datetime | None = Field(default=None, sa_type=Moment)
    acked_at: datetime | None = Field(default=None, sa_type=Moment)
    resolved_at: datetime | None = Field(default=None, sa_type=Moment)
    acked_by: str = Field(default="", sa_type=Words)
    ack_note: str = Field(default="", sa_type=Words)
    page_at: datetime | None = Field(default=None, sa_type=Moment)
    pages: int = 0
    page_failures: int = 0


class ForeignOrderRow(LedgerRow, table=True):
    """An order on an account of ours that Sluicegate did not place: seen, not adopted.

    One with a parent is a take profit or stop loss that came with an order of ours.
    """

    __tablename__ = "foreign_orders"
    __table_args__ = (_partial("ix_foreign_orders_parent", "parent_order_id", where=CHILD_ROWS),)

    account: str = Field(primary_key=True)
    exchange_order_id: str = Field(primary_key=True)
    link_id: str
    parent_order_id: str | None = Field(default=None, foreign_key="orders.order_id", sa_type=IdText)
    category: str
    symbol: str
    side: str
    stop_order_type: str
    status: str
    is_open: bool
    qty: Decimal = Field(sa_type=ExactDecimal)
    price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    cum_exec_qty: Decimal = Field(sa_type=ExactDecimal)
    avg_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    updated_ms: int = Field(sa_type=BigInteger)
    first_seen_at: datetime = Field(sa_type=Moment)
    seen_at: datetime = Field(sa_type=Moment)


class ForeignExecutionRow(LedgerRow, table=True):
    """A fill of an order that is not ours, a liquidation and the like among them."""

    __tablename__ = "foreign_executions"

    account: str = Field(primary_key=True)
    exchange_order_id: str = Field(primary_key=True)
    exec_id: str = Field(primary_key=True)
    exec_type: str
    category: str
    symbol: str
    side: str
    qty: Decimal = Field(sa_type=ExactDecimal)
    price: Decimal = Field(sa_type=ExactDecimal)
    fee: Decimal = Field(sa_type=ExactDecimal)
    fee_coin: str
    is_maker: bool
    executed_at: datetime = Field(sa_type=Moment)


class PositionRow(LedgerRow, table=True):
    """A position as the exchange showed it last."""

    __tablename__ = "positions"

    account: str = Field(primary_key=True)
    category: str = Field(primary_key=True)
    symbol: str = Field(primary_key=True)
    position_idx: int = Field(primary_key=True)
    side: str
    size: Decimal = Field(sa_type=ExactDecimal)
    entry_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    unrealised_pnl: Decimal = Field(sa_type=ExactDecimal)
    updated_ms: int = Field(sa_type=BigInteger)


class BalanceRow(LedgerRow, table=True):
    """One coin of a wallet as the exchange showed it last."""

    __tablename__ = "balances"

    account: str = Field(primary_key=True)
    coin: str = Field(primary_key=True)
    wallet: Decimal = Field(sa_type=ExactDecimal)
    equity: Decimal = Field(sa_type=ExactDecimal)
    locked: Decimal = Field(sa_type=ExactDecimal)
    unrealised_pnl: Decimal = Field(sa_type=ExactDecimal)
    updated_ms: int = Field(sa_type=BigInteger)


class AccountViewRow(LedgerRow, table=True):
    """How well the ledger knows an account; see `sluicegate.domain.holdings.AccountView`.

    `doubts` are the differences that the last comparison with the exchange could not explain.
    """

    __tablename__ = "account_views"

    account: str = Field(primary_key=True)
    fence: int = Field(sa_type=BigInteger)
    stream_at: datetime | None = Field(default=None, sa_type=Moment)
    event_ms: int | None = Field(default=None, sa_type=BigInteger)
    positions_at: datetime | None = Field(default=None, sa_type=Moment)
    balances_at: datetime | None = Field(default=None, sa_type=Moment)
    reconcile_at: datetime | None = Field(default=None, sa_type=Moment)
    doubts: dict[str, Any] = Field(sa_type=JSON)


class AccountEventRow(LedgerRow, table=True):
    """Something that happened to an account and belongs to no one order."""

    __tablename__ = "account_events"
    __table_args__ = (Index("ix_account_events_account_event_id", "account", "event_id"),)

    event_id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    account: str
    at: datetime = Field(sa_type=Moment)
    event: str
    detail: dict[str, Any] = Field(sa_type=JSON)


class AccountRow(LedgerRow, table=True):
    """An account and the environment that it belongs to for ever."""

    __tablename__ = "accounts"

    name: str = Field(primary_key=True)
    environment: str
    uid: str


def _table(name: str) -> Table:
    return METADATA.tables[name]


ORDERS = _table("orders")
ORDER_EVENTS = _table("order_events")
EXECUTIONS = _table("executions")
DEAD_LETTERS = _table("dead_letters")
ORDER_CHANGES = _table("order_changes")
HALTS = _table("halts")
INCIDENTS = _table("incidents")
ACCOUNTS = _table("accounts")
FOREIGN_ORDERS = _table("foreign_orders")
FOREIGN_EXECUTIONS = _table("foreign_executions")
POSITIONS = _table("positions")
BALANCES = _table("balances")
ACCOUNT_VIEWS = _table("account_views")
ACCOUNT_EVENTS = _table("account_events")
