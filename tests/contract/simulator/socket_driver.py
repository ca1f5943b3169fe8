"""Drive the simulator's WebSockets: raw messages, and unmodified clients pointed at them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from exchange_driver import Exchange, Json
from websockets.sync.client import ClientConnection, connect


class Socket:
    """One raw WebSocket to a running simulator."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.connection.send(json.dumps(message))

    def hear(self, timeout_s: float = 30) -> Json:
        """Return the next message."""
        return json.loads(self.connection.recv(timeout_s))

    def ask(self, **message: Any) -> Json:
        """Send a message and return the next one that comes."""
        self.say(**message)
        return self.hear()

    def log_in(self, name: object = 1001, expires_in_s: float = 10, **changes: Any) -> Json:
        """Authenticate and return the answer."""
        expires = int((time.time() + expires_in_s) * 1000)
        origin = f"GET/realtime{expires}".encode()
        signature = hmac.new(f"sim-secret-{name}".encode(), origin, hashlib.sha256).hexdigest()
        return self.ask(op="auth", args=[f"sim-key-{name}", expires, signature], **changes)

    def follow(self, *topics: str) -> None:
        """Authenticate and subscribe; both must succeed."""
        assert self.log_in()["success"] is True
        answer = self.ask(op="subscribe", args=list(topics))
        assert answer["success"] is True, answer

    def until(self, is_wanted: Callable[[Json], bool], timeout_s: float = 30) -> list[Json]:
        """Return the messages up to the first wanted one, that one included."""
        deadline = time.monotonic() + timeout_s
        heard: list[Json] = []
        while not heard or not is_wanted(heard[-1]):
            heard.append(self.hear(max(deadline - time.monotonic(), 0.001)))
        return heard

    def rows(self, topic: str, count: int) -> list[Json]:
        """Return the next rows of a topic; other messages are dropped."""
        rows: list[Json] = []
        while len(rows) < count:
            rows += self.until(lambda message: message.get("topic") == topic)[-1]["data"]
        return rows


@contextmanager
def socket_to(exchange: Exchange, path: str = "/v5/private", **options: Any) -> Iterator[Socket]:
    """Open a WebSocket."""
    with connect(exchange.url.replace("http", "ws") + path, close_timeout=1, **options) as connection:
        yield Socket(connection)
