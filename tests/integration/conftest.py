"""Servers that integration tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start PostgreSQL once a session; a test that cannot have it fails, it is never skipped."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()
