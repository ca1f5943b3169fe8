"""Tells a quiet stream from a dead one that still answers pings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from sluicegate.bootstrap import Container
from sluicegate.bybit.private_stream import StreamEnded
from sluicegate.domain.errors import OrderRejected, SluicegateError
from sluicegate.ports import Account
from streams.threads import Threads

log = structlog.get_logger(__name__)

IN_FLIGHT_S: Final = 5.0
"""What REST shows must have come by the stream so much later."""


@dataclass
class QuietWatch:
    """Glances at the open orders of an account while its stream says nothing of orders.

    Pongs prove a connection, not its topics. What REST shows and the stream has not told a few seconds later gives
    a dead stream away: within `glance_s` and `IN_FLIGHT_S` of the event, for a request or two every `glance_s`. A
    single lost event in a stream that goes on talking is left to the comparison of the scheduler.

    One object an account, for all its connections: what a new one did not mend is no reason for the next.
    """

    container: Container
    threads: Threads
    _told: frozenset[str] = field(default_factory=frozenset)

    async def run(self, account: Account, silence_s: Callable[[], float]) -> None:
        """Glance until cancelled.

        Args:
            account: whose stream it is.
            silence_s: the time since the stream last told of an order or a fill; 0 while such a message waits.

        Raises:
            StreamEnded: the stream is dead.
        """
        glance_s = self.container.settings.stream.glance_s
        while True:
            wait_s = glance_s - silence_s()
            await asyncio.sleep(wait_s if wait_s > 0 else glance_s)
            if silence_s() >= glance_s:
                await self._glance(account, silence_s)

    async def _glance(self, account: Account, silence_s: Callable[[], float]) -> None:
        try:
            found = await self.threads.ask(self.container.glance.unseen, account)
        except OrderRejected as e:
            await self.threads.do(self.container.halts.obey, account.name, e)
            return
        except SluicegateError as e:
            log.info("stream_glance_put_off", account=account.name, error=str(e), kind=type(e).__name__)
            return
        shown = frozenset(difference.detail for difference in found)
        news, self._told = shown - self._told, self._told & shown
        if not news:
            return
        await asyncio.sleep(IN_FLIGHT_S)
        if silence_s() >= IN_FLIGHT_S:
            self._told |= news
            raise StreamEnded(f"a glance found what was not shown: {min(news)}", reason="stale")
