"""A stop is obeyed, whatever the connection does at that moment."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from sluicegate.bybit.private_stream import PrivateStream, StreamEnded
from sluicegate.config import Credentials, ExchangeSettings, StreamSettings
from sluicegate.domain.pace import Beat
from streams.keeper import Keeper
from streams.threads import Threads


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
    fails_inside = False

    async def _wait_for_leave(self) -> None:
        pass

    async def _session(self) -> Any:
        def ignore(_message: object) -> None: ...

        async def fail() -> None:
            await asyncio.sleep(0.05)
            self.following.stop()
            raise StreamEnded("an order was acknowledged and not shown", reason="stale")

        async def wait() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail() if self.fails_inside else asyncio.Event().wait())

        return SimpleNamespace(stream=self.following, run=lambda: self.following.run(wait, ignore, ignore))


class FailsInside(OneAccount):
    """What is done beside the connection ends it, while the connection is open."""

    fails_inside = True


async def _accept_and_close(connection: ServerConnection) -> None:
    asked = json.loads(await connection.recv())
    await connection.send(json.dumps({"success": True, "op": "auth", "req_id": asked["req_id"]}))


async def _accept_and_wait(connection: ServerConnection) -> None:
    await _accept_and_close(connection)
    await connection.wait_closed()


async def _follow(kind: type[OneAccount], act: Callable[[OneAccount, asyncio.Task[None], int], bool]) -> bool:
    """Follow connections that all end; return whether the follower has ended by itself.

    Args:
        kind: of keeper.
        act: called as each connection ends, with how many have ended; True: enough was seen.
    """
    nobody = SimpleNamespace(set=lambda *_: None, reconnected=lambda *_: None)
    settings = SimpleNamespace(stream=StreamSettings(backoff_base_s=0.1))
    container: Any = SimpleNamespace(settings=settings, metrics=nobody)
    async with serve(_accept_and_wait if kind.fails_inside else _accept_and_close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        key = Credentials(api_key=SecretStr("key"), api_secret=SecretStr("secret"))
        with ThreadPoolExecutor(1) as pool:
            keeper = kind("main", container, Threads(pool, pool))
            keeper.following = EndsWithTheStop(
                f"ws://127.0.0.1:{port}", key, lambda: 0, Beat(ping_s=20, pong_s=5), ExchangeSettings()
            )
            task = asyncio.create_task(keeper._follow())
            ends = itertools.count(1)
            enough = asyncio.Event()
            keeper.following.stop = lambda: enough.set() if act(keeper, task, next(ends)) else None
            async with asyncio.timeout(60):
                await enough.wait()
            await asyncio.wait({task}, timeout=60 if keeper._is_leaving else 1)
            is_done = task.done()
            keeper._leave(task)
            await asyncio.wait({task})
            return is_done


def test_stop_is_obeyed_when_the_socket_closes_in_the_same_instant() -> None:
    """The end of the connection must not hide the stop: the account would be followed without its lease."""

    def leave(keeper: OneAccount, task: asyncio.Task[None], _ends: int) -> bool:
        keeper._leave(task)
        return True

    assert asyncio.run(_follow(OneAccount, leave))


@pytest.mark.parametrize("kind", [OneAccount, FailsInside])
def test_end_of_a_connection_does_not_end_the_following(kind: type[OneAccount]) -> None:
    """Whatever the end of a connection leaves behind, the account is followed again."""
    assert not asyncio.run(_follow(kind, lambda _keeper, _task, ends: ends == 3))
