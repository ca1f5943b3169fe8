"""Run migrations on the connection that `schema.upgrade` gives; it holds the lock and the transaction."""

from __future__ import annotations

from alembic import context

from sluicegate.ledger.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
