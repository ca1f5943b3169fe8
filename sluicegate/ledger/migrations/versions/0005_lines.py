"""Index the orders that wait in each line: an account's of one category."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    in_line = sa.text("state = 'accepted' AND wake_at IS NOT NULL")
    op.create_index(
        "ix_orders_line",
        "orders",
        ["account", "category", "priority", "wake_at"],
        sqlite_where=in_line,
        postgresql_where=in_line,
    )
