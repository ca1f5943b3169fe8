"""The ledger on a SQL database."""

from __future__ import annotations

from sluicegate.ledger.acceptance import Acceptance
from sluicegate.ledger.accounts import Accounts
from sluicegate.ledger.changes import Changes
from sluicegate.ledger.dead_letters import DeadLetters
from sluicegate.ledger.evidence import Evidence
from sluicegate.ledger.foreign import Foreign
from sluicegate.ledger.halts import Halts
from sluicegate.ledger.incidents import Incidents
from sluicegate.ledger.orders import Orders
from sluicegate.ledger.schedule import Schedule
from sluicegate.ledger.transitions import Transitions
from sluicegate.ledger.views import Views


class SqlLedger(
    Acceptance,
    Orders,
    Transitions,
    Schedule,
    Changes,
    DeadLetters,
    Halts,
    Incidents,
    Accounts,
    Evidence,
    Foreign,
    Views,
):
    """The ports `Ledger` and `EvidenceLedger` on SQLite or PostgreSQL; one instance serves many threads."""
