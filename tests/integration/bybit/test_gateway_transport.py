"""Commands on a network that fails: not sent only on proof that nothing left, in doubt for everything else."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from orders_desk import LINK_ID, place
from venue_server import Desk, VenueServer, acknowledge, closed_port, deaf_port, envelope, http, open_desk

from sluicegate.bybit import transport
from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.orders import Category
from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent
from sluicegate.ports import Answer

Send = Callable[[], Answer]


def reset(connection: socket.socket) -> None:
    """Close a connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_place_connection_refused_was_never_sent() -> None:
    """Nobody listens: nothing left, so the order may be sent again at once."""
    with closed_port() as port:
        outcome = place(open_desk(f"http://127.0.0.1:{port}")).outcome
    assert isinstance(outcome, NeverSent)
    assert (outcome.code, outcome.action) == ("net_connect_fail", Action.RETRY_SOON)
    assert outcome.is_unreached


def test_place_name_unknown_was_never_sent() -> None:
    """The host's name does not resolve: nothing left."""
    outcome = place(open_desk("http://exchange.invalid")).outcome
    assert isinstance(outcome, NeverSent)
    assert (outcome.code, outcome.action) == ("net_connect_fail", Action.RETRY_SOON)
    assert outcome.is_unreached


def test_place_connect_times_out_was_never_sent() -> None:
    """The connection is not made in time: nothing left."""
    with deaf_port() as port:
        answer = place(open_desk(f"http://127.0.0.1:{port}"))
    assert isinstance(answer.outcome, NeverSent)
    assert answer.outcome.code == "net_connect_fail"
    assert answer.elapsed_s < 3


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "htp://127.0.0.1:9"])
def test_place_through_a_proxy_that_cannot_be_used_was_never_sent(server: VenueServer, proxy: str) -> None:
    """A proxy of a kind that requests cannot speak to is refused before there is a connection: nothing left."""
    desk = open_desk(server.url)
    desk.sessions.session().client.proxies = {"http": proxy}
    outcome = place(desk).outcome
    assert isinstance(outcome, NeverSent)
    assert (outcome.code, outcome.action) == ("net_connect_fail", Action.RETRY_SOON)
    assert [] == server.requests


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/", "http://[/"])
def test_place_redirected_to_what_is_no_address_is_in_doubt(server: VenueServer, send: Send, target: str) -> None:
    """The request left: that the place it is sent on to cannot be reached proves nothing."""
    server.script = lambda _request, _connection: http(b"", status="307 Redirect", Location=target)
    assert isinstance(send().outcome, InDoubt)
    assert 1 == len(server.requests)


def test_place_without_answer_is_in_doubt(server: VenueServer, send: Send) -> None:
    """The request left and no answer comes: in doubt until the receive window and the margin have passed."""
    quiet = threading.Event()
    server.script = lambda _request, _connection: quiet.wait(10) and None
    answer = send()
    quiet.set()
    assert answer.signed_at_ms is not None
    assert InDoubt("net_read_timeout", "no answer in time", answer.signed_at_ms + 6000) == answer.outcome
    assert len(server.requests) == 1


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"], ids=["none", "some"])
def test_place_connection_reset_is_in_doubt(server: VenueServer, send: Send, part: bytes) -> None:
    """The connection is reset after the request, before or in the middle of the answer: in doubt, asked once."""

    def script(_request: Any, connection: socket.socket) -> None:
        connection.sendall(part)
        reset(connection)

    server.script = script
    outcome = send().outcome
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "net_reset_or_aborted"
    assert len(server.requests) == 1


def test_place_connection_reset_within_the_request_is_not_acknowledged() -> None:
    """A peer that resets each connection may have read the request: never taken for "not sent"."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def slam() -> None:
            connection, _address = listener.accept()
            connection.recv(1)  # a reset before the connection stands would be proof that nothing was sent
            reset(connection)

        slammer = threading.Thread(target=slam, daemon=True)
        slammer.start()
        outcome = place(open_desk(f"http://127.0.0.1:{listener.getsockname()[1]}")).outcome
        slammer.join(5)
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "net_reset_or_aborted"


def test_place_answer_that_drips_ends_with_the_lease(server: VenueServer, send: Send) -> None:
    """A body that comes byte by byte, each in time, holds the thread no longer than the order's lease."""
    is_over = threading.Event()

    def drip(_request: Any, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not is_over.wait(0.1):
            connection.sendall(b" ")

    server.script = drip
    started = time.monotonic()
    outcome = send().outcome
    is_over.set()
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "net_read_timeout"
    assert time.monotonic() - started < 3


def test_place_answer_without_end_is_cut_off(
    server: VenueServer, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body beyond all measure is not read to its end."""
    monkeypatch.setattr(transport, "MOST_BYTES", 100_000)

    def flood(_request: Any, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    server.script = flood
    outcome = send().outcome
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "json_decode_error"


def test_place_over_a_connection_closed_meanwhile_arrives_once(server: VenueServer, send: Send) -> None:
    """A kept connection that the server closed in the meantime costs neither an order nor a second one."""

    def answer_and_close(request: Any, connection: socket.socket) -> None:
        connection.sendall(acknowledge(request, connection))

    server.script = answer_and_close
    for _ in range(3):
        outcome = send().outcome
        assert isinstance(outcome, Acknowledged | InDoubt)
    assert len(server.requests) <= 3


def test_place_reuses_its_connection(server: VenueServer, send: Send) -> None:
    """Orders of one thread go over one connection."""
    for _ in range(5):
        assert isinstance(send().outcome, Acknowledged)
    assert (server.connections, len(server.requests)) == (1, 5)


def test_place_during_another_failure_is_judged_by_its_own(server: VenueServer, send: Send) -> None:
    """What failed before says nothing: a request lost while a refused connection is being handled is in doubt."""
    server.script = lambda _request, connection: reset(connection)
    with closed_port() as port:
        nobody = open_desk(f"http://127.0.0.1:{port}")
        try:
            nobody.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID)
        except ExchangeUnavailable:
            outcome = send().outcome
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "net_reset_or_aborted"


def test_place_ignores_the_proxy_of_the_environment_towards_the_simulator(
    server: VenueServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for the way to Bybit must not stand between us and a simulator on this host."""
    with closed_port() as port:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert isinstance(place(desk).outcome, Acknowledged)
    assert len(server.requests) == 1


def test_query_that_fails_raises_what_to_do(server: VenueServer, desk: Desk) -> None:
    """A query without a usable answer raises; nothing is concluded from it."""
    server.script = lambda _request, _connection: http(envelope(result={"list": []}, time=None))
    with pytest.raises(ExchangeUnavailable, match="absence cannot be proved"):
        desk.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID)
    server.script = lambda _request, connection: reset(connection)
    with pytest.raises(ExchangeUnavailable, match="net_reset_or_aborted"):
        desk.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID)
