"""Dead letters, halts, incidents, accounts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from ledger_cases import NOON, accept, accept_one, dead_letter, kill, new_order

from sluicegate.domain.errors import ConfigurationError, OrderNotFound
from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import OrderId
from sluicegate.domain.records import AccountRecord, Halt, Incident, Question, Severity
from sluicegate.ports import Ledger

MINUTE = timedelta(minutes=1)

# --- dead letters ---------------------------------------------------------------------------------------------


def test_dead_letter_is_stored_with_its_transition(ledger: Ledger) -> None:
    """Whoever moves an order to its end stores why, in one step."""
    order_id = kill(ledger)

    letter = ledger.dead_letter(order_id)

    assert letter == dead_letter(order_id)
    assert letter.is_open
    with pytest.raises(OrderNotFound):
        ledger.dead_letter(accept_one(ledger).order_id)


def test_dead_letter_stored_again_replaces_the_older_one(ledger: Ledger) -> None:
    """An order has one dead letter: the newest."""
    order = accept_one(ledger)
    dead = ledger.transition(order, Event.DEAD_LETTERED, {}, {}, dead_letter=dead_letter(order.order_id))
    assert dead is not None
    newer = dead_letter(order.order_id, code="110007", at=NOON + MINUTE)

    ledger.transition(dead, Event.SEEN_REJECTED, {}, {}, dead_letter=newer)

    assert ledger.dead_letters(only_open=False) == [newer]


def test_dead_letters_filter_newest_first(ledger: Ledger) -> None:
    """Every filter narrows; closed ones show only when asked for."""
    a = kill(ledger, NOON)
    b = kill(ledger, NOON + MINUTE, account="other")
    c = kill(ledger, NOON + 2 * MINUTE, reason="balance")
    ledger.discard_dead_letter(c, at=NOON)

    assert [d.order_id for d in ledger.dead_letters()] == [b, a]
    assert [d.order_id for d in ledger.dead_letters(only_open=False)] == [c, b, a]
    assert [d.order_id for d in ledger.dead_letters(account="other")] == [b]
    assert [d.order_id for d in ledger.dead_letters(reason="balance", only_open=False)] == [c]
    assert [d.order_id for d in ledger.dead_letters(limit=1)] == [b]
    assert ledger.count_dead_letters() == {"parameter": 2}


def test_discard_dead_letter_once_with_its_event(ledger: Ledger) -> None:
    """A dead letter is discarded once; the trail says so, and why."""
    discarded = kill(ledger)

    assert ledger.discard_dead_letter(discarded, at=NOON + MINUTE, note="client gave up")
    assert not ledger.discard_dead_letter(discarded, at=NOON)
    assert not ledger.discard_dead_letter(OrderId("nothing-here"), at=NOON)

    assert ledger.dead_letter(discarded).discarded_at == NOON + MINUTE
    last = ledger.events(discarded)[-1]
    assert (last.event, last.at, last.detail) == (
        "dead_letter_discarded", NOON + MINUTE, {"note": "client gave up"}
    )  # fmt: skip
    assert ledger.count_dead_letters() == {}


# --- halts ----------------------------------------------------------------------------------------------------


def a_halt(until: datetime | None, *, code: str = "10003", since: datetime = NOON) -> Halt:
    """Return a halt of one account."""
    return Halt("account:main", code, "API key is invalid.", "wrong environment", "fix the key", since, until)


def test_halt_is_stored_listed_and_lifted(ledger: Ledger) -> None:
    """A scope is halted until it is lifted."""
    halt = a_halt(None)

    assert ledger.halts() == []
    assert ledger.halt(halt)
    assert ledger.halts() == ledger.halts(["account:main", "egress:default"]) == [halt]
    assert ledger.halts(["egress:default"]) == ledger.halts([]) == []
    assert ledger.lift("account:main") == halt
    assert ledger.lift("account:main") is None
    assert ledger.halts() == []


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (MINUTE, 2 * MINUTE, "second"),
        (2 * MINUTE, MINUTE, "first"),
        (MINUTE, None, "second"),
        (None, MINUTE, "first"),
        (None, None, "first"),
    ],
)
def test_halt_again_keeps_the_longer_one(
    ledger: Ledger, first: timedelta | None, second: timedelta | None, kept: str
) -> None:
    """The longer halt stays with its cause; the scope has been halted since the first."""
    assert ledger.halt(a_halt(None if first is None else NOON + first, code="first"))
    again = a_halt(None if second is None else NOON + second, code="second", since=NOON + timedelta(seconds=1))
    assert not ledger.halt(again)

    (halt,) = ledger.halts()

    assert (halt.code, halt.since) == (kept, NOON)


def test_halt_after_one_that_ran_out_is_new(ledger: Ledger) -> None:
    """A halt that has run out does not hide a new one."""
    ledger.halt(a_halt(NOON + MINUTE))
    newer = a_halt(NOON + 3 * MINUTE, since=NOON + 2 * MINUTE)

    assert ledger.halt(newer)
    assert ledger.halts() == [newer]


# --- incidents ------------------------------------------------------------------------------------------------


def open_one(ledger: Ledger, key: str = "halt:main", at: datetime = NOON) -> tuple[Incident, bool]:
    """Open an incident, or meet it again."""
    return ledger.open_incident(key, severity=Severity.CRITICAL, title="Halted", detail="10003", fix="key", at=at)


def test_incident_met_again_counts_up(ledger: Ledger) -> None:
    """One problem is one incident, however often it is met."""
    first, is_new = open_one(ledger)
    again, is_new_again = open_one(ledger, at=NOON + MINUTE)

    assert (is_new, is_new_again) == (True, False)
    assert (again.incident_id, again.count) == (first.incident_id, 2)
    assert (again.opened_at, again.last_seen_at) == (NOON, NOON + MINUTE)
    assert ledger.incidents() == [again]


def test_incident_after_resolution_is_a_new_one(ledger: Ledger) -> None:
    """A problem that comes back is told again."""
    first, _ = open_one(ledger)
    resolved = ledger.resolve_incident("halt:main", NOON + MINUTE)
    second, is_new = open_one(ledger)

    assert resolved is not None
    assert (resolved.incident_id, resolved.resolved_at) == (first.incident_id, NOON + MINUTE)
    assert is_new
    assert ledger.incidents() == [second]
    assert ledger.incidents(only_open=False) == [second, resolved]
    assert ledger.incidents(only_open=False, limit=1) == [second]
    assert ledger.resolve_incident("nothing-here", NOON) is None


def test_incident_is_paged_and_acknowledged(ledger: Ledger) -> None:
    """A page is remembered; the first acknowledgement counts."""
    incident, _ = open_one(ledger)

    claimed = ledger.claim_page(NOON, MINUTE)
    assert claimed is not None
    ledger.settle_page(claimed, delivered=True, at=NOON + MINUTE, next_at=NOON + 5 * MINUTE)
    acked = ledger.ack_incident(incident.incident_id, NOON + 2 * MINUTE, by="ann", note="a new key comes")
    again = ledger.ack_incident(incident.incident_id, NOON + 9 * MINUTE, by="bob")

    assert acked is not None
    assert (acked.paged_at, acked.pages, acked.acked_at) == (NOON + MINUTE, 1, NOON + 2 * MINUTE)
    assert (acked.acked_by, acked.ack_note, acked.page_at) == ("ann", "a new key comes", None)
    assert again == acked == ledger.incident(incident.incident_id)
    assert ledger.incident(999) is None
    assert ledger.ack_incident(999, NOON) is None


# --- accounts -------------------------------------------------------------------------------------------------


def test_account_uid_becomes_known_and_stays(ledger: Ledger) -> None:
    """A uid is learned once; a record without one is completed from the ledger."""
    assert ledger.register_account(AccountRecord("main", "testnet")) == AccountRecord("main", "testnet", "")
    assert ledger.register_account(AccountRecord("main", "testnet", "1001")).uid == "1001"
    assert ledger.register_account(AccountRecord("main", "testnet")).uid == "1001"
    ledger.register_account(AccountRecord("b", "demo", "7"))
    assert ledger.accounts() == [AccountRecord("b", "demo", "7"), AccountRecord("main", "testnet", "1001")]


def test_account_never_changes_environment_or_uid(ledger: Ledger) -> None:
    """Orders of one account all belong to one place: another environment or uid is refused."""
    known = ledger.register_account(AccountRecord("main", "testnet", "1001"))

    with pytest.raises(ConfigurationError, match=r"'testnet'.*'mainnet'.*never changes"):
        ledger.register_account(AccountRecord("main", "mainnet", "1001"))
    with pytest.raises(ConfigurationError, match=r"1001.*1002"):
        ledger.register_account(AccountRecord("main", "testnet", "1002"))

    assert ledger.accounts() == [known]


def test_accepted_orders_need_no_account_record(ledger: Ledger) -> None:
    """Accepting does not depend on a check having run before."""
    assert len(accept(ledger, new_order(account="unheard-of"))) == 1


def test_questions_are_open_orders_whose_code_asks_a_person(ledger: Ledger) -> None:
    """Oldest first; an order that has ended asks nobody any more, whatever its code."""
    codes = (Question.UNPROVABLE, "10006", Question.FOREIGN, Question.NOT_SHOWN)
    ids = sorted(accept_one(ledger).order_id for _code in codes)
    for order_id, code in zip(ids, codes, strict=True):
        assert ledger.transition(ledger.get(order_id), Event.DEFERRED, {"last_code": code}, {}) is not None
    asked = [ids[0], ids[2], ids[3]]
    assert asked == [order.order_id for order in ledger.questions(limit=9)]
    assert asked[:1] == [order.order_id for order in ledger.questions(limit=1)]
    ledger.transition(ledger.get(ids[0]), Event.CANCELLED_UNSENT, {}, {})
    assert asked[1:] == [order.order_id for order in ledger.questions(limit=9)]


def test_fates_within_counts_dead_letters_and_acknowledged_orders(ledger: Ledger) -> None:
    """Of one account, in the window; its end belongs to it, its beginning does not."""
    for at in (NOON - MINUTE, NOON - MINUTE / 2, NOON, NOON + MINUTE / 2):
        kill(ledger, at)
        order = accept_one(ledger)
        claimed = ledger.transition(order, Event.CLAIMED, {}, {})
        assert claimed is not None
        assert ledger.transition(claimed, Event.ACKNOWLEDGED, {"acked_at": at}, {}) is not None
    kill(ledger, NOON, account="other")
    assert (2, 2) == ledger.fates_within("main", NOON, MINUTE)
    assert (1, 0) == ledger.fates_within("other", NOON, MINUTE)
    assert (0, 0) == ledger.fates_within("nobody", NOON, MINUTE)
