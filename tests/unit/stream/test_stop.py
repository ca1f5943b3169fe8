"""A stop is obeyed, whatever the connection does at that moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from sluicegate.bybit.private_stream import PrivateStream, StreamEnded
from sluicegate.config import Credentials, ExchangeSettings, StreamSettings
from sluicegate.domain.pace import Beat
from streams.keeper import Keeper


class EndsWithTheStop(PrivateStream):
    """A connection whose end and the stop of its follower fall into one step of the loop."""

    stop: Callable[[], object]

    async def _read(self, *arguments: Any) -> None:
        try:
            await super()._read(*arguments)
        except StreamEnded:
            self.stop()
            raise


class OneAccount(Keeper):
    """Follows the given connection, without a lease or a budget."""

    following: EndsWithTheStop

    async def _wait_for_leave(self) -> None:
        pass

    async def _session(self) -> Any:
        def ignore(_message: object) -> None: ...

        async def wait() -> None:
            await asyncio.Event().wait()

        return SimpleNamespace(stream=self.following, run=lambda: self.following.run(wait, ignore, ignore))


async def _accept_and_close(connection: ServerConnection) -> None:
    asked = json.loads(await connection.recv())
    await connection.send(json.dumps({"success": True, "op": "auth", "req_id": asked["req_id"]}))


async def _stop_while_the_socket_closes() -> asyncio.Task[None]:
    nobody = SimpleNamespace(set=lambda *_: None, reconnected=lambda *_: None)
    container: Any = SimpleNamespace(settings=SimpleNamespace(stream=StreamSettings()), metrics=nobody)
    async with serve(_accept_and_close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        key = Credentials(api_key=SecretStr("key"), api_secret=SecretStr("secret"))
        with ThreadPoolExecutor(1) as pool:
            keeper = OneAccount("main", container, pool)
            keeper.following = EndsWithTheStop(
                f"ws://127.0.0.1:{port}", key, lambda: 0, Beat(ping_s=20, pong_s=5), ExchangeSettings()
            )
            task = asyncio.create_task(keeper._follow())
            keeper.following.stop = task.cancel
            await asyncio.wait({task}, timeout=10)
            is_done = task.done()
            task.cancel()
            await asyncio.wait({task})
            assert is_done, "the stop was swallowed"
            return task


def test_stop_is_obeyed_when_the_socket_closes_in_the_same_instant() -> None:
    """The end of the connection must not hide the stop: the account would be followed without its lease."""
    assert asyncio.run(_stop_while_the_socket_closes()).cancelled()
