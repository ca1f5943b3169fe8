"""A session goes on whatever a message does to us."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from sluicegate.bybit.frames import Parcel
from sluicegate.domain.errors import LedgerUnavailable
from streams import session as sessions
from streams.session import Session, StreamEnded
from streams.threads import Threads, with_rest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Books:
    """What a session needs of a container; its witness fails on request."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.poison: set[int] = set()
        self.away = 0
        self.counted: list[tuple[str, ...]] = []
        self.incidents: list[str] = []
        self.witness = self.metrics = self.ledger = self.clock = self

    def take(self, _account: str, batches: list[Any], _clock: object) -> None:
        """Write down batches, or fail."""
        if self.away:
            self.away -= 1
            raise LedgerUnavailable("away")
        if self.poison & {batch.created_ms for batch in batches}:
            raise RuntimeError("a fault of ours")
        self.taken += [batch.created_ms for batch in batches]

    def streamed(self, *labels: str) -> None:
        """Count."""
        self.counted.append(labels)

    def ask_reconcile(self, account: str, _at: datetime) -> None:
        """Note who shall be compared."""
        self.incidents.append(f"compare:{account}")

    def open_incident(self, key: str, **_facts: Any) -> None:
        """Note an incident."""
        self.incidents.append(key)

    def now(self) -> datetime:
        """Return the time."""
        return NOON


def store(books: Books, *numbers: int) -> None:
    """Let a session store messages."""
    account: Any = SimpleNamespace(name="main", clock=None)
    stream: Any = None
    quiet: Any = None
    container: Any = books

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            session = Session(container, account, lambda: 1, stream, Threads(pool, pool), quiet)
            await session._store([Parcel("order", number) for number in numbers])

    asyncio.run(main())


def test_message_that_we_fail_on_is_left_out_and_told() -> None:
    """The others of its batch are written; an incident and a comparison see to the rest."""
    books = Books()
    books.poison = {2}

    store(books, 1, 2, 3)

    assert [1, 3] == books.taken
    assert [("main", "order", "failed")] == books.counted
    assert ["compare:main", "stream_failed:order"] == books.incidents


def test_ledger_that_is_away_is_waited_for() -> None:
    """No message is dropped because the ledger does not answer."""
    books = Books()
    books.away = 2

    store(books, 1, 2)

    assert [1, 2] == books.taken
    assert [] == books.incidents


def test_topic_that_is_accepted_again_ends_the_stream_so_that_its_gap_is_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until it has reconnected the topic counts as rejected: nothing says that its fills were heard."""
    monkeypatch.setattr(sessions, "TOPIC_RETRY_S", 0.01)
    books: Any = Books()
    account: Any = SimpleNamespace(name="main", clock=None)
    quiet: Any = None

    async def accept(_topics: tuple[str, ...]) -> str:
        return ""

    stream: Any = SimpleNamespace(subscribe=accept)

    async def main() -> Session:
        with ThreadPoolExecutor(1) as pool:
            session = Session(books, account, lambda: 1, stream, Threads(pool, pool), quiet)
            session._rejected["execution"] = "no"
            with pytest.raises(StreamEnded, match="heard again"):
                await asyncio.wait_for(session._ask_again(), 60)
            return session

    assert not asyncio.run(main()).is_up


def test_rest_that_hangs_for_many_accounts_holds_up_no_events() -> None:
    """Each account's gap waits in a thread of its own; the threads for the ledger stay free."""
    lets_go, hanging = threading.Event(), threading.Semaphore(0)

    def hang(_account: str, _since_ms: int) -> dict[str, int]:
        hanging.release()
        assert lets_go.wait(60)
        return {}

    books: Any = Books()
    books.backfill, books.view = SimpleNamespace(fill=hang), lambda _account: SimpleNamespace(event_ms=0)
    books.set = books.gap_filled = lambda *_: None
    stream: Any = None
    quiet: Any = None

    def session(name: str, threads: Threads) -> Session:
        account: Any = SimpleNamespace(name=name, clock=None)
        return Session(books, account, lambda: 1, stream, threads, quiet)

    async def main() -> None:
        with ThreadPoolExecutor(2) as shared, ExitStack() as stack:
            stack.callback(lets_go.set)
            accounts = [session(f"a{i}", stack.enter_context(with_rest(shared, f"a{i}"))) for i in range(6)]
            gaps = [asyncio.create_task(one._fill_gap()) for one in accounts]
            for _gap in gaps:
                assert await asyncio.to_thread(hanging.acquire, timeout=60)
            async with asyncio.timeout(60):
                await accounts[0]._store([Parcel("order", 7)])
            assert [7] == books.taken
            assert not any(gap.done() for gap in gaps)
            lets_go.set()
            await asyncio.gather(*gaps)

    asyncio.run(main())
