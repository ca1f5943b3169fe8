"""One stream process: started by `sluicegate stream`; SIGTERM lets it write down what it has in hand."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import structlog

from sluicegate.bootstrap import Container
from sluicegate.telemetry.logs import configure_logs
from streams.keeper import Keeper
from streams.threads import with_rest
from workers import metrics_endpoint

log = structlog.get_logger(__name__)

MOST_THREADS: Final = 24


def run(container: Container, *, name: str | None, on_ready: Callable[[], None]) -> None:
    """Follow the private streams of all configured accounts until told to stop. Several may run: one an account.

    Args:
        container: the objects of the process.
        name: unique on this host; `stream-PID` when None.
        on_ready: called once the process tries to follow.

    Raises:
        ConfigurationError, LedgerUnavailable: the process cannot start.
    """
    settings = container.settings
    unique = name or f"stream-{os.getpid()}"
    configure_logs(settings.log_level, settings.log_format, process=unique)
    container.prepare()
    _ = (
        container.witness,
        container.backfill,
        container.glance,
        container.stream_leases,
        container.connection_budget,
    )
    metrics_endpoint.serve(container, unique)
    try:
        asyncio.run(_main(container, on_ready))
    finally:
        container.close()


async def _main(container: Container, on_ready: Callable[[], None]) -> None:
    names = container.accounts.names()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    with ExitStack() as stack:
        shared = stack.enter_context(ThreadPoolExecutor(min(MOST_THREADS, 4 + 2 * len(names)), "stream"))
        keepers = []
        for name in names:
            threads = stack.enter_context(with_rest(shared, name))
            keepers.append(asyncio.create_task(Keeper(name, container, threads).run(), name=name))
        log.info("stream_ready", accounts=names)
        on_ready()
        await stopped.wait()
        log.info("stream_stopping")
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
