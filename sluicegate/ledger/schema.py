"""The schema's version: bringing a database to it, and refusing to work on another."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from sluicegate.domain.errors import ConfigurationError
from sluicegate.ledger.engine import WRITING, create_ledger_engine, parse_ledger_url
from sluicegate.ledger.failures import translated

_UPGRADE_LOCK = 0x5C1CE6A7E  # any number of ours; nobody else takes it on this database


def upgrade(url: str) -> None:
    """Bring the schema to head, in one transaction; of several at once one works and the others find it done.

    Raises:
        ConfigurationError: the URL is wrong, or a newer program has been at work on this database.
        LedgerUnavailable: the database does not answer.
    """
    engine = create_ledger_engine(url)
    try:
        with translated(engine.url.password), engine.execution_options(**{WRITING: True}).begin() as connection:
            _lock(connection)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as e:
        raise ConfigurationError(_unknown(current(url))) from e
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """Return the revision that a database is at; None: it has no schema yet."""
    parsed = parse_ledger_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return None  # looking must not make a file
    engine = create_ledger_engine(url)
    try:
        with translated(engine.url.password), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str:
    """Return the revision that this program needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 (the package holds its migrations)
    return revision


def check(url: str) -> None:
    """Make sure that a database is at head.

    Raises:
        ConfigurationError: it is not; the text says what to run.
        LedgerUnavailable: the database does not answer.
    """
    found, needed = current(url), head()
    if found == needed:
        return
    if found is None:
        raise ConfigurationError("the ledger has no schema yet: run `sluicegate db upgrade`")
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found in known:
        raise ConfigurationError(f"the ledger's schema is {found}, not {needed}: run `sluicegate db upgrade`")
    raise ConfigurationError(_unknown(found))


def _unknown(revision: str | None) -> str:
    return (
        f"the ledger's schema is {revision}, which this program does not know: install the newer Sluicegate; "
        "`sluicegate db upgrade` of this one cannot help"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "sluicegate.ledger:migrations")
    return config


def _lock(connection: Connection) -> None:
    """Keep other upgrades out until the transaction ends. On SQLite its write lock does so already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))  # large tables take their time
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
