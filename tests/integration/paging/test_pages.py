"""Pages from incident to person and back, over a real ledger and real receivers, in a time that tests turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from inboxes import Inbox

from sluicegate.config import PagingSettings
from sluicegate.domain.records import Severity
from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.repository import SqlLedger
from sluicegate.paging.receivers import AppriseReceivers
from sluicegate.services.pages import Pages, retry_after
from sluicegate.telemetry.metrics import Metrics

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # by a plugin of Apprise

NOON = datetime(2026, 7, 24, 12, tzinfo=UTC)
REPEAT_S = 600.0


@dataclass
class TurnedClock:
    """A clock that moves when told."""

    at: datetime = NOON

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Desk:
    """A ledger, a receiver, and a scheduler's pages."""

    clock: TurnedClock
    ledger: SqlLedger
    inbox: Inbox
    metrics: Metrics
    pages: Pages

    def open(self, key: str = "halt:account:main", severity: Severity = Severity.CRITICAL) -> int:
        """Open an incident, or meet it again; return its id."""
        opened, _ = self.ledger.open_incident(
            key, severity=severity, title=key, detail="10003", fix="key", at=self.clock.now()
        )
        return opened.incident_id

    def kinds(self) -> list[str]:
        """Return what the receiver was told, in order."""
        return [content["kind"] for _path, content in self.inbox.received]

    def after(self, seconds: float) -> list[str]:
        """Let time pass in steps, deliver at each, and return everything the receiver was ever told."""
        for _ in range(int(seconds // 5)):
            self.clock.sleep(5)
            self.pages.deliver()
        return self.kinds()

    def counted(self, result: str) -> float | None:
        """Return a count of pages."""
        labels = {"kind": "critical", "result": result}
        return self.metrics.registry.get_sample_value("sluicegate_pages_total", labels)


@pytest.fixture
def make_pages(tmp_path: Path) -> Iterator[Callable[[TurnedClock, Inbox, Metrics], Pages]]:
    """Give what builds the pages of one scheduler, over one ledger."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    engines: list[Any] = []

    def make(clock: TurnedClock, inbox: Inbox, metrics: Metrics) -> Pages:
        engines.append(create_ledger_engine(url))
        settings = PagingSettings(
            webhook=f"http://{inbox.address}/", repeat_critical_s=REPEAT_S, repeat_warning_s=0
        )
        receivers = AppriseReceivers(settings, metrics)
        return Pages(SqlLedger(engines[-1], clock, actor="test"), receivers, clock, settings.repeats())

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def desk(make_pages: Callable[..., Pages]) -> Iterator[Desk]:
    """Give everything at noon."""
    clock, inbox, metrics = TurnedClock(), Inbox(), Metrics()
    pages = make_pages(clock, inbox, metrics)
    yield Desk(clock, pages.ledger, inbox, metrics, pages)
    inbox.stop()


def test_incident_pages_once_however_often_it_is_met(desk: Desk) -> None:
    """A thousand orders that meet one problem wake a person once."""
    for _ in range(5):
        desk.open()
        desk.pages.deliver()
    assert ["opened"] == desk.after(REPEAT_S - 10)


def test_incident_is_repeated_until_somebody_acknowledges(desk: Desk) -> None:
    """The interval is the setting; an acknowledgement ends it."""
    incident = desk.open()
    assert ["opened", "repeated", "repeated"] == desk.after(2.5 * REPEAT_S)
    desk.ledger.ack_incident(incident, desk.clock.now(), by="ann")
    assert ["opened", "repeated", "repeated"] == desk.after(3 * REPEAT_S)


def test_warning_with_repetition_off_is_told_once(desk: Desk) -> None:
    """0 means never again."""
    desk.open(severity=Severity.WARNING)
    assert ["opened"] == desk.after(3 * REPEAT_S)


def test_incident_that_is_over_is_told_so_once(desk: Desk) -> None:
    """The last page says that it is over."""
    desk.open()
    desk.after(5)
    desk.ledger.resolve_incident("halt:account:main", desk.clock.now())
    assert ["opened", "resolved"] == desk.after(3 * REPEAT_S)


def test_page_that_failed_is_tried_again_with_growing_waits(desk: Desk) -> None:
    """Nobody reachable: the tries grow rarer, each is counted, and the first success is the page."""
    desk.inbox.status = 503
    desk.open()
    desk.after(300)
    tries = len(desk.inbox.received)
    assert 4 <= tries <= 8
    assert tries == desk.counted("failed")
    assert 1 == desk.ledger.count_undelivered_pages()
    desk.inbox.status = 200
    assert "opened" == desk.after(400)[tries]
    assert (1, 0) == (desk.counted("delivered"), desk.ledger.count_undelivered_pages())


def test_waits_between_tries_double_up_to_five_minutes() -> None:
    """Never so rare that a receiver which is back is not noticed."""
    assert [5, 10, 20, 40, 80, 160, 300, 300] == [retry_after(failures) for failures in range(8)]
    assert 300 == retry_after(10**6)


def test_two_schedulers_page_once(desk: Desk, make_pages: Callable[..., Pages]) -> None:
    """Both look at the same moment, again and again; each incident is told once."""
    others = [make_pages(desk.clock, desk.inbox, desk.metrics) for _ in range(3)]
    keys = [f"halt:account:{number}" for number in range(20)]
    for key in keys:
        desk.open(key)
    with ThreadPoolExecutor(4) as pool:
        rounds = [pool.submit(pages.deliver) for _ in range(5) for pages in (desk.pages, *others)]
    assert 20 == sum(done.result() for done in rounds)
    assert sorted(keys) == sorted(content["key"] for _path, content in desk.inbox.received)
