"""One simulator process for the whole session, reset before every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exchange_driver import Exchange, Process, Signer


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """Run `python -m simulator` and give its address."""
    process = Process()
    yield process.url
    assert process.stop() == 0
    assert "Traceback" not in process.errors, process.errors


@pytest.fixture
def exchange(simulator_url: str) -> Exchange:
    """Give a fresh exchange without an IP limit, for all tests come from one address."""
    exchange = Exchange(simulator_url)
    exchange.control("reset")
    exchange.control("limits", ip_limit=None)
    return exchange


@pytest.fixture
def client(exchange: Exchange) -> Signer:
    """Give a raw signing client of UID 1001."""
    return exchange.signer(1001)
