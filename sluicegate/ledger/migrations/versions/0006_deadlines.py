"""Index the deadlines of orders that were not sent yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    unsent = sa.text("state IN ('accepted', 'parked') AND deadline_at IS NOT NULL")
    op.create_index(
        "ix_orders_deadline_at", "orders", ["deadline_at"], sqlite_where=unsent, postgresql_where=unsent
    )
