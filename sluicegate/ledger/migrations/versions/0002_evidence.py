"""Add what the stream shows: foreign orders, positions, balances, and how current they are."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _orders()
    _foreign_orders()
    _foreign_executions()
    _positions()
    _balances()
    _account_views()


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    kind = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    return sa.Column(name, kind, nullable=nullable)


def _number(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    kind = sa.Text().with_variant(sa.Numeric(), "postgresql")
    return sa.Column(name, kind, nullable=nullable, server_default=default)


def _id(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=nullable)


def _strings(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _big(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _orders() -> None:
    # defaults, so that a release without these columns can go on writing beside this one
    op.add_column("orders", sa.Column("exchange_status", sa.Text(), nullable=False, server_default=""))
    op.add_column("orders", _number("exec_qty", default="0"))
    op.add_column("orders", _moment("fills_due_at", nullable=True))
    condition = sa.text("fills_due_at IS NOT NULL")
    op.create_index(
        "ix_orders_fills_due_at",
        "orders",
        ["fills_due_at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    _sum_executions()


def _sum_executions() -> None:
    """Fill `exec_qty` of the orders that have executions; added up here, for SQLite keeps numbers as text."""
    connection = op.get_bind()
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for order_id, qty in connection.execute(sa.text("SELECT order_id, qty FROM executions")):
        sums[order_id] += Decimal(qty)
    kind = sa.Text().with_variant(sa.Numeric(), "postgresql")
    orders = sa.table("orders", sa.column("order_id", sa.String()), sa.column("exec_qty", kind))
    is_text = connection.dialect.name == "sqlite"
    for order_id, qty in sums.items():
        value: Any = format(qty, "f") if is_text else qty
        connection.execute(sa.update(orders).where(orders.c.order_id == order_id).values(exec_qty=value))


def _foreign_orders() -> None:
    op.create_table(
        "foreign_orders",
        *_strings("account", "exchange_order_id", "link_id"),
        _id("parent_order_id", nullable=True),
        *_strings("category", "symbol", "side", "stop_order_type", "status"),
        _flag("is_open"),
        _number("qty"),
        _number("price", nullable=True),
        _number("cum_exec_qty"),
        _number("avg_price", nullable=True),
        _big("updated_ms"),
        _moment("first_seen_at"),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("account", "exchange_order_id", name="pk_foreign_orders"),
        sa.ForeignKeyConstraint(
            ["parent_order_id"], ["orders.order_id"], name="fk_foreign_orders_parent_order_id"
        ),
    )
    condition = sa.text("parent_order_id IS NOT NULL")
    op.create_index(
        "ix_foreign_orders_parent",
        "foreign_orders",
        ["parent_order_id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _foreign_executions() -> None:
    op.create_table(
        "foreign_executions",
        *_strings("account", "exchange_order_id", "exec_id", "exec_type", "category", "symbol", "side"),
        _number("qty"),
        _number("price"),
        _number("fee"),
        *_strings("fee_coin"),
        _flag("is_maker"),
        _moment("executed_at"),
        sa.PrimaryKeyConstraint("account", "exchange_order_id", "exec_id", name="pk_foreign_executions"),
    )


def _positions() -> None:
    op.create_table(
        "positions",
        *_strings("account", "category", "symbol"),
        sa.Column("position_idx", sa.Integer(), nullable=False),
        *_strings("side"),
        _number("size"),
        _number("entry_price", nullable=True),
        _number("unrealised_pnl"),
        _big("updated_ms"),
        sa.PrimaryKeyConstraint("account", "category", "symbol", "position_idx", name="pk_positions"),
    )


def _balances() -> None:
    op.create_table(
        "balances",
        *_strings("account", "coin"),
        _number("wallet"),
        _number("equity"),
        _number("locked"),
        _number("unrealised_pnl"),
        _big("updated_ms"),
        sa.PrimaryKeyConstraint("account", "coin", name="pk_balances"),
    )


def _account_views() -> None:
    op.create_table(
        "account_views",
        *_strings("account"),
        _big("fence"),
        _moment("stream_at", nullable=True),
        _big("event_ms", nullable=True),
        _moment("positions_at", nullable=True),
        _moment("balances_at", nullable=True),
        _moment("reconcile_at", nullable=True),
        sa.Column("doubts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_account_views"),
    )
