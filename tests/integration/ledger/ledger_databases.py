"""The databases that the ledger's tests run on."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

from postgres_server import PostgresServer
from sqlalchemy import text

from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.tables import METADATA


class Database(ABC):
    """A ledger that is migrated once a module and emptied for each test; its engine stays."""

    def __init__(self) -> None:
        self._count = 0
        self.url = self.fresh()
        schema.upgrade(self.url)
        self.engine = create_ledger_engine(self.url)

    @abstractmethod
    def empty(self) -> None:
        """Remove all rows."""

    @abstractmethod
    def fresh(self) -> str:
        """Return the URL of another database, without tables."""


class SqliteFiles(Database):
    """A file that is overwritten by the template, page by page; its triggers keep rows from being deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__()
        self._template = sqlite3.connect(":memory:", isolation_level=None)
        with closing(self._open()) as ledger:
            ledger.backup(self._template)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)

    def empty(self) -> None:
        """Remove all rows."""
        with closing(self._open()) as ledger:
            self._template.backup(ledger)

    def fresh(self) -> str:
        """Return the URL of another database, without tables."""
        self._count += 1
        return f"sqlite:///{self._folder}/ledger{self._count}.db"


class PostgresDatabases(Database):
    """A database of the session's server."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        super().__init__()

    def empty(self) -> None:
        """Remove all rows."""
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY"))

    def fresh(self) -> str:
        """Return the URL of another database, without tables."""
        self._count += 1
        name = f"{self._name}_{self._count}"
        self._server.execute(f"CREATE DATABASE {name}")
        return self._server.url(name)
