"""Sixteen threads in four processes want the same thing; the database decides."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import ledger_contenders as contenders
import pytest
from ledger_cases import NOON, accept, accept_one, change, kill, new_order

from sluicegate.domain.lifecycle import State
from sluicegate.domain.records import Severity
from sluicegate.ports import Ledger, OrderFilter


@pytest.fixture(scope="module")
def crowd() -> Iterator[contenders.Crowd]:
    """Give the processes."""
    with contenders.crowd() as crowd:
        yield crowd


def test_claim_by_threads_of_one_ledger_is_won_once(ledger: Ledger) -> None:
    """Sixteen threads claim the same order on the same snapshot: one gets it."""
    orders = accept(ledger, *(new_order() for _ in range(5)))
    with ThreadPoolExecutor(16) as pool:
        for order in orders:
            won = list(pool.map(lambda n, id_=order.order_id: contenders.claim(ledger, n, id_), range(16)))
            assert won.count(True) == 1
            assert [e.event for e in ledger.events(order.order_id)] == ["accepted", "claimed"]


def test_claim_by_processes_is_won_once(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """Sixteen threads of four processes claim the same order: one gets it."""
    order = accept_one(ledger)

    won = crowd.run(url, contenders.claim, order.order_id)

    assert won.count(True) == 1
    assert (ledger.get(order.order_id).version, len(ledger.events(order.order_id))) == (2, 2)


def test_accept_same_keys_by_processes_stores_each_once(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """However many hand over the same keys at once, each is one order, and all get its receipt."""
    new = crowd.run(url, contenders.accept_same, 256)

    assert ledger.count_orders() == {("main", State.ACCEPTED): 256}
    stored = [order_id for ids in new for order_id in ids]
    assert len(stored) == len(set(stored)) == 256
    assert all(len(ledger.events(order_id)) == 1 for order_id in stored[:5])


@pytest.mark.parametrize("_time", range(6))
def test_dead_letter_replayed_discarded_and_seen_by_processes_ends_one_way(
    crowd: contenders.Crowd, ledger: Ledger, url: str, _time: int
) -> None:
    """Eight replay under ids of their own, four discard, four see it live: at most one order replaces it."""
    original = kill(ledger)

    done = [word for word in crowd.run(url, contenders.close_letter, original) if word]

    replays = [word for word in done if word not in {"discarded", "seen"}]
    letter = ledger.dead_letter(original)
    assert len(replays) + done.count("discarded") == 1  # of the two, exactly one closed the letter
    assert replays == ([] if letter.replayed_as is None else [letter.replayed_as])
    assert [o.order_id for o in ledger.list_orders(OrderFilter()) if o.replay_of] == replays
    trail = [e.event for e in ledger.events(original)]
    if replays and "seen_open" in trail:  # what the exchange shows later is evidence, and never dropped
        assert trail.index("dead_letter_replayed") < trail.index("seen_open")


def test_replay_by_processes_with_the_same_content_is_one_order(
    crowd: contenders.Crowd, ledger: Ledger, url: str
) -> None:
    """All get its receipt, and one of them the news."""
    answers = crowd.run(url, contenders.replay_same, kill(ledger))

    assert len({order_id for order_id, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1


def test_take_due_by_processes_hands_each_order_to_one(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """Several schedulers share what is due; nothing is handed out twice, nothing is left."""
    ledger.accept([new_order(priority=i % 3) for i in range(400)], wake_at=NOON)

    taken = [order_id for ids in crowd.run(url, contenders.drain, 400) for order_id in ids]

    assert len(taken) == len(set(taken)) == 400


def test_take_due_changes_by_processes_hands_each_to_one(
    crowd: contenders.Crowd, ledger: Ledger, url: str
) -> None:
    """Several schedulers share the changes that are due."""
    order = accept_one(ledger)
    for number in range(24):
        ledger.add_change(change(order.order_id, f"c{number:02d}"))

    taken = [change_id for ids in crowd.run(url, contenders.drain_changes, 12) for change_id in ids]

    assert len(taken) == len(set(taken)) == 24


def test_claim_page_by_processes_hands_each_to_one(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """However many schedulers there are, each page is told once."""
    for number in range(12):
        ledger.open_incident(f"k{number}", severity=Severity.WARNING, title="t", detail="d", fix="f", at=NOON)

    claimed = [incident for ids in crowd.run(url, contenders.drain_pages, 12) for incident in ids]

    assert len(claimed) == len(set(claimed)) == 12
    assert [1] * 12 == [incident.pages for incident in ledger.incidents()]


def test_add_change_by_processes_numbers_without_gap(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """Changes of one order asked for at once get places of their own."""
    order = accept_one(ledger)

    places = crowd.run(url, contenders.add_change, order.order_id)

    assert sorted(places) == list(range(1, 17))
    assert len(ledger.events(order.order_id)) == 17


def test_open_incident_by_processes_opens_one(crowd: contenders.Crowd, ledger: Ledger, url: str) -> None:
    """One problem met by everyone at once is one incident, and one of them tells it."""
    assert crowd.run(url, contenders.meet_incident).count(True) == 1

    (incident,) = ledger.incidents()

    assert incident.count == 16


def test_halt_by_processes_stores_one_with_the_longest_time(
    crowd: contenders.Crowd, ledger: Ledger, url: str
) -> None:
    """One scope has one halt; the longest wins, whoever came first."""
    assert crowd.run(url, contenders.halt_account).count(True) == 1

    (halt,) = ledger.halts()

    assert halt.until == NOON + timedelta(seconds=16)


def test_records_stored_by_processes_at_once_are_stored_once(
    crowd: contenders.Crowd, ledger: Ledger, url: str
) -> None:
    """The same account and the same fills, reported by everyone at once, are stored once."""
    order = accept_one(ledger)

    assert set(crowd.run(url, contenders.register)) == {"1001"}
    assert sum(crowd.run(url, contenders.add_fills, order.order_id)) == 256
    assert len(ledger.executions(order.order_id)) == 256
