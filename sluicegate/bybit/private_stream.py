"""One connection to Bybit's private WebSocket: opened, authenticated, subscribed, watched until it ends.

pybit's WebSocket is not used: it has no backoff, dies in silence on a rejected topic or on a callback's exception,
and stops its pings after a reconnect that took more than one try.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import certifi
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sluicegate.bybit.frames import MOST_BYTES, Frame, Noise, Parcel, Pong, Reply, read_frame
from sluicegate.config import Credentials, Environment, ExchangeSettings
from sluicegate.domain.errors import SluicegateError
from sluicegate.domain.pace import Beat, Pulse, Watchdog

HOSTS: Final = {
    Environment.MAINNET: "wss://stream.bybit.com",
    Environment.TESTNET: "wss://stream-testnet.bybit.com",
    Environment.DEMO: "wss://stream-demo.bybit.com",
}
"""Source: Bybit V5 WebSocket connect and demo pages, docs of 2026-07-24."""
PATH: Final = "/v5/private"
EXPIRES_MS: Final = 10_000
REPLY_S: Final = 10.0
WATCH_S: Final = 0.25


class StreamEnded(SluicegateError):
    """The connection is over; connect again and fill the gap.

    Attributes:
        reason: one of a closed set of words; a metric label.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StreamRefused(StreamEnded):
    """The exchange does not accept our authentication; ask by REST why, for this answer carries no code."""


def stream_url(environment: Environment, simulator_address: str | None) -> str:
    """Return where the private WebSocket of an environment is."""
    if environment is Environment.SIMULATOR:
        return (simulator_address or "").rstrip("/").replace("http", "ws", 1) + PATH
    return HOSTS[environment] + PATH


class PrivateStream:
    """One connection, to be run once.

    Args:
        url: from `stream_url`.
        credentials: of the account.
        exchange_ms: tells the exchange's time as measured; the authentication expires by it.
        beat: pings and patience.
        settings: time-outs and CA bundle.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        exchange_ms: Callable[[], int],
        beat: Beat,
        settings: ExchangeSettings,
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._exchange_ms = exchange_ms
        self._beat = beat
        self._settings = settings
        self._numbers = 0
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self.watchdog = Watchdog.start(beat, time.monotonic())

    async def run(
        self,
        inside: Callable[[], Coroutine[None, None, None]],
        on_parcel: Callable[[Parcel], None],
        on_noise: Callable[[Noise], None],
    ) -> None:
        """Connect, authenticate, and read and watch the connection while `inside` runs.

        Args:
            inside: started once the authentication was accepted; cancelled when the connection is over.
            on_parcel: called with each data message, on the event loop; must not raise.
            on_noise: called with each frame that cannot be read.

        Raises:
            StreamRefused: the authentication was refused.
            StreamEnded: no connection, or it is over; with the reason.
        """
        try:
            connection = await self._connect()
        except (OSError, WebSocketException, TimeoutError) as e:
            raise StreamEnded(f"no connection: {type(e).__name__}", reason="connect_failed") from e
        self._connection = connection
        self.watchdog = Watchdog.start(self._beat, time.monotonic())
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(connection, on_parcel, on_noise))
                watcher = tasks.create_task(self._watch(connection))
                await self._authenticate(connection)
                await inside()
                reader.cancel()
                watcher.cancel()
        except BaseExceptionGroup as group:
            raise _gravest(group) from None
        finally:
            await _drop(connection)

    async def subscribe(self, topics: Sequence[str]) -> str:
        """Subscribe to topics and wait for the reply.

        Returns:
            Why it was rejected; empty when it was accepted.

        Raises:
            StreamEnded: no reply.
        """
        reply = await self._ask(self._connection, "subscribe", list(topics))
        return "" if reply.is_success else reply.message or "rejected without a reason"

    async def _connect(self) -> ClientConnection:
        is_plain = self._url.startswith("ws://")
        bundle = str(self._settings.ca_bundle or certifi.where())
        context = None if is_plain else ssl.create_default_context(cafile=bundle)
        options: dict[str, Any] = {"proxy": None} if is_plain else {}
        return await connect(
            self._url,
            ssl=context,
            ping_interval=None,  # Bybit wants pings as JSON; the watchdog counts those
            open_timeout=REPLY_S,
            close_timeout=1.0,
            max_size=MOST_BYTES,
            max_queue=4096,
            **options,
        )

    async def _authenticate(self, connection: ClientConnection) -> None:
        expires = self._exchange_ms() + EXPIRES_MS
        key = self._credentials.api_key.get_secret_value()
        secret = self._credentials.api_secret.get_secret_value().encode()
        signature = hmac.new(secret, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        reply = await self._ask(connection, "auth", [key, expires, signature])
        if not reply.is_success:
            raise StreamRefused("the exchange does not accept our authentication", reason="auth_refused")

    async def _ask(self, connection: ClientConnection, op: str, args: list[Any]) -> Reply:
        self._numbers += 1
        request_id = f"{op}-{self._numbers}"
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            await self._send(connection, {"req_id": request_id, "op": op, "args": args})
            async with asyncio.timeout(REPLY_S):
                return await future
        except TimeoutError:
            raise StreamEnded(f"no reply to {op} within {REPLY_S:g} s", reason="no_reply") from None
        finally:
            self._waiting.pop(request_id, None)

    async def _send(self, connection: ClientConnection, message: dict[str, Any]) -> None:
        try:
            await connection.send(json.dumps(message))
        except WebSocketException as e:
            raise StreamEnded(f"the connection is closed: {type(e).__name__}", reason="closed") from e

    async def _read(
        self,
        connection: ClientConnection,
        on_parcel: Callable[[Parcel], None],
        on_noise: Callable[[Noise], None],
    ) -> None:
        while True:
            try:
                text = await connection.recv()
            except WebSocketException as e:
                raise StreamEnded(f"the connection is closed: {type(e).__name__}", reason="closed") from e
            frame = read_frame(text)
            self.watchdog.heard(time.monotonic(), is_pong=isinstance(frame, Pong))
            if isinstance(frame, Parcel):
                on_parcel(frame)
            elif isinstance(frame, Noise):
                on_noise(frame)
            else:
                self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        """Hand a reply to whoever waits for it; one without our id belongs to the only request of its kind."""
        if not isinstance(frame, Reply):
            return
        names = [frame.request_id] if frame.request_id else [n for n in self._waiting if n.startswith(frame.op)]
        for name in names:
            future = self._waiting.get(name)
            if future is not None and not future.done():
                future.set_result(frame)

    async def _watch(self, connection: ClientConnection) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            match self.watchdog.pulse(now):
                case Pulse.PING:
                    self.watchdog.pinged(now)
                    self._numbers += 1
                    await self._send(connection, {"req_id": f"ping-{self._numbers}", "op": "ping"})
                case Pulse.GOOD:
                    pass
                case dead:
                    raise StreamEnded(f"the connection is {dead.value}", reason=dead.value)


async def _drop(connection: ClientConnection) -> None:
    """Close a connection, without waiting for a peer that does not answer."""
    try:
        async with asyncio.timeout(1.0):
            await connection.close()
    except (TimeoutError, WebSocketException, OSError):
        connection.transport.abort()


def _gravest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception of a group that tells most: the unexpected one, else how the connection ended."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        else:
            leaves.append(error)
    return next((error for error in leaves if not isinstance(error, StreamEnded)), leaves[0])
