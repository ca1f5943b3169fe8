"""Servers that the chaos tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluicegate.ledger import schema
from tests.integration.postgres_server import PostgresServer


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Run PostgreSQL and give the URL of a migrated, empty database."""
    server = PostgresServer()
    try:
        server.start()
        server.execute("CREATE DATABASE chaos")
        schema.upgrade(server.url("chaos"))
        yield server.url("chaos")
    finally:
        server.stop()
