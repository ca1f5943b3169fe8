"""One ledger on each database; every test of this folder runs on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_cases import StillClock
from ledger_databases import Database, PostgresDatabases, SqliteFiles
from sqlalchemy import Engine

from sluicegate.ledger.repository import SqlLedger
from sluicegate.ports import Ledger


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Give a migrated database to a module."""
    database: Database
    if request.param == "sqlite":
        database = SqliteFiles(tmp_path_factory.mktemp("ledger"))
    else:
        name = request.module.__name__.rpartition(".")[2]
        database = PostgresDatabases(request.getfixturevalue("postgres"), name)
    yield database
    database.engine.dispose()


@pytest.fixture
def database(module_database: Database) -> Database:
    """Give an empty ledger."""
    module_database.empty()
    return module_database


@pytest.fixture
def url(database: Database) -> str:
    """Give the URL of an empty ledger."""
    return database.url


@pytest.fixture
def engine(database: Database) -> Engine:
    """Give an engine on an empty ledger."""
    return database.engine


@pytest.fixture
def clock() -> StillClock:
    """Give a clock that stands still."""
    return StillClock()


@pytest.fixture
def ledger(engine: Engine, clock: StillClock) -> Ledger:
    """Give an empty ledger."""
    return SqlLedger(engine, clock, actor="test")
