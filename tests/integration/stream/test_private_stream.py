"""One connection, against a server that behaves as badly as servers do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from sluicegate.bybit import private_stream
from sluicegate.bybit.frames import Noise, Parcel
from sluicegate.bybit.private_stream import PrivateStream, StreamEnded, StreamRefused, stream_url
from sluicegate.config import Credentials, Environment, ExchangeSettings
from sluicegate.domain.pace import Beat

NOW_MS = 1_700_000_000_000
PATIENCE_S = 60


class Venue:
    """A server whose manners a test changes."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.rejected: set[str] = set()
        self.accepts_auth = True
        self.answers_pings = True
        self.says: list[str] = []
        self.drops_after_auth = False

    async def serve(self, connection: ServerConnection) -> None:
        """Speak with one client."""
        async for text in connection:
            message = json.loads(text)
            self.heard.append(message)
            answer = {"req_id": message.get("req_id"), "op": message["op"], "success": True, "ret_msg": ""}
            if message["op"] == "ping":
                if self.answers_pings:
                    await connection.send(json.dumps({"op": "pong", "args": [str(NOW_MS)]}))
                continue
            if message["op"] == "auth":
                answer["success"] = self.accepts_auth
                del answer["req_id"]  # Bybit's examples have none
            bad = self.rejected & set(message["args"])
            if bad:
                answer |= {"success": False, "ret_msg": f"error:handler not found,topic:{bad.pop()}"}
            await connection.send(json.dumps(answer))
            for said in self.says:
                await connection.send(said)
            if self.drops_after_auth:
                connection.transport.abort()


Inside = Callable[[PrivateStream], Awaitable[None]]


def follow(
    venue: Venue, inside: Inside, *, beat: Beat | None = None, parcels: list[Parcel] | None = None
) -> list[Noise]:
    """Run one connection against the venue, to its end; return the noise that it heard."""
    noise: list[Noise] = []

    async def main() -> None:
        async with serve(venue.serve, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            url = stream_url(Environment.SIMULATOR, f"http://127.0.0.1:{port}/")
            credentials = Credentials(api_key=SecretStr("key"), api_secret=SecretStr("secret"))
            settings = ExchangeSettings()
            stream = PrivateStream(url, credentials, lambda: NOW_MS, beat or Beat(), settings)
            async with asyncio.timeout(PATIENCE_S):
                await stream.run(
                    lambda: inside(stream), (parcels if parcels is not None else []).append, noise.append
                )

    asyncio.run(main())
    return noise


async def nothing(_stream: PrivateStream) -> None:
    """Do nothing, and be done."""


async def for_ever(_stream: PrivateStream) -> None:
    """Wait until the connection is over."""
    await asyncio.Event().wait()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; `follow` has the bound."""
    while not holds():  # noqa: ASYNC110 - what changes it knows no event
        await asyncio.sleep(0.02)


def test_authentication_is_signed_with_the_measured_clock() -> None:
    """It expires ten seconds after the exchange's time, and the signature covers that instant."""
    venue = Venue()
    follow(venue, nothing)

    key, expires, signature = venue.heard[0]["args"]
    assert ("key", NOW_MS + 10_000) == (key, expires)
    assert hmac.new(b"secret", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest() == signature


def test_refused_authentication_says_so() -> None:
    """Nothing inside runs without an accepted authentication."""
    venue = Venue()
    venue.accepts_auth = False
    with pytest.raises(StreamRefused):
        follow(venue, for_ever)


def test_rejected_topic_is_told_and_ends_nothing() -> None:
    """Who subscribes learns of the rejection; the connection goes on."""
    venue = Venue()
    venue.rejected = {"wallet"}
    told: list[str] = []

    async def subscribe(stream: PrivateStream) -> None:
        told.append(await stream.subscribe(("order", "wallet")))
        told.append(await stream.subscribe(("order",)))

    follow(venue, subscribe)

    assert ["error:handler not found,topic:wallet", ""] == told


def test_silence_is_noticed_by_a_ping_without_a_pong() -> None:
    """A server that takes pings and says nothing is dead."""
    venue = Venue()
    venue.answers_pings = False
    with pytest.raises(StreamEnded) as ended:
        follow(venue, for_ever, beat=Beat(ping_s=0.3, pong_s=0.5))
    assert "silent" == ended.value.reason
    assert "ping" in {message["op"] for message in venue.heard}


def test_pongs_keep_a_quiet_connection() -> None:
    """Pings go on for as long as the connection lives, and their pongs keep it."""
    venue = Venue()

    async def until_five_pings(_stream: PrivateStream) -> None:
        await until(lambda: sum(message["op"] == "ping" for message in venue.heard) >= 5)

    follow(venue, until_five_pings, beat=Beat(ping_s=0.3, pong_s=30.0))


def test_dropped_connection_ends_what_is_inside() -> None:
    """A reset is the end of the connection, and cancels what waits inside."""
    venue = Venue()
    venue.drops_after_auth = True
    with pytest.raises(StreamEnded) as ended:
        follow(venue, for_ever)
    assert ended.value.reason in {"closed", "no_reply"}


def test_nobody_listening_is_a_failed_connect() -> None:
    """A refused connection is an end like any other, to be tried again."""
    credentials = Credentials(api_key=SecretStr("key"), api_secret=SecretStr("secret"))
    stream = PrivateStream("ws://127.0.0.1:9/v5/private", credentials, lambda: NOW_MS, Beat(), ExchangeSettings())
    with pytest.raises(StreamEnded) as ended:
        asyncio.run(stream.run(lambda: nothing(stream), lambda _parcel: None, lambda _noise: None))
    assert "connect_failed" == ended.value.reason


def test_reply_that_never_comes_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription without a reply is not taken for one."""
    monkeypatch.setattr(private_stream, "REPLY_S", 0.5)
    venue = Venue()

    async def subscribe(stream: PrivateStream) -> None:
        await stream._ask(stream._connection, "ping", [])  # a pong is no reply

    with pytest.raises(StreamEnded) as ended:
        follow(venue, subscribe)
    assert "no_reply" == ended.value.reason


def test_noise_is_heard_and_does_no_harm() -> None:
    """Frames that nobody understands are told, and data goes on."""
    venue = Venue()
    order = {
        "orderLinkId": "",
        "orderId": "1",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderStatus": "New",
        "qty": "1",
    }
    venue.says = ["{", "[]", json.dumps({"topic": "order", "creationTime": 1, "data": [order]})]
    parcels: list[Parcel] = []

    async def until_data(_stream: PrivateStream) -> None:
        await until(lambda: bool(parcels))

    noise = follow(venue, until_data, parcels=parcels)

    assert ["not JSON", "not an object"] == [heard.why for heard in noise]
    assert ["1"] == [seen.exchange_order_id for seen in parcels[0].sightings]


def test_fault_of_ours_inside_is_not_hidden_by_the_end_of_the_connection() -> None:
    """What goes wrong inside comes out as it is."""

    async def fail(_stream: PrivateStream) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        follow(Venue(), fail)
