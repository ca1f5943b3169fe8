"""Connections to the ledger: SQLite in WAL mode, PostgreSQL through psycopg 3."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from sluicegate.domain.errors import ConfigurationError
from sluicegate.ledger.columns import to_json_text

# A write transaction on SQLite takes the write lock at its first statement: one that reads first and takes it
# later fails at once when someone wrote in between, however long it would wait.
WRITING: Final = "sluicegate_writing"

BUSY_TIMEOUT_S: Final = 15.0
_PATIENT: Final = f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}"
_ASK_AGAIN_S: Final = 0.001
POOL_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 15_000
IDLE_TRANSACTION_TIMEOUT_MS: Final = 30_000
_POOL_SIZE: Final = 16
_POOL_OVERFLOW: Final = 16


def create_ledger_engine(url: str) -> Engine:
    """Make the engine for a ledger; connects when first used.

    Build it after a fork, one a process. The SQLite file must be on a local disk: WAL needs shared memory.

    Args:
        url: `sqlite:///PATH` (its folder is created) or `postgresql://USER:PASSWORD@HOST/DATABASE`.

    Raises:
        ConfigurationError: the URL names no such database; its text never shows the URL.
    """
    parsed = parse_ledger_url(url)
    return _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql_engine(parsed)


def parse_ledger_url(url: str) -> URL:
    """Read a ledger URL and name its driver.

    Raises:
        ConfigurationError: it is neither SQLite nor PostgreSQL.
    """
    form = "use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the ledger URL cannot be read; {form}") from None
    match parsed.drivername:
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" | "sqlite+pysqlite":
            if parsed.database in {None, "", ":memory:"}:
                raise ConfigurationError("the ledger URL names no file; use sqlite:///PATH")
            return parsed
        case other:
            raise ConfigurationError(f"the ledger cannot be {other!r}; {form}")


# --- SQLite ---------------------------------------------------------------------------------------------------


def _sqlite_engine(url: URL) -> Engine:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigurationError(f"the ledger's folder {folder} cannot be made: {e.strerror}") from e
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        json_serializer=to_json_text,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    _use_wal(connection)
    # An accepted order survives power loss: every commit is flushed to the disk.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. The switch does not wait for other connections by itself, so several first ones try again."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    """Begin a write transaction as soon as no other process is in one.

    SQLite's own wait sleeps longer with each try, up to 100 ms: whoever waits longest is the last to ask again.
    With several processes writing, the wait was more than half of the time that a worker's transactions took.
    """
    if not connection.get_execution_options().get(WRITING):
        return
    driver: Any = connection.connection.driver_connection  # SQLAlchemy in between would take longer than the lock
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        _take_write_lock(driver)
    except sqlite3.OperationalError:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # it fails in SQLAlchemy's words, or is let in at last
    finally:
        driver.execute(_PATIENT)


def _take_write_lock(driver: sqlite3.Connection) -> None:
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as e:
            if not e.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > give_up_at:
                raise
            time.sleep(_ASK_AGAIN_S)
        else:
            return


# --- PostgreSQL -----------------------------------------------------------------------------------------------


def _postgresql_engine(url: URL) -> Engine:
    ours = {
        "connect_timeout": str(CONNECT_TIMEOUT_S),
        "application_name": "sluicegate",
        # A peer that vanished without a word is noticed within some 25 s.
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": str(STATEMENT_TIMEOUT_MS),
    }
    settings = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
    )
    theirs = url.query.get("options", "")
    options = f"{settings} {theirs}" if isinstance(theirs, str) else settings  # the last word on a setting wins
    return create_engine(
        url.set(query={**ours, **url.query, "options": options}),
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        json_serializer=to_json_text,
        hide_parameters=True,
    )
