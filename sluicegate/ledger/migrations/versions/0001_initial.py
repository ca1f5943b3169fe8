"""Make the first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ENDED = "'cancelled', 'dead', 'expired', 'filled', 'rejected'"


def upgrade() -> None:
    _orders()
    _order_events()
    _executions()
    _dead_letters()
    _order_changes()
    _halts()
    _incidents()
    _accounts()
    _keep_events()


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    kind = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    return sa.Column(name, kind, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text().with_variant(sa.Numeric(), "postgresql"), nullable=nullable)


def _id(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=nullable)


def _serial(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _string(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _orders() -> None:
    op.create_table(
        "orders",
        _id("order_id"),
        _string("link_id"),
        _string("account"),
        _string("client_order_id"),
        _string("fingerprint"),
        _string("state"),
        _integer("version"),
        _string("category"),
        _string("symbol"),
        _integer("priority"),
        sa.Column("request", sa.JSON(), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        _moment("due_at", nullable=True),
        _moment("wake_at", nullable=True),
        _moment("deadline_at", nullable=True),
        _moment("lease_until", nullable=True),
        sa.Column("horizon_ms", sa.BigInteger(), nullable=True),
        _integer("attempts"),
        _moment("acked_at", nullable=True),
        _text("exchange_order_id"),
        _number("cum_exec_qty"),
        _number("avg_price", nullable=True),
        _text("last_code"),
        _text("last_message"),
        _id("replay_of", nullable=True),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        sa.UniqueConstraint("account", "client_order_id", name="uq_orders_account_client_order_id"),
        sa.UniqueConstraint("link_id", name="uq_orders_link_id"),
        sa.CheckConstraint(f"wake_at IS NULL OR state NOT IN ({ENDED})", name=op.f("ck_orders_ended_never_wakes")),
    )
    _partial_index("ix_orders_wake", "orders", ["state", "priority", "wake_at"], "wake_at IS NOT NULL")
    _partial_index("ix_orders_accepted_due_at", "orders", ["due_at"], "state = 'accepted'")
    op.create_index("ix_orders_account_created_at", "orders", ["account", "created_at"])
    op.create_index("ix_orders_account_state", "orders", ["account", "state"])


def _order_events() -> None:
    op.create_table(
        "order_events",
        _serial("event_id"),
        _id("order_id"),
        _integer("version"),
        _moment("at"),
        _string("event"),
        _string("from_state"),
        _string("to_state"),
        _string("actor"),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_order_events"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_order_events_order_id"),
    )
    op.create_index("ix_order_events_order_id_event_id", "order_events", ["order_id", "event_id"])


def _executions() -> None:
    op.create_table(
        "executions",
        _id("order_id"),
        _string("exec_id"),
        _number("qty"),
        _number("price"),
        _number("fee"),
        _string("fee_coin"),
        sa.Column("is_maker", sa.Boolean(), nullable=False),
        _moment("executed_at"),
        sa.PrimaryKeyConstraint("order_id", "exec_id", name="pk_executions"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_executions_order_id"),
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        _id("order_id"),
        _string("account"),
        _string("reason"),
        _text("code"),
        _text("message"),
        _text("cause"),
        _text("fix"),
        _moment("created_at"),
        _id("replayed_as", nullable=True),
        _moment("discarded_at", nullable=True),
        sa.PrimaryKeyConstraint("order_id", name="pk_dead_letters"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_dead_letters_order_id"),
    )
    is_open = "replayed_as IS NULL AND discarded_at IS NULL"
    _partial_index("ix_dead_letters_open", "dead_letters", ["created_at"], is_open)


def _order_changes() -> None:
    op.create_table(
        "order_changes",
        _id("change_id"),
        _id("order_id"),
        _integer("sequence"),
        _string("kind"),
        sa.Column("fields", sa.JSON(), nullable=False),
        _string("state"),
        _integer("version"),
        _moment("created_at"),
        _integer("attempts"),
        _moment("wake_at", nullable=True),
        sa.Column("horizon_ms", sa.BigInteger(), nullable=True),
        _text("last_code"),
        _text("last_message"),
        sa.PrimaryKeyConstraint("change_id", name="pk_order_changes"),
        sa.UniqueConstraint("order_id", "sequence", name="uq_order_changes_order_id_sequence"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_order_changes_order_id"),
    )
    _partial_index("ix_order_changes_wake", "order_changes", ["wake_at"], "wake_at IS NOT NULL")


def _halts() -> None:
    op.create_table(
        "halts",
        _string("scope"),
        _text("code"),
        _text("message"),
        _text("cause"),
        _text("fix"),
        _moment("since"),
        _moment("until", nullable=True),
        sa.PrimaryKeyConstraint("scope", name="pk_halts"),
    )


def _incidents() -> None:
    op.create_table(
        "incidents",
        _serial("incident_id"),
        _string("key"),
        _string("severity"),
        _text("title"),
        _text("detail"),
        _text("fix"),
        _moment("opened_at"),
        _moment("last_seen_at"),
        _integer("count"),
        _moment("paged_at", nullable=True),
        _moment("acked_at", nullable=True),
        _moment("resolved_at", nullable=True),
        sa.PrimaryKeyConstraint("incident_id", name="pk_incidents"),
    )
    _partial_index("uq_incidents_open_key", "incidents", ["key"], "resolved_at IS NULL", unique=True)


def _accounts() -> None:
    op.create_table(
        "accounts",
        _string("name"),
        _string("environment"),
        _string("uid"),
        sa.PrimaryKeyConstraint("name", name="pk_accounts"),
    )


def _keep_events() -> None:
    """Refuse to change or delete what is in the audit trail, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER order_events_no_{action.lower()} BEFORE {action} ON order_events "
                "BEGIN SELECT RAISE(ABORT, 'order_events is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_order_event_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'order_events is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER order_events_append_only BEFORE UPDATE OR DELETE ON order_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_order_event_change()"
    )
