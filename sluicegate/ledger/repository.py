"""The ledger on a SQL database."""

from __future__ import annotations

from sluicegate.ledger.acceptance import Acceptance
from sluicegate.ledger.accounts import Accounts
from sluicegate.ledger.changes import Changes
from sluicegate.ledger.dead_letters import DeadLetters
from sluicegate.ledger.halts import Halts
from sluicegate.ledger.incidents import Incidents
from sluicegate.ledger.orders import Orders
from sluicegate.ledger.schedule import Schedule
from sluicegate.ledger.transitions import Transitions


class SqlLedger(Acceptance, Orders, Transitions, Schedule, Changes, DeadLetters, Halts, Incidents, Accounts):
    """The `Ledger` port on SQLite or PostgreSQL; one instance serves many threads."""
