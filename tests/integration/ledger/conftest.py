"""One ledger on each database; every test of this folder runs on both."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_cases import StillClock
from postgres_server import PostgresServer
from sqlalchemy import Engine, text

from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.repository import SqlLedger
from sluicegate.ledger.tables import METADATA
from sluicegate.ports import Ledger


class Database(ABC):
    """A database that is migrated once and handed out empty."""

    @abstractmethod
    def empty(self) -> str:
        """Return the URL of the migrated database without rows."""

    @abstractmethod
    def fresh(self) -> str:
        """Return the URL of another database, without tables."""


class SqliteFiles(Database):
    """A template file, copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._template = folder / "template.db"
        schema.upgrade(f"sqlite:///{self._template}")

    def empty(self) -> str:
        """Return the URL of the migrated database without rows."""
        url = self.fresh()
        shutil.copy(self._template, url.removeprefix("sqlite:///"))
        return url

    def fresh(self) -> str:
        """Return the URL of another database, without tables."""
        self._count += 1
        return f"sqlite:///{self._folder}/ledger{self._count}.db"


class PostgresDatabases(Database):
    """A database for each test module, its tables emptied for each test."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        self._count = 0
        self._url = self.fresh()
        schema.upgrade(self._url)
        self._engine = create_ledger_engine(self._url)

    def empty(self) -> str:
        """Return the URL of the migrated database without rows."""
        tables = ", ".join(METADATA.tables)
        with self._engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        return self._url

    def fresh(self) -> str:
        """Return the URL of another database, without tables."""
        self._count += 1
        name = f"{self._name}_{self._count}"
        self._server.execute(f"CREATE DATABASE {name}")
        return self._server.url(name)

    def close(self) -> None:
        """Close what emptied them."""
        self._engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Give a migrated database."""
    if request.param == "sqlite":
        yield SqliteFiles(tmp_path_factory.mktemp("ledger"))
        return
    name = request.module.__name__.rpartition(".")[2]
    databases = PostgresDatabases(request.getfixturevalue("postgres"), name)
    yield databases
    databases.close()


@pytest.fixture
def url(database: Database) -> str:
    """Give the URL of an empty ledger."""
    return database.empty()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Give an engine on an empty ledger."""
    engine = create_ledger_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> StillClock:
    """Give a clock that stands still."""
    return StillClock()


@pytest.fixture
def ledger(engine: Engine, clock: StillClock) -> Ledger:
    """Give an empty ledger."""
    return SqlLedger(engine, clock, actor="test")
