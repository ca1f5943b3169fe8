"""Servers that the chaos tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.postgres_server import PostgresServer


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that may be crashed."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()
