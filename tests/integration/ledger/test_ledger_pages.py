"""When a page is due, and what becomes of it; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_cases import NOON

from sluicegate.domain.records import Incident, PageKind, Severity
from sluicegate.ports import Ledger

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KEY = "halt:account:main"


@pytest.fixture
def incident(ledger: Ledger) -> Incident:
    """Give an incident that was just opened."""
    opened, _is_new = ledger.open_incident(
        KEY, severity=Severity.CRITICAL, title="Halted", detail="10003", fix="key", at=NOON
    )
    return opened


def claim(ledger: Ledger, after: timedelta = timedelta()) -> Incident | None:
    """Claim what is due so long after noon."""
    return ledger.claim_page(NOON + after, MINUTE)


def deliver(ledger: Ledger, after: timedelta = timedelta(), *, next_after: timedelta | None = None) -> Incident:
    """Claim a page and write it down as delivered."""
    claimed = claim(ledger, after)
    assert claimed is not None
    next_at = None if next_after is None else NOON + next_after
    ledger.settle_page(claimed, delivered=True, at=NOON + after, next_at=next_at)
    return claimed


def test_new_incident_is_due_at_once_and_claimed_once(ledger: Ledger, incident: Incident) -> None:
    """The first page waits for nothing; who claims it has it until the lease ends."""
    claimed = claim(ledger)
    assert claimed is not None
    assert (claimed.incident_id, PageKind.OPENED) == (incident.incident_id, claimed.page_kind)
    assert claim(ledger) is None
    assert claim(ledger, 59 * SECOND) is None


def test_claim_of_a_scheduler_that_died_is_taken_over(ledger: Ledger, incident: Incident) -> None:
    """After the lease somebody else delivers."""
    assert claim(ledger) is not None
    again = claim(ledger, MINUTE)
    assert again is not None
    assert (incident.incident_id, PageKind.OPENED) == (again.incident_id, again.page_kind)


def test_delivered_page_is_repeated_when_it_is_due(ledger: Ledger, incident: Incident) -> None:
    """Nobody acknowledged: the same incident is due again, as a repetition."""
    deliver(ledger, next_after=5 * MINUTE)
    assert claim(ledger, 4 * MINUTE) is None
    again = claim(ledger, 5 * MINUTE)
    assert again is not None
    assert (incident.incident_id, PageKind.REPEATED, 1) == (again.incident_id, again.page_kind, again.pages)


def test_delivered_page_without_a_next_one_is_the_last(ledger: Ledger, incident: Incident) -> None:
    """Repetition switched off: told once."""
    deliver(ledger)
    assert claim(ledger, timedelta(days=400)) is None
    assert 0 == ledger.count_undelivered_pages()


def test_failed_page_is_due_again_and_counted(ledger: Ledger, incident: Incident) -> None:
    """Nobody was reached: it stays a first page, and shows as undelivered until it is delivered."""
    claimed = claim(ledger)
    assert claimed is not None
    ledger.settle_page(claimed, delivered=False, at=NOON, next_at=NOON + 5 * SECOND)
    assert 1 == ledger.count_undelivered_pages()
    again = claim(ledger, 5 * SECOND)
    assert again is not None
    assert (PageKind.OPENED, 1, 0) == (again.page_kind, again.page_failures, again.pages)
    ledger.settle_page(again, delivered=True, at=NOON, next_at=None)
    assert 0 == ledger.count_undelivered_pages()


def test_acknowledged_incident_pages_no_more(ledger: Ledger, incident: Incident) -> None:
    """Somebody takes care: no page until it is over, not even one that is on its way."""
    deliver(ledger, next_after=5 * MINUTE)
    on_its_way = claim(ledger, 5 * MINUTE)
    assert on_its_way is not None
    ledger.ack_incident(incident.incident_id, NOON + 5 * MINUTE)
    ledger.settle_page(on_its_way, delivered=True, at=NOON, next_at=NOON + 10 * MINUTE)
    assert claim(ledger, 20 * MINUTE) is None


@pytest.mark.parametrize("is_acked", [True, False])
def test_resolved_incident_tells_that_it_is_over(ledger: Ledger, incident: Incident, *, is_acked: bool) -> None:
    """Who was paged hears of the end, once, acknowledged or not."""
    deliver(ledger, next_after=5 * MINUTE)
    if is_acked:
        ledger.ack_incident(incident.incident_id, NOON)
    ledger.resolve_incident(KEY, NOON + MINUTE)
    over = deliver(ledger, MINUTE)
    assert (incident.incident_id, PageKind.RESOLVED) == (over.incident_id, over.page_kind)
    assert claim(ledger, timedelta(days=400)) is None


def test_incident_that_is_over_before_anybody_was_told_is_not_paged(ledger: Ledger, incident: Incident) -> None:
    """No page about what is no problem any more."""
    ledger.resolve_incident(KEY, NOON)
    assert claim(ledger, timedelta(days=400)) is None
    assert 0 == ledger.count_undelivered_pages()


def test_incident_resolved_while_its_first_page_is_on_the_way_tells_its_end(
    ledger: Ledger, incident: Incident
) -> None:
    """The person who was just woken must hear that it is over."""
    claimed = claim(ledger)
    assert claimed is not None
    ledger.resolve_incident(KEY, NOON + SECOND)
    ledger.settle_page(claimed, delivered=True, at=NOON + 2 * SECOND, next_at=NOON + 5 * MINUTE)
    over = claim(ledger, 2 * SECOND)
    assert over is not None
    assert PageKind.RESOLVED is over.page_kind


def test_problem_that_comes_back_pages_anew(ledger: Ledger, incident: Incident) -> None:
    """After the end, the same key is a new incident with a page of its own."""
    deliver(ledger)
    ledger.resolve_incident(KEY, NOON)
    deliver(ledger)
    again, is_new = ledger.open_incident(
        KEY, severity=Severity.CRITICAL, title="Halted", detail="10003", fix="key", at=NOON
    )
    claimed = claim(ledger)
    assert is_new
    assert claimed is not None
    assert (again.incident_id, PageKind.OPENED) == (claimed.incident_id, claimed.page_kind)
