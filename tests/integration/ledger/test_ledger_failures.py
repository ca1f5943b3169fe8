"""A database that does not answer is said so, in time, and without its secrets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger_cases import NOON, StillClock, accept_one, new_order
from ledger_databases import Database
from postgres_server import PASSWORD, PostgresServer
from sqlalchemy import Engine, event, text

from sluicegate.domain.errors import ConfigurationError, LedgerUnavailable
from sluicegate.domain.lifecycle import Event
from sluicegate.ledger import schema
from sluicegate.ledger.engine import WRITING, create_ledger_engine
from sluicegate.ledger.repository import SqlLedger
from sluicegate.ports import Ledger


@contextmanager
def opened(url: str, *settings: str) -> Iterator[Ledger]:
    """Open a ledger whose connections are prepared with some settings."""
    engine = create_ledger_engine(url)

    def prepare(connection: object, _record: object) -> None:
        for setting in settings:
            connection.execute(setting)  # type: ignore[attr-defined]
        connection.commit()  # type: ignore[attr-defined]

    event.listen(engine, "connect", prepare)
    try:
        yield SqlLedger(engine, StillClock(), actor="test")
    finally:
        engine.dispose()


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Hold what every write needs."""
    with engine.execution_options(**{WRITING: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE orders, order_events IN ACCESS EXCLUSIVE MODE"))
        yield


def test_locked_ledger_refuses_writes_and_recovers(
    ledger: Ledger, engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that cannot get its lock in time changes nothing; the next one works."""
    order = accept_one(ledger)
    monkeypatch.setattr("sluicegate.ledger.engine.BUSY_TIMEOUT_S", 0.1)
    impatience = ["SET statement_timeout = 100"] if engine.dialect.name == "postgresql" else []
    with opened(url, *impatience) as impatient:
        with locked(engine):
            with pytest.raises(LedgerUnavailable):
                impatient.transition(order, Event.CLAIMED, {}, {})
            with pytest.raises(LedgerUnavailable):
                impatient.accept([new_order()], wake_at=NOON)
        assert ledger.get(order.order_id) == order
        assert impatient.transition(order, Event.CLAIMED, {}, {}) is not None


def test_reads_go_on_while_someone_writes(ledger: Ledger, engine: Engine) -> None:
    """A writer does not hold up readers."""
    order = accept_one(ledger)
    with engine.execution_options(**{WRITING: True}).begin() as connection:
        connection.execute(text("UPDATE orders SET attempts = 7"))
        assert ledger.get(order.order_id) == order


def test_ledger_without_schema_says_what_to_run(database: Database) -> None:
    """A forgotten upgrade is told as such."""
    with opened(database.fresh()) as bare, pytest.raises(LedgerUnavailable, match="sluicegate db upgrade"):
        bare.halts()


def test_pool_without_free_connection_is_unavailable(url: str) -> None:
    """When every connection is busy for too long, the caller is told."""
    engine = create_ledger_engine(url)
    engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    busy = [engine.connect() for _ in range(32)]
    try:
        with pytest.raises(LedgerUnavailable, match="in use"):
            SqlLedger(engine, StillClock(), actor="test").halts()
    finally:
        for connection in busy:
            connection.close()
        engine.dispose()


def test_thread_without_a_turn_to_write_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of one process queue for the SQLite file; one that waits too long is told."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    monkeypatch.setattr("sluicegate.ledger.store.BUSY_TIMEOUT_S", 0.05)
    with opened(url) as ledger:
        with ledger._writing(), pytest.raises(LedgerUnavailable, match="no turn"):  # type: ignore[attr-defined]
            ledger.lift("account:main")
        assert ledger.lift("account:main") is None


def test_unreachable_postgresql_is_unavailable_and_keeps_its_password() -> None:
    """Nobody listens: the error names the trouble and no secret."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgres://someone:{PASSWORD}@127.0.0.1:{port}/ledger"
    with opened(url) as ledger, pytest.raises(LedgerUnavailable, match="refused") as caught:
        ledger.halts()
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(caught.value.__cause__)
    with pytest.raises(LedgerUnavailable):
        schema.check(url)


def test_postgresql_with_wrong_password_is_unavailable_and_keeps_it(postgres: PostgresServer) -> None:
    """A refused password is not shown."""
    wrong = "another-secret"
    url = postgres.url("postgres").replace(PASSWORD, wrong)
    with opened(url) as ledger, pytest.raises(LedgerUnavailable, match="password authentication failed") as caught:
        ledger.halts()
    assert wrong not in str(caught.value)


def test_postgresql_that_drops_a_connection_is_used_again(postgres: PostgresServer) -> None:
    """A connection that the server closed while it was idle costs nothing: it is tested before use."""
    postgres.execute("CREATE DATABASE dropping")
    schema.upgrade(postgres.url("dropping"))
    with opened(postgres.url("dropping")) as ledger:
        order = accept_one(ledger)
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dropping'")
        assert ledger.get(order.order_id) == order


def test_sqlite_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """Another file at the ledger's place is reported, not overwritten."""
    file = tmp_path / "notes.txt"
    file.write_text("these are not the orders you are looking for" * 100)
    with opened(f"sqlite:///{file}") as ledger, pytest.raises(LedgerUnavailable, match="not a database"):
        ledger.halts()
    assert file.read_text().startswith("these are not")


def test_sqlite_ledger_survives_power_loss(tmp_path: Path) -> None:
    """Every connection flushes each commit to the disk, keeps a write-ahead log, and checks foreign keys."""
    engine = create_ledger_engine(f"sqlite:///{tmp_path}/new/folder/ledger.db")
    with engine.connect() as connection:
        names = ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]
    engine.dispose()
    assert found == [2, "wal", 1, 15_000]


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://someone:{PASSWORD}@host/db",
        f"someone:{PASSWORD}@host",
        f"postgresql://someone:{PASSWORD}@host:port/db",
        "sqlite://",
        "sqlite:///:memory:",
        "",
    ],
)
def test_url_of_no_ledger_is_a_configuration_error(url: str) -> None:
    """A wrong URL is explained without being shown."""
    with pytest.raises(ConfigurationError, match="use sqlite:///PATH") as caught:
        create_ledger_engine(url)
    assert PASSWORD not in str(caught.value)


def test_sqlite_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    """A file where a folder is needed is reported by name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="folder"):
        create_ledger_engine(f"sqlite:///{tmp_path}/file/ledger.db")
