"""A TCP proxy that misbehaves on request: it delays, holds back, resets and refuses connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]
"""`up`: towards the server. `down`: towards the client."""

_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing resets
_PIECE = 64 * 1024


@dataclass(slots=True)
class _Behaviour:
    """What happens to bytes now; read by the pumps for every piece."""

    up_delay_s: float = 0.0
    down_delay_s: float = 0.0
    is_refusing: bool = False

    def delay_s(self, direction: Direction) -> float:
        return self.up_delay_s if direction == "up" else self.down_delay_s


class Proxy:
    """Forwards a port of 127.0.0.1 to another, in a thread of its own.

    Bytes that were held back towards the server are delivered afterwards even when the client is gone: that is how
    a request arrives late.

    Args:
        target_port: where the server listens.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._behaviour = _Behaviour()
        self._open: dict[Direction, asyncio.Event] = {}
        self._clients: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.port = 0
        self.connections = 0

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # --- faults -----------------------------------------------------------------------------------------------

    def delay(self, *, up_s: float = 0.0, down_s: float = 0.0) -> None:
        """Hold every piece back for a while."""
        self._behaviour.up_delay_s, self._behaviour.down_delay_s = up_s, down_s

    def hold(self, direction: Direction) -> None:
        """Let nothing through in one direction until `heal`; nothing is lost."""
        self._call(self._open[direction].clear)

    def reset(self, *, every: int = 1) -> None:
        """Reset the open connections, or one in `every`."""
        self._call(lambda: self._reset(every))

    def refuse(self) -> None:
        """Reset what is open and everything that comes, until `heal`."""
        self._behaviour.is_refusing = True
        self.reset()

    def heal(self) -> None:
        """Forward as a cable would."""
        self._behaviour.is_refusing = False
        self.delay()
        for gate in self._open.values():
            self._call(gate.set)

    # --- inside -----------------------------------------------------------------------------------------------

    def _call(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        for pump in self._pumps:
            pump.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._pumps, return_exceptions=True))
        self._reset(1)
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        for gate in self._open.values():
            gate.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._behaviour.is_refusing:
            _abort(writer)
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _abort(writer)
            return
        self._clients.add(writer)
        for pump in (self._pump(reader, upstream[1], "up"), self._pump(upstream[0], writer, "down")):
            task = self._loop.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction) -> None:
        try:
            while piece := await source.read(_PIECE):
                delay_s = self._behaviour.delay_s(direction)
                if delay_s:
                    await asyncio.sleep(delay_s)
                await self._open[direction].wait()
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._clients.discard(sink)
            sink.close()

    def _reset(self, every: int) -> None:
        for number, writer in enumerate(list(self._clients)):
            if number % every == 0:
                self._clients.discard(writer)
                _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of an orderly end."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    writer.transport.abort()
