"""The connection to the broker: kombu's, with one Redis client a channel.

kombu 5.7 makes a client for each command that it sends, with a table of some 300 callbacks in it: 0.15 ms every
time, and a message needs three to five (publish, acknowledge, tell Flower).
"""

from __future__ import annotations

from typing import Any

from kombu.connection import Connection
from kombu.transport import redis as transport


class _Channel(transport.Channel):
    """Keeps the client that shares the channel's pool; one that blocks for messages is made as ever."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:  # a lost connection makes a new pool
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class _Transport(transport.Transport):
    Channel = _Channel


class BrokerConnection(Connection):
    """Connects through our channel; with another transport, like Sentinel's, as kombu does."""

    def get_transport_cls(self) -> Any:
        """Return the class of the transport."""
        usual = super().get_transport_cls()  # type: ignore[no-untyped-call]
        return _Transport if usual is transport.Transport else usual
