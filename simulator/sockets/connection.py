"""One WebSocket: what is said on it, when, and how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, cast

from starlette.types import Message, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from simulator.exchange import Exchange
from simulator.ids import new_uuid
from simulator.wire import Json, encode

Channel = Literal["private", "public", "trade"]

_MOST_WAITING = 20_000


class Wire(Protocol):
    """What a fault may do to the socket below."""

    muted: bool

    def abort(self) -> None:
        """Drop the connection at once."""


class ExposedSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which can be made to answer nothing at all, as the far end of a dead link does."""

    muted = False

    def handle_connect(self, event: Request) -> None:
        """Show the protocol to the application."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"]["simulator"] = {"wire": self}

    def handle_ping(self) -> None:
        """Answer a ping frame, unless muted."""
        if self.muted:
            self.conn.data_to_send()
        else:
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        """Take part in the closing handshake, unless muted."""
        if not self.muted:
            super().handle_close(event)

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()


class Connection:
    """One WebSocket of a client.

    Args:
        exchange: Whose network says how long messages travel.
        channel: Which kind of socket it is.
        scope: ASGI's description of it.
        ip: Where the client is.
        lives_until: Loop time at which `max_active_time` ends it; None for no end.
    """

    def __init__(
        self, exchange: Exchange, channel: Channel, scope: Scope, ip: str, lives_until: float | None
    ) -> None:
        self._exchange = exchange
        self.channel = channel
        self.path: str = scope["path"]
        self.ip = ip
        self.id = new_uuid()
        self.uid: int | None = None
        self.topics: dict[str, None] = {}
        self.lives_until = lives_until
        self._wire = cast("Wire", scope["extensions"]["simulator"]["wire"])
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[tuple[float, Message]] = asyncio.Queue()
        self._sent_until = 0.0
        self._received_until = 0.0
        self._arriving: deque[Callable[[], None]] = deque()
        self._silent_until = 0.0
        self._answers_in_silence = False
        self._is_closing = False
        self.active_at = self._loop.time()

    def say(self, message: Json) -> bool:
        """Answer the client; False if the connection is silent."""
        if self._is_silent() and not self._answers_in_silence:
            return False
        self._put({"type": "websocket.send", "text": encode(message)})
        return True

    def push(self, text: str) -> bool:
        """Send data nobody asked for at this moment; False if the connection is silent or closing."""
        if self._is_silent() or self._is_closing:
            return False
        self._put({"type": "websocket.send", "text": text})
        return True

    def silence(self, seconds: float | None, *, answers: bool) -> None:
        """Send nothing any more while the connection stays open.

        Args:
            seconds: How long; None for as long as the connection lives.
            answers: Go on answering requests, pings above all; only the data stays out.
        """
        self._silent_until = float("inf") if seconds is None else self._loop.time() + seconds
        self._answers_in_silence = answers
        self._wire.muted = not answers
        if seconds is not None:
            self._loop.call_later(seconds, self._speak_again)

    def close(self, code: int = 1000) -> None:
        """End the connection in order, after what is already on its way."""
        self._put({"type": "websocket.close", "code": code})
        self._is_closing = True

    def abort(self) -> None:
        """Drop the connection at once, without a closing handshake."""
        self._wire.abort()

    def receive(self, step: Callable[[], None]) -> None:
        """Take a message in: now, or when its trip is over, but never before an earlier one."""
        self.active_at = self._loop.time()
        network = self._exchange.network
        if network.is_instant:
            step()
        else:
            self._received_until = max(self._received_until, self.active_at + network.trip_s())
            self._arriving.append(step)
            self._loop.call_at(self._received_until, self._take_next)

    def _take_next(self) -> None:
        """Take in the message that was sent first: a loop may fire timers of one millisecond in any order."""
        self._arriving.popleft()()

    async def write(self, send: Send) -> None:
        """Send what waits, in its order, each message after its trip."""
        while True:
            due, message = await self._waiting.get()
            if due > self._loop.time():
                await asyncio.sleep(due - self._loop.time())
            try:
                await send(message)
            except OSError:
                return  # the client is gone; whoever listens to it hears of that
            if message["type"] == "websocket.close":
                return

    def _put(self, message: Message) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            self.abort()  # a client that does not read is not waited for
            return
        self.active_at = self._loop.time()
        due, network = 0.0, self._exchange.network
        if not network.is_instant:
            due = self._sent_until = max(self._sent_until, self.active_at + network.trip_s())
        self._waiting.put_nowait((due, message))

    def _is_silent(self) -> bool:
        return self._loop.time() < self._silent_until

    def _speak_again(self) -> None:
        if not self._is_silent():
            self._wire.muted = False
