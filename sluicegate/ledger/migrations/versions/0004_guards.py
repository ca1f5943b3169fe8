"""Find quickly what a person must decide about, and how an account's orders fared lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _index("ix_orders_questions", "orders", ["order_id"], "last_code IN ('foreign', 'not_shown', 'unprovable')")
    _index("ix_orders_account_acked_at", "orders", ["account", "acked_at"], "acked_at IS NOT NULL")
    op.create_index("ix_dead_letters_account_created_at", "dead_letters", ["account", "created_at"])


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
