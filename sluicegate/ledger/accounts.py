"""The accounts that the ledger has met."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.records import AccountRecord
from sluicegate.ledger.rows import to_account
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import ACCOUNTS, ONE_ACCOUNT_A_NAME


class Accounts(Store):
    """Holds every account to its environment and its uid."""

    def register_account(self, record: AccountRecord) -> AccountRecord:
        """Store or complete an account; see the port."""
        return self._write_against(ONE_ACCOUNT_A_NAME, lambda connection: _register(connection, record))

    def accounts(self) -> list[AccountRecord]:
        """Return the registered accounts by name."""
        with self._reading() as connection:
            return [to_account(row) for row in connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.name))]


def _register(connection: Connection, record: AccountRecord) -> AccountRecord:
    found = select(ACCOUNTS).where(ACCOUNTS.c.name == record.name).with_for_update()
    row = connection.execute(found).one_or_none()
    if row is None:
        values = {"name": record.name, "environment": record.environment, "uid": record.uid}
        connection.execute(insert(ACCOUNTS).inline(), values)
        return record
    known = to_account(row)
    if known.environment != record.environment:
        raise ConfigurationError(
            f"account {record.name!r} is {known.environment!r} in the ledger and {record.environment!r} in the "
            "settings; an account never changes its environment: give the other one a new name"
        )
    if not record.uid or record.uid == known.uid:
        return known
    if known.uid:
        raise ConfigurationError(
            f"account {record.name!r} has uid {known.uid} in the ledger, and its key belongs to uid {record.uid}; "
            "use a key of the same uid, or give the other one a new account name"
        )
    connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.name == record.name).values(uid=record.uid))
    return record
