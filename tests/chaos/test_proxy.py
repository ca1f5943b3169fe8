"""The proxy does what its faults say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy
from tests.rig import wait_until


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(1024):
                    self.received += piece
                    connection.sendall(piece)
            except OSError:
                return

    def stop(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Run an echo server."""
    server = Echo()
    yield server
    server.stop()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """Run a proxy before it."""
    running = Proxy(echo.port)
    running.start()
    yield running
    running.stop()


def test_bytes_pass_in_both_directions(proxy: Proxy) -> None:
    """Without a fault the proxy is a cable."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"


def test_reset_breaks_open_connections_and_lets_new_ones_pass(proxy: Proxy) -> None:
    """A reset connection fails at its next read; the next connection works."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    test_bytes_pass_in_both_directions(proxy)


def test_held_request_arrives_late_though_its_client_is_gone(proxy: Proxy, echo: Echo) -> None:
    """What was held back towards the server arrives after `heal`, whoever waits for it."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        proxy.hold("up")
        client.sendall(b"late")
    assert echo.received == b"one"
    proxy.heal()
    wait_until(lambda: echo.received == b"onelate", "the held bytes arrive")


def test_refusing_proxy_takes_no_connection_until_healed(proxy: Proxy) -> None:
    """A server that is away."""
    proxy.refuse()
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.recv(10)
    proxy.heal()
    test_bytes_pass_in_both_directions(proxy)
