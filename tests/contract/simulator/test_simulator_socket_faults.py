"""What goes wrong on WebSockets on purpose: silence, close, refuse; events lost, doubled, late."""

from __future__ import annotations

import pytest
import requests
from exchange_driver import Exchange, Process, Signer, eventually
from socket_driver import socket_to
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus


def test_lose_event_swallows_a_row_and_counts_it(exchange: Exchange, client: Signer):
    """The execution of the first order is never told, that of the second is."""
    exchange.fault("lose_event", match={"topic": "execution", "uid": 1001})
    with socket_to(exchange) as socket:
        socket.follow("execution")
        client.create(orderLinkId="lost", price="61000")
        client.create(orderLinkId="told", price="61000")
        assert "told" == socket.rows("execution", 1)[0]["orderLinkId"]
        counted = exchange.stats()["streams"]["uids"]["1001"]
    assert (1, 1) == (counted["events_lost"], counted["events_sent"])


def test_duplicate_event_tells_a_row_twice(exchange: Exchange, client: Signer):
    """A second Filled push comes in a message of its own."""
    exchange.fault("duplicate_event", match={"topic": "order.linear", "symbol": "BTCUSDT"})
    with socket_to(exchange) as socket:
        socket.follow("order")
        client.create(orderLinkId="twice", price="61000")
        first, second = socket.rows("order", 2)
    assert "Filled" == first["orderStatus"]
    assert first == second


def test_reorder_events_tells_a_row_after_later_ones(exchange: Exchange, client: Signer):
    """An execution held back comes after one that happened later."""
    exchange.fault("reorder_events", match={"topic": "execution"}, args={"delay_ms": 300})
    with socket_to(exchange) as socket:
        socket.follow("execution")
        client.create(orderLinkId="first", price="61000")
        client.create(orderLinkId="second", price="61000")
        rows = socket.rows("execution", 2)
    assert ["second", "first"] == [row["orderLinkId"] for row in rows]


def test_fault_of_another_account_or_topic_does_not_strike(exchange: Exchange, client: Signer):
    """A fault strikes only what it matches."""
    exchange.fault("lose_event", count=None, match={"uid": 1002})
    exchange.fault("lose_event", count=None, match={"topic": "execution"})
    exchange.fault("lose_event", count=None, match={"symbol": "ETHUSDT"})
    with socket_to(exchange) as socket:
        socket.follow("order", "execution")
        client.create(orderLinkId="mine", price="61000")
        assert "mine" == socket.rows("order", 1)[0]["orderLinkId"]


def test_silence_keeps_the_connection_and_loses_what_happens(exchange: Exchange, client: Signer):
    """A silent connection answers no ping of either kind; a new one hears again."""
    with socket_to(exchange) as socket, socket_to(exchange) as fresh:
        socket.follow("order")
        assert exchange.control("stream", action="silence", uid=1001)["connections"] == 1
        client.create(orderLinkId="unheard")
        socket.say(op="ping")
        assert not socket.connection.ping().wait(0.2)
        with pytest.raises(TimeoutError):
            socket.hear(0.2)
        assert exchange.stats()["streams"]["uids"]["1001"]["events_lost"] == 1
        fresh.follow("order")
        client.create(orderLinkId="heard")
        assert "heard" == fresh.rows("order", 1)[0]["orderLinkId"]


def test_silence_with_answers_still_pongs(exchange: Exchange, client: Signer):
    """The nastier silence: pings are answered, data does not come; after its seconds it does again."""
    with socket_to(exchange) as socket:
        socket.follow("order")
        exchange.control("stream", action="silence", uid=1001, seconds=0.5, answers=True)
        client.create(orderLinkId="unheard")
        assert "pong" == socket.ask(op="ping")["op"]
        assert socket.connection.ping().wait(30)

        def heard() -> str | None:
            client.post("/v5/order/amend", category="linear", symbol="BTCUSDT", orderLinkId="unheard", qty="0.02")
            client.post("/v5/order/amend", category="linear", symbol="BTCUSDT", orderLinkId="unheard", qty="0.03")
            try:
                return socket.hear(0.1)["topic"]
            except TimeoutError:
                return None

        assert "order" == eventually(heard, 60)


@pytest.mark.parametrize(("options", "code"), [({}, 1006), ({"code": 1001}, 1001)])
def test_close_drops_the_connections_of_an_account(exchange: Exchange, options: dict, code: int):
    """Without a code the connection is cut; with one it ends by a handshake; others live on."""
    with socket_to(exchange) as socket, socket_to(exchange) as other:
        socket.follow("order")
        assert other.log_in(1002)["success"] is True
        exchange.control("stream", action="close", uid=1001, **options)
        with pytest.raises(ConnectionClosed) as caught:
            socket.hear()
        assert code == (caught.value.rcvd.code if caught.value.rcvd else 1006)
        assert "pong" == other.ask(op="ping")["op"]


