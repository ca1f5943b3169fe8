"""One connection of one account: subscribed, its gap filled, its messages written down, its health noted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from sluicegate.bootstrap import Container
from sluicegate.bybit.frames import EXECUTION, ORDER, POSITION, TOPICS, WALLET, Noise, Parcel
from sluicegate.bybit.private_stream import PrivateStream, StreamEnded
from sluicegate.domain.errors import LedgerUnavailable, OrderRejected, SluicegateError
from sluicegate.domain.holdings import AccountView
from sluicegate.domain.pace import full_jitter
from sluicegate.domain.records import Severity
from sluicegate.ports import Account
from sluicegate.services.reconcile import overlooked
from sluicegate.services.witness import Batch
from streams.quiet import QuietWatch
from streams.threads import Threads

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 20_000
BATCH: Final = 200
NOTE_S: Final = 2.0
BALANCES_S: Final = 0.3
TOPIC_RETRY_S: Final = 30.0
MOST_SHOWN: Final = 50_000


@dataclass
class Session:
    """What goes on while one connection lives.

    Args:
        container: the objects of the process.
        account: whose stream it is.
        fence: the token of our lease, on everything that is not idempotent.
        stream: the connection.
        threads: for what blocks.
        quiet: sees whether a stream that says nothing is dead.
    """

    container: Container
    account: Account
    fence: Callable[[], int]
    stream: PrivateStream
    threads: Threads
    quiet: QuietWatch
    _parcels: asyncio.Queue[Parcel] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    _wallets: list[Parcel] = field(default_factory=list)
    _rejected: dict[str, str] = field(default_factory=dict)
    _filled_at: datetime | None = None
    _is_behind: bool = False
    _since: float = field(default_factory=time.monotonic)
    _told_at: float = field(default_factory=time.monotonic)
    _event_ms: int = 0
    _subscribed_at: datetime | None = None
    _shown: dict[str, None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the account's name."""
        return self.account.name

    @property
    def is_up(self) -> bool:
        """Tell whether nothing that happens to orders is missed now."""
        return self._filled_at is not None and not {ORDER, EXECUTION} & self._rejected.keys()

    async def run(self) -> None:
        """Follow until the connection is over.

        Raises:
            StreamEnded: with the reason.
        """
        self._event_ms = self._exchange_ms()
        await self.stream.run(self._inside, self._receive, self._drop)

    def _receive(self, parcel: Parcel) -> None:
        if parcel.unreadable:
            self.container.metrics.streamed(self.name, parcel.topic, "unreadable", parcel.unreadable)
            log.error("stream_row_unreadable", account=self.name, topic=parcel.topic, why=parcel.example)
        for seen in parcel.sightings:
            self._shown[seen.link_id] = None
        while len(self._shown) > MOST_SHOWN:
            del self._shown[next(iter(self._shown))]
        if parcel.topic == WALLET:
            self._wallets.append(parcel)
            return
        if parcel.topic in (ORDER, EXECUTION):
            self._told_at = time.monotonic()
        try:
            self._parcels.put_nowait(parcel)
        except asyncio.QueueFull:
            self._is_behind = True

    def _drop(self, noise: Noise) -> None:
        log.warning("stream_noise", account=self.name, why=noise.why)
        self.container.metrics.streamed(self.name, "unknown", "unreadable")

    async def _inside(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._write_balances())
            await self._subscribe(TOPICS)
            self._subscribed_at = self.container.clock.now()
            log.info("stream_subscribed", account=self.name, rejected=sorted(self._rejected))
            tasks.create_task(self._fill_gap())
            tasks.create_task(self.quiet.run(self.account, self._untold_s))
            tasks.create_task(self._note())
            tasks.create_task(self._ask_again())

    # --- topics -----------------------------------------------------------------------------------------------

    async def _subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribe to all topics; if that is rejected, to each alone, so that one does not stop the others."""
        why = await self.stream.subscribe(topics)
        for topic in topics:
            reason = why
            if why and len(topics) > 1:
                reason = await self.stream.subscribe((topic,))
            if reason:
                self._rejected[topic] = reason
                await self.threads.do(self._report_rejection, topic, reason)
            elif self._rejected.pop(topic, None) is not None or not why:
                await self.threads.do(self._close_rejection, topic)

    async def _ask_again(self) -> None:
        while True:
            await asyncio.sleep(TOPIC_RETRY_S)
            for topic in list(self._rejected):
                if topic not in (ORDER, EXECUTION):
                    await self._subscribe((topic,))
                elif not await self.stream.subscribe((topic,)):
                    raise StreamEnded(f"{topic} is heard again: the gap is filled anew", reason="topic_back")

    def _report_rejection(self, topic: str, reason: str) -> None:
        log.error("stream_topic_rejected", account=self.name, topic=topic, why=reason)
        self.container.ledger.open_incident(
            f"stream_topic:{self.name}:{topic}",
            severity=Severity.CRITICAL if topic in {ORDER, EXECUTION} else Severity.WARNING,
            title=f"Bybit rejects the topic {topic} for account {self.name}",
            detail=f"It said: {reason}. Orders are looked at by REST meanwhile.",
            fix="Check the permissions of the key: orders and positions for the products that are traded.",
            at=self.container.clock.now(),
        )

    def _close_rejection(self, topic: str) -> None:
        self.container.ledger.resolve_incident(f"stream_topic:{self.name}:{topic}", self.container.clock.now())

    # --- messages ---------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            parcels = [await self._parcels.get()]
            while not self._parcels.empty() and len(parcels) < BATCH:
                parcels.append(self._parcels.get_nowait())
            await self._store(parcels)
            told = [parcel.created_ms for parcel in parcels if parcel.topic in (ORDER, EXECUTION)]
            self._event_ms = max([self._event_ms, *told])

    async def _write_balances(self) -> None:
        """Write balances down now and then: only the newest counts, and no order waits for them."""
        while True:
            await asyncio.sleep(BALANCES_S)
            parcels, self._wallets = self._wallets, []
            if parcels:
                await self._store(parcels)

    async def _store(self, parcels: list[Parcel]) -> None:
        """Write messages down; those that cannot be are left out, and the stream goes on."""
        tries = 0
        while True:
            try:
                await self.threads.do(self._take, parcels)
                return
            except LedgerUnavailable as e:
                log.error("stream_waits_for_ledger", account=self.name, messages=len(parcels), error=str(e))
                await asyncio.sleep(0.1 + full_jitter(tries, base_s=0.2, cap_s=5.0, rng=lambda: 0.5))
                tries += 1
            except Exception as e:  # noqa: BLE001 - the boundary: a fault of ours must not end the stream
                if len(parcels) == 1:
                    await self._give_up(parcels[0], e)
                    return
                for parcel in parcels:
                    await self._store([parcel])
                return

    def _take(self, parcels: list[Parcel]) -> None:
        batches = [Batch(p.topic, p.created_ms, p.sightings, p.fills, p.positions, p.balances) for p in parcels]
        self.container.witness.take(self.name, batches, self.account.clock)

    async def _give_up(self, parcel: Parcel, error: Exception) -> None:
        """Leave out a message that we fail on; a comparison with the exchange finds what it said."""
        log.error("stream_message_failed", account=self.name, topic=parcel.topic, exc_info=error)
        self.container.metrics.streamed(self.name, parcel.topic, "failed")

        def ask() -> None:
            now = self.container.clock.now()
            self.container.ledger.ask_reconcile(self.name, now)
            self.container.ledger.open_incident(
                f"stream_failed:{parcel.topic}",
                severity=Severity.WARNING,
                title=f"A message of the topic {parcel.topic} could not be written down",
                detail=f"Account {self.name}; the stream process has the traceback in its log.",
                fix="Report it. Ledger and exchange are compared, so that nothing is lost.",
                at=now,
            )

        try:
            await self.threads.do(ask)
        except LedgerUnavailable as e:
            log.error("stream_failure_not_reported", account=self.name, error=str(e))

    # --- gap --------------------------------------------------------------------------------------------------

    def _untold_s(self) -> float:
        """Return how long the stream has told of no order; 0 while the gap or a message waits for the ledger."""
        return time.monotonic() - self._told_at if self._filled_at is not None and self._parcels.empty() else 0.0

    async def _fill_gap(self) -> None:
        """Ask by REST for what nobody heard, until it is there."""
        tries = 0
        while True:
            try:
                since_ms = (await self.threads.do(self.container.ledger.view, self.name)).event_ms
                done = await self.threads.ask(self.container.backfill.fill, self.name, since_ms)
                await self.threads.do(self.container.ledger.ask_reconcile, self.name, self.container.clock.now())
                break
            except OrderRejected as e:
                await self.threads.do(self.container.halts.obey, self.name, e)
                log.error("stream_gap_refused", account=self.name, ret_code=e.ret_code, error=str(e))
            except SluicegateError as e:
                log.warning("stream_gap_waits", account=self.name, error=str(e), kind=type(e).__name__)
            await asyncio.sleep(full_jitter(tries, base_s=1.0, cap_s=10.0, rng=random.random))
            tries += 1
        took_s = time.monotonic() - self._since
        self._filled_at = self.container.clock.now()
        self.container.metrics.gap_filled(took_s)
        self.container.metrics.set("stream_up", {"account": self.name}, float(self.is_up))
        log.info("stream_gap_filled", account=self.name, seconds=round(took_s, 3), since_ms=since_ms, **done)

    # --- health -----------------------------------------------------------------------------------------------

    async def _note(self) -> None:
        """Note now and then in the ledger that the stream is up, and see whether it shows what it must."""
        while True:
            if self._is_behind:
                raise StreamEnded("messages come faster than the ledger takes them", reason="behind")
            try:
                await self.threads.do(self._note_once)
            except LedgerUnavailable as e:
                log.warning("stream_not_noted", account=self.name, error=str(e))
            await asyncio.sleep(NOTE_S)

    def _note_once(self) -> None:
        now = self.container.clock.now()
        self._look_for_staleness(now)
        if not self.is_up or not self._parcels.empty():
            return
        view = AccountView(
            self.name,
            fence=self.fence(),
            stream_at=now,
            event_ms=self._event_ms,
            positions_at=None if POSITION in self._rejected else now,
            balances_at=None if WALLET in self._rejected else now,
        )
        if not self.container.ledger.update_view(view):
            raise StreamEnded("a younger holder follows the account", reason="fenced")

    def _look_for_staleness(self, now: datetime) -> None:
        """See whether an order was acknowledged, or changed as a comparison found, that the stream did not show.

        Raises:
            StreamEnded: it was: the topics are dead, or an event was lost; the gap is filled after a reconnect.
        """
        if self._subscribed_at is None:
            return
        until = now - timedelta(seconds=self.container.settings.stream.stale_s)
        missing: str | None = self.container.ledger.last_acknowledged(
            self.name, since=self._subscribed_at, until=until
        )
        if missing is not None and missing not in self._shown:
            raise StreamEnded(f"order {missing} was acknowledged and not shown", reason="stale")
        if self._filled_at is None or not self._parcels.empty():
            return  # what a comparison found may be known by now, or come next
        missing = overlooked(self.container.ledger.doubts(self.name), self._filled_at)
        if missing is not None:
            raise StreamEnded(f"a comparison found what was not shown: {missing}", reason="stale")

    def _exchange_ms(self) -> int:
        return self.account.clock.to_exchange_ms(self.container.clock.now())
