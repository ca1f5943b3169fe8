"""Servers that the end-to-end tests share."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sluicegate.ledger import schema
from tests.integration.postgres_server import PostgresServer
from tests.rig import Rig, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start PostgreSQL once; a test that cannot have it fails."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Give the URL of a migrated, empty database."""
    name = f"e2e_{next(_databases)}"
    postgres.execute(f"CREATE DATABASE {name}")
    url = postgres.url(name)
    schema.upgrade(url)
    return url


_databases = itertools.count()


class Pages:
    """A webhook receiver: every page that a person would get."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pages.received.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def about(self, key: str) -> list[dict[str, Any]]:
        """Return the pages of an incident."""
        return [page for page in self.received if page["key"] == key]

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    """Receive pages."""
    receiver = Pages()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pages: Pages) -> Iterator[Rig]:
    """Run one stack for all tests of a module, with an account for each kind of key."""
    home: Path = tmp_path_factory.mktemp("stack")
    accounts = {
        "a1": "1001",
        "a2": "1002",
        "a3": "1003",
        "a4": "1004",
        "a5": "1005",
        "poor": "poor",
        "wrongenv": "mainnet",
        "readonly": "readonly",
        "expired": "expired",
        "bound": "bound",
    }
    settings = {
        "EXCHANGE__RECV_WINDOW_MS": "2000",
        "EXCHANGE__HORIZON_MARGIN_MS": "500",
        "EXCHANGE__READ_TIMEOUT_S": "2",
        "EXCHANGE__CONNECT_TIMEOUT_S": "2",
        "EXCHANGE__LEASE_S": "5",
        "WORKER__REPUBLISH_S": "3",
        "SCHEDULER__LOCK_TIMEOUT_S": "5",
        "RETRY__MAX_ATTEMPTS": "6",
        "RETRY__CAP_S": "2",
        "BREAKER__WINDOW_S": "3600",  # a loaded machine takes more than a minute for what must be seen within it
        "PAGING__WEBHOOK": pages.url,
    }
    with running(home, workers=1, accounts=accounts, settings=settings) as stack:
        yield stack
