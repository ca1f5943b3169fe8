"""Where a stream process does what blocks: REST apart from ledger and leases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Done = TypeVar("Done")


@dataclass(frozen=True)
class Threads:
    """The threads that one account uses.

    A REST call may hang for as long as its time-outs allow, a page at a time. So each account has one thread for
    REST: it holds up neither another account's gap nor anybody's events and leases.

    Args:
        shared: for ledger and Redis, of all accounts of the process.
        own: for REST, of this account alone.
    """

    shared: Executor
    own: Executor

    async def do(self, act: Callable[..., Done], *arguments: Any) -> Done:
        """Do something with the ledger or with Redis."""
        return await asyncio.get_running_loop().run_in_executor(self.shared, act, *arguments)

    async def ask(self, act: Callable[..., Done], *arguments: Any) -> Done:
        """Do something that asks the exchange."""
        return await asyncio.get_running_loop().run_in_executor(self.own, act, *arguments)


@contextmanager
def with_rest(shared: Executor, account: str) -> Iterator[Threads]:
    """Give an account its thread for REST; leaving waits for the call in hand."""
    with ThreadPoolExecutor(1, f"rest-{account}") as own:
        yield Threads(shared, own)