def test_refuse_turns_new_connections_away_for_a_while(exchange: Exchange):
    """HTTP 503 instead of an upgrade, until the seconds are over; open connections stay."""
    with socket_to(exchange) as socket:
        exchange.control("stream", action="refuse", seconds=0.5)
        with pytest.raises(InvalidStatus) as caught, socket_to(exchange):
            pass
        assert 503 == caught.value.response.status_code
        assert "pong" == socket.ask(op="ping")["op"]

    def connects() -> bool:
        try:
            with socket_to(exchange) as again:
                return again.ask(op="ping")["op"] == "pong"
        except InvalidStatus:
            return False

    assert eventually(connects, 60)


def test_refuse_for_one_account_drops_it_at_auth(exchange: Exchange):
    """Who connects is known at auth only; other accounts get in."""
    exchange.control("stream", action="refuse", uid=1001, seconds=60)
    with socket_to(exchange) as other, socket_to(exchange) as socket:
        assert other.log_in(1002)["success"] is True
        with pytest.raises(ConnectionClosed):
            socket.log_in(1001)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"action": "explode"}, "action must be one of"),
        ({"action": "silence", "uid": 7}, "uid 7 is no account"),
        ({"action": "silence", "channel": "secret"}, "channel must be one of"),
        ({"action": "refuse"}, "refuse needs seconds"),
        ({"action": "close", "answers": True}, "unknown fields ['answers']"),
        ({"action": "silence", "seconds": "5"}, "seconds must be a number"),
    ],
)
def test_stream_call_that_makes_no_sense_is_refused(exchange: Exchange, body: dict, says: str):
    """HTTP 400 says what to send."""
    answer = requests.post(f"{exchange.url}/simulator/stream", json=body, timeout=10)
    assert 400 == answer.status_code
    assert says in answer.json()["error"]


def test_connections_beyond_the_limit_get_403(exchange: Exchange):
    """One address may open so many connections in five minutes."""
    exchange.control("sockets", connect_limit=2)
    with socket_to(exchange), socket_to(exchange):
        pass
    with pytest.raises(InvalidStatus) as caught, socket_to(exchange):
        pass
    assert 403 == caught.value.response.status_code
    visitor = exchange.stats()["streams"]["ips"]["127.0.0.1"]
    assert {"opened": 2, "refused": 1, "max_per_5_minutes": 3} == visitor


def test_idle_connection_is_closed(exchange: Exchange):
    """A connection on which nothing is said is dropped; one that pings is not."""
    with socket_to(exchange) as idle, socket_to(exchange) as busy:
        exchange.control("sockets", idle_s=2, scan_s=0.05)

        def is_closed() -> bool:
            busy.ask(op="ping")
            try:
                idle.hear(0.05)
            except TimeoutError:
                return False
            except ConnectionClosedOK:
                return True
            return False

        assert eventually(is_closed, 60)
        assert "pong" == busy.ask(op="ping")["op"]


def test_max_active_time_ends_a_connection(exchange: Exchange):
    """An age outside 30 s to 10 min is refused; inside it the connection is served."""
    for query, status in (("5s", 400), ("11m", 400), ("soon", 400)):
        path = f"/v5/private?max_active_time={query}"
        with pytest.raises(InvalidStatus) as caught, socket_to(exchange, path):
            pass
        assert status == caught.value.response.status_code
    with socket_to(exchange, "/v5/private?max_active_time=1m") as socket:
        assert "pong" == socket.ask(op="ping")["op"]


def test_unknown_path_is_404(exchange: Exchange):
    """Only Bybit's paths upgrade."""
    with pytest.raises(InvalidStatus) as caught, socket_to(exchange, "/v5/secret"):
        pass
    assert 404 == caught.value.response.status_code


def test_no_json_closes_the_connection(exchange: Exchange):
    """What is no JSON object ends the conversation."""
    with socket_to(exchange) as socket:
        socket.connection.send("hello")
        with pytest.raises(ConnectionClosed):
            socket.hear()


def test_network_delays_messages_and_keeps_their_order():
    """Delay and jitter of the network reach sockets, too, and TCP's order is kept."""
    process = Process()
    try:
        exchange = Exchange(process.url)
        exchange.control("network", delay_ms=2, jitter_ms=5, seed=3)
        with socket_to(exchange) as socket:
            for number in range(50):
                socket.say(op="ping", req_id=str(number))
            assert [str(number) for number in range(50)] == [socket.hear()["req_id"] for _ in range(50)]
    finally:
        assert process.stop() == 0
