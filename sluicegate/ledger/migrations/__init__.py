"""Alembic migrations of the ledger; see `sluicegate.ledger.schema`."""
