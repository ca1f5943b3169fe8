"""Pages: delivered over real HTTP, retried when nobody took them, and always in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from inboxes import Inbox, Mailbox

from sluicegate.config import PagingSettings
from sluicegate.domain.records import Incident, Severity
from sluicegate.paging.receivers import AppriseReceivers
from sluicegate.telemetry.metrics import Metrics

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # by a plugin of Apprise

TOKEN = "t0k3n-of-the-receiver"
INCIDENT = Incident(
    incident_id=17,
    key="halt:account:main",
    severity=Severity.CRITICAL,
    title="Account main is halted: 10003",
    detail="API key is invalid.",
    fix="Check the key's environment.",
    opened_at=datetime(2026, 7, 24, 12, tzinfo=UTC),
    last_seen_at=datetime(2026, 7, 24, 12, tzinfo=UTC),
)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give a receiver that takes everything."""
    running = Inbox()
    yield running
    running.stop()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Give a mail server."""
    running = Mailbox()
    yield running
    running.stop()


@pytest.fixture
def broken() -> Iterator[Inbox]:
    """Give a receiver that fails."""
    running = Inbox(500)
    yield running
    running.stop()


def page(incident: Incident = INCIDENT, **settings: Any) -> tuple[bool, dict[str, float], list[Any]]:
    """Deliver a page; return whether it was, what was counted by result, and the log."""
    metrics = Metrics()
    with structlog.testing.capture_logs() as lines:
        is_delivered = AppriseReceivers(PagingSettings(**settings), metrics).page(incident)
    counted = {
        result: value
        for result in ("delivered", "fallback", "failed")
        if (value := _counted(metrics, incident.severity.value, result)) is not None
    }
    return is_delivered, counted, lines


def _counted(metrics: Metrics, kind: str, result: str) -> float | None:
    return metrics.registry.get_sample_value("sluicegate_pages_total", {"kind": kind, "result": result})


def test_page_without_receivers_goes_to_the_log() -> None:
    """Nobody configured: the log is the receiver, and the page counts as delivered."""
    is_delivered, counted, lines = page()
    assert (True, {"delivered": 1}) == (is_delivered, counted)
    assert [
        {
            "event": "page",
            "kind": "opened",
            "log_level": "critical",
            "incident": 17,
            "severity": "critical",
            "title": INCIDENT.title,
            "detail": INCIDENT.detail,
            "fix": INCIDENT.fix,
        }
    ] == lines


def test_page_over_the_webhook_carries_the_incident(inbox: Inbox) -> None:
    """The webhook gets the whole incident as JSON."""
    is_delivered, counted, _lines = page(webhook=f"http://{inbox.address}/hook")
    assert (True, {"delivered": 1}) == (is_delivered, counted)
    expected = {
        "kind": "opened",
        "incident_id": 17,
        "key": "halt:account:main",
        "severity": "critical",
        "title": INCIDENT.title,
        "detail": INCIDENT.detail,
        "fix": INCIDENT.fix,
        "count": 1,
        "opened_at": "2026-07-24T12:00:00+00:00",
        "resolved_at": None,
    }
    assert [("/hook", expected)] == inbox.received


def test_page_over_apprise_carries_cause_and_fix(inbox: Inbox) -> None:
    """A person reads what happened and what to do."""
    is_delivered, counted, _lines = page(critical=[f"json://{inbox.address}/{TOKEN}"])
    assert (True, {"delivered": 1}) == (is_delivered, counted)
    ((_path, content),) = inbox.received
    assert content["title"] == "[Sluicegate] Account main is halted: 10003"
    assert INCIDENT.detail in content["message"]
    assert INCIDENT.fix in content["message"]


def test_page_falls_back_to_the_next_receiver(inbox: Inbox, broken: Inbox) -> None:
    """Receivers are tried in their order until one takes the page; those behind it hear nothing."""
    urls = [f"json://{broken.address}", "nonsense", f"json://{inbox.address}", f"json://{broken.address}"]
    is_delivered, counted, lines = page(critical=urls)
    assert (True, {"fallback": 1, "failed": 2}) == (is_delivered, counted)
    assert (1, 1) == (len(inbox.received), len(broken.received))
    assert ["page", "page_failed", "paging_url_invalid"] == [line["event"] for line in lines]


def test_page_goes_to_all_urls_of_one_entry(inbox: Inbox, mailbox: Mailbox) -> None:
    """URLs in one text are told together."""
    is_delivered, counted, _lines = page(critical=[f"json://{inbox.address} {mailbox.url}"])
    assert (True, {"delivered": 1}) == (is_delivered, counted)
    assert (1, 1) == (len(inbox.received), len(mailbox.received))


def test_page_by_mail_carries_cause_fix_and_how_to_acknowledge(mailbox: Mailbox) -> None:
    """A person at night needs nothing but the mail."""
    is_delivered, counted, _lines = page(critical=[mailbox.url])
    assert (True, {"delivered": 1}) == (is_delivered, counted)
    (mail,) = mailbox.received
    assert "[Sluicegate] Account main is halted: 10003" == mail["Subject"]
    assert "ann@example.com" in mail["To"]
    text = mail.get_body(("plain", "html")).get_content()  # type: ignore[attr-defined]
    for words in (INCIDENT.detail, "What to do: Check the key", "sluicegate incidents ack 17"):
        assert words in text


def test_page_that_the_mail_server_refuses_falls_back(mailbox: Mailbox, inbox: Inbox) -> None:
    """A refused mail is a failed delivery like any other."""
    mailbox.refuses = True
    is_delivered, counted, _lines = page(critical=[mailbox.url, f"json://{inbox.address}"])
    assert (True, {"fallback": 1, "failed": 1}, 0, 1) == (
        is_delivered,
        counted,
        len(mailbox.received),
        len(inbox.received),
    )


KINDS = {
    "repeated": (
        {"paged_at": INCIDENT.opened_at, "count": 42},
        "[Sluicegate] STILL OPEN: Account main is halted: 10003",
        ("met 42 times", "incidents ack 17"),
    ),
    "resolved": (
        {"paged_at": INCIDENT.opened_at, "resolved_at": datetime(2026, 7, 24, 12, 30, tzinfo=UTC)},
        "[Sluicegate] RESOLVED: Account main is halted: 10003",
        ("Over since 2026-07-24 12:30:00 UTC",),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_page_says_what_it_is(inbox: Inbox, kind: str) -> None:
    """Who reads it knows whether it is new, still there, or over."""
    changes, title, words = KINDS[kind]
    page(
        replace(INCIDENT, **changes), critical=[f"json://{inbox.address}"], webhook=f"http://{inbox.address}/hook"
    )
    (_path, message), (_hook, content) = inbox.received
    assert (title, kind) == (message["title"], content["kind"])
    assert [] == [part for part in words if part not in message["message"]]


def test_page_over_a_failing_webhook_and_a_working_receiver_is_delivered(inbox: Inbox, broken: Inbox) -> None:
    """Every way is tried; one is enough, and the dead one is counted."""
    is_delivered, counted, _lines = page(critical=[f"json://{inbox.address}"], webhook=f"http://{broken.address}/")
    assert (True, {"delivered": 1, "failed": 1}) == (is_delivered, counted)
    assert (1, 1) == (len(inbox.received), len(broken.received))


UNREACHABLE = {
    "webhook_refused": {"webhook": "http://127.0.0.1:1/" + TOKEN},
    "webhook_label_too_long": {"webhook": f"http://{'a' * 64}.example/{TOKEN}"},
    "webhook_name_unknown": {"webhook": f"http://receiver.invalid/{TOKEN}"},
    "apprise_refused": {"critical": [f"json://127.0.0.1:1/{TOKEN}"]},
    "apprise_unknown_scheme": {"critical": [f"carrier-pigeon://{TOKEN}"]},
    "apprise_no_url": {"critical": [TOKEN]},
    "apprise_half_a_url": {"critical": [f"slack://{TOKEN}"]},
    "both": {"critical": [f"json://127.0.0.1:1/{TOKEN}"], "webhook": f"http://127.0.0.1:1/{TOKEN}"},
}


@pytest.mark.parametrize("settings", UNREACHABLE.values(), ids=UNREACHABLE)
def test_page_that_nobody_took_is_failed_and_shows_no_token(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """It comes back as not delivered, is counted and logged, and no line shows the receiver's address."""
    caplog.set_level(logging.INFO)
    is_delivered, counted, lines = page(**settings)
    assert (False, {"failed": len(settings)}) == (is_delivered, counted)
    assert {"page_failed", "paging_url_invalid"} & {line["event"] for line in lines}
    assert TOKEN not in str(lines) + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_page_the_receiver_refuses_is_failed(inbox: Inbox, status: int) -> None:
    """An answer that is no success is no delivery."""
    inbox.status = status
    for settings in ({"webhook": f"http://{inbox.address}"}, {"critical": [f"json://{inbox.address}"]}):
        is_delivered, counted, _lines = page(**settings)
        assert (False, {"failed": 1}) == (is_delivered, counted)


def test_page_of_a_warning_goes_to_the_critical_urls_if_there_are_no_others(inbox: Inbox) -> None:
    """A warning reaches somebody, and is counted as one."""
    warning = replace(INCIDENT, severity=Severity.WARNING)
    is_delivered, counted, _lines = page(warning, critical=[f"json://{inbox.address}"])
    assert (True, {"delivered": 1}, 1) == (is_delivered, counted, len(inbox.received))
