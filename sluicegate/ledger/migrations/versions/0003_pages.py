"""Add when an incident pages next, how its pages fared, and who acknowledged it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # defaults, so that a release without these columns can go on writing beside this one
    for name in ("acked_by", "ack_note"):
        op.add_column("incidents", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    for name in ("pages", "page_failures"):
        op.add_column("incidents", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    moment = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.add_column("incidents", sa.Column("page_at", moment, nullable=True))
    condition = sa.text("page_at IS NOT NULL")
    op.create_index(
        "ix_incidents_page_at",
        "incidents",
        ["page_at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
