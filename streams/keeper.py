"""Keeps one account followed: by this process while it holds the lease, through every loss of the connection."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

import structlog

from sluicegate.bootstrap import Container
from sluicegate.bybit.private_stream import PrivateStream, StreamEnded, StreamRefused, stream_url
from sluicegate.config import Environment
from sluicegate.domain.errors import BrokerUnavailable, OrderRejected, SluicegateError
from sluicegate.domain.pace import full_jitter
from sluicegate.services.valve import QUERY_API
from streams.quiet import QuietWatch
from streams.session import Session
from streams.threads import Threads

log = structlog.get_logger(__name__)

LONG_LIFE_S: Final = 60.0
"""After a connection that lived so long the waits start small again."""
HALTED_S: Final = 2.0


class Keeper:
    """Follows one account.

    Args:
        name: of the account.
        container: the objects of the process.
        threads: for what blocks.
    """

    def __init__(self, name: str, container: Container, threads: Threads) -> None:
        self._name = name
        self._container = container
        self._settings = container.settings.stream
        self._threads = threads
        self._quiet = QuietWatch(container, threads)
        self._fence = 0
        self._heard_at = time.monotonic()
        self._stream: PrivateStream | None = None
        self._is_leaving = False

    async def run(self) -> None:
        """Hold the lease whenever it can be had, until cancelled."""
        while True:
            token = await self._take()
            if not token:
                await asyncio.sleep(self._settings.lease_s / 5)
                continue
            self._fence = token
            try:
                await self._hold()
            except Exception:  # the boundary of the process: an account is never left for good
                log.exception("stream_keeper_failed", account=self._name)
                await asyncio.sleep(self._settings.lease_s / 5)

    async def _take(self) -> int | None:
        """Take or renew the lease: its token, 0 when someone else has it, None when nobody knows."""
        try:
            return await self._threads.do(self._container.stream_leases.take, self._name)
        except BrokerUnavailable as e:
            log.warning("stream_lease_unknown", account=self._name, error=str(e))
            return None

    async def _hold(self) -> None:
        """Follow while the lease is ours; while nobody knows whose it is, too: nobody else can take it then."""
        log.info("stream_taken", account=self._name, fence=self._fence)
        self._heard_at = time.monotonic()
        self._container.metrics.watch_stream(self._name, self._silence_s)
        self._is_leaving = False
        following = asyncio.create_task(self._follow())
        try:
            while True:
                await asyncio.wait({following}, timeout=self._settings.lease_s / 3)
                if following.done():
                    following.result()
                token = await self._take()
                if token == 0:
                    log.warning("stream_lost", account=self._name)
                    return
                self._fence = token or self._fence
        finally:
            self._leave(following)
            await asyncio.gather(following, return_exceptions=True)
            self._container.metrics.forget_stream(self._name)
            await self._give_back()

    def _leave(self, following: asyncio.Task[None]) -> None:
        """Stop following. The flag, for a TaskGroup may let the end of a connection win over the cancel.

        `Task.cancelling` does not tell: on Python 3.11 a TaskGroup whose child failed leaves it raised.
        """
        self._is_leaving = True
        following.cancel()

    async def _give_back(self) -> None:
        try:
            await self._threads.do(self._container.stream_leases.give_back, self._name)
        except BrokerUnavailable as e:
            log.warning("stream_lease_kept", account=self._name, error=str(e))

    def _silence_s(self) -> float:
        """Return the age of the last message."""
        if self._stream is not None:
            self._heard_at = max(self._heard_at, self._stream.watchdog.heard_at)
        return time.monotonic() - self._heard_at

    async def _follow(self) -> None:
        """Connect, and connect again, with waits that grow."""
        tries = 0
        while True:
            started = time.monotonic()
            reason = await self._follow_once()
            if self._is_leaving:
                return
            self._silence_s()
            self._stream = None
            self._container.metrics.set("stream_up", {"account": self._name}, 0.0)
            self._container.metrics.reconnected(self._name, reason)
            if time.monotonic() - started > LONG_LIFE_S:
                tries = 0
            settings = self._settings
            await asyncio.sleep(
                full_jitter(tries, base_s=settings.backoff_base_s, cap_s=settings.backoff_cap_s, rng=random.random)
            )
            tries += 1

    async def _follow_once(self) -> str:
        """Follow one connection to its end; return why it ended, as a word."""
        try:
            await self._wait_for_leave()
            session = await self._session()
            self._stream = session.stream
            await session.run()
        except StreamRefused:
            return await self._ask_why()
        except StreamEnded as e:
            log.warning("stream_ended", account=self._name, reason=e.reason, error=str(e))
            return e.reason
        except OrderRejected as e:
            await self._obey(e)
            return "refused"
        except SluicegateError as e:
            log.error("stream_not_started", account=self._name, error=str(e), kind=type(e).__name__)
            return "not_started"
        except Exception:  # the boundary of the process: a fault of ours must not end the stream for good
            log.exception("stream_failed", account=self._name)
            return "failed"
        return "done"

    async def _session(self) -> Session:
        container = self._container
        account = await self._threads.do(container.accounts.get, self._name)
        settings = container.settings
        environment = settings.account(self._name).environment
        address = settings.simulator_address if environment is Environment.SIMULATOR else None

        def exchange_ms() -> int:
            return account.clock.to_exchange_ms(container.clock.now())

        stream = PrivateStream(
            stream_url(environment, address),
            settings.credentials(self._name),
            exchange_ms,
            settings.stream.to_beat(),
            settings.exchange,
        )
        return Session(container, account, lambda: self._fence, stream, self._threads, self._quiet)

    async def _wait_for_leave(self) -> None:
        """Wait until the account is not halted and the budget has a connection for it."""
        while True:
            halt = await self._threads.do(self._container.halts.silencing, self._name)
            if halt is not None:
                await asyncio.sleep(HALTED_S)
                continue
            wait_s = await self._threads.do(self._container.connection_budget.wait_s)
            if wait_s <= 0:
                return
            log.warning("stream_budget_spent", account=self._name, wait_s=round(wait_s, 1))
            await asyncio.sleep(min(wait_s, 5.0))

    async def _ask_why(self) -> str:
        """Ask by REST why the authentication was refused; the code there says whether the account must halt."""
        log.error("stream_auth_refused", account=self._name)
        try:
            await self._threads.ask(self._query_key)
            await self._threads.ask(
                self._container.accounts.resync_clock, self._name
            )  # the key is good: is it the time?
        except OrderRejected as e:
            await self._obey(e)
        except SluicegateError as e:
            log.warning("stream_refusal_unexplained", account=self._name, error=str(e))
        return "auth_refused"

    def _query_key(self) -> None:
        account = self._container.accounts.get(self._name)
        with self._container.valve.open(self._name, QUERY_API, None, max_wait_s=1.0) as passage:
            passage.leave()
            account.exchange.key_info()
            passage.answered()

    async def _obey(self, refused: OrderRejected) -> None:
        log.error("stream_refused", account=self._name, ret_code=refused.ret_code, error=str(refused))
        try:
            await self._threads.do(self._container.halts.obey, self._name, refused)
        except SluicegateError as e:
            log.error("halt_not_written", account=self._name, error=str(e))
