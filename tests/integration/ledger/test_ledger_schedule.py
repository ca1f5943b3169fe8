"""What is due is handed out, most urgent first, to one taker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_cases import NOON, SNOOZE, accept, change, new_order
from sqlalchemy import Engine, text

from sluicegate.domain.lifecycle import OPEN_STATES, Event, State
from sluicegate.domain.orders import Category, ChangeKind
from sluicegate.domain.records import ChangeState
from sluicegate.ports import Ledger

SECOND = timedelta(seconds=1)


def test_take_due_takes_what_has_come_once(ledger: Ledger) -> None:
    """Only orders whose time has come are taken; then they sleep for the snooze."""
    due, later = accept(ledger, new_order(), new_order(due_at=NOON + SECOND))

    (taken,) = ledger.take_due(NOON, states=[State.ACCEPTED], limit=10, snooze=SNOOZE)

    assert ledger.get(due.order_id) == taken
    assert (taken.version, taken.wake_at) == (due.version, NOON + SNOOZE)
    assert ledger.get(later.order_id) == later
    assert len(ledger.events(due.order_id)) == 1
    assert ledger.take_due(NOON, states=[State.ACCEPTED], limit=10, snooze=SNOOZE) == []
    again = ledger.take_due(NOON + SNOOZE, states=[State.ACCEPTED], limit=10, snooze=SNOOZE)
    assert [order.order_id for order in again] == [later.order_id, due.order_id]


def test_take_due_puts_priority_first_then_the_longest_wait(ledger: Ledger) -> None:
    """Highest priority first, then the earliest `wake_at`, over all states asked for; `limit` cuts the rest."""
    orders = [new_order(priority=p, at=NOON - s * SECOND) for p, s in ((0, 9), (5, 1), (5, 3), (9, 0), (0, 4))]
    stored = accept(ledger, *orders, wake_at=NOON - 60 * SECOND)
    ledger.transition(stored[2], Event.PARKED, {"wake_at": NOON - 2 * SECOND}, {})
    ledger.transition(stored[1], Event.PARKED, {"wake_at": NOON - 4 * SECOND}, {})

    states = [State.PARKED, State.ACCEPTED]
    first = ledger.take_due(NOON, states=states, limit=4, snooze=SNOOZE)
    rest = ledger.take_due(NOON, states=states, limit=4, snooze=SNOOZE)

    ids = [order.order_id for order in orders]
    assert [ids.index(order.order_id) for order in first] == [3, 1, 2, 0]
    assert [ids.index(order.order_id) for order in rest] == [4]


def test_take_due_looks_at_the_given_states_only(ledger: Ledger) -> None:
    """Each state has its own taker."""
    accepted, claimed = accept(ledger, new_order(), new_order())
    ledger.transition(claimed, Event.CLAIMED, {}, {})

    assert ledger.take_due(NOON, states=[], limit=9, snooze=SNOOZE) == []
    assert ledger.take_due(NOON, states=[State.ACCEPTED], limit=0, snooze=SNOOZE) == []
    taken = ledger.take_due(NOON, states=[State.SUBMITTING, State.LIVE], limit=9, snooze=SNOOZE)
    assert [order.order_id for order in taken] == [claimed.order_id]
    taken = ledger.take_due(NOON, states=OPEN_STATES, limit=9, snooze=SNOOZE)
    assert [order.order_id for order in taken] == [accepted.order_id]


def test_take_due_takes_more_than_one_statement_holds(ledger: Ledger) -> None:
    """A large limit is honoured."""
    ledger.accept([new_order() for _ in range(1203)], wake_at=NOON)

    assert len(ledger.take_due(NOON, states=[State.ACCEPTED], limit=1201, snooze=SNOOZE)) == 1201
    assert len(ledger.take_due(NOON, states=[State.ACCEPTED], limit=1201, snooze=SNOOZE)) == 2


@pytest.mark.parametrize("request_json", ['{"qty": "-1"}', "[]", '"x"'])
def test_row_that_cannot_be_read_holds_up_no_other(ledger: Ledger, engine: Engine, request_json: str) -> None:
    """A release that is stricter than the one which wrote it: the rest of the line goes on."""
    broken, *others = accept(ledger, *(new_order(deadline_s=60) for _ in range(3)))
    with engine.begin() as connection:
        known = {"order_id": broken.order_id, "request": request_json}
        connection.execute(text("UPDATE orders SET request = :request WHERE order_id = :order_id"), known)
    rest = {order.order_id for order in others}
    late = ledger.overdue(NOON + 60 * SECOND, limit=9)
    assert rest == {order.order_id for order in late}
    taken = ledger.take_due_of(("main", Category.LINEAR), NOON, limit=9, snooze=SNOOZE)
    assert rest == {order.order_id for order in taken}


def test_overdue_names_unsent_orders_past_their_deadline(ledger: Ledger) -> None:
    """Earliest deadline first, asleep or not; what is being sent, and what has time left, is not late."""
    orders = accept(ledger, *(new_order(deadline_s=seconds) for seconds in (3, 1, 2, 1, 9)), new_order())
    ledger.transition(orders[2], Event.PARKED, {"wake_at": None}, {})
    ledger.transition(orders[3], Event.CLAIMED, {}, {})

    assert [] == ledger.overdue(NOON, limit=9)
    late = ledger.overdue(NOON + 3 * SECOND, limit=9)
    assert [orders[1].order_id, orders[2].order_id, orders[0].order_id] == [order.order_id for order in late]
    assert [orders[1].order_id] == [order.order_id for order in ledger.overdue(NOON + 3 * SECOND, limit=1)]


DUE = "SELECT order_id FROM orders WHERE state = 'accepted' AND priority = 3 AND wake_at <= :at ORDER BY wake_at"
OLDEST = "SELECT due_at FROM orders WHERE state = 'accepted' AND due_at <= :at ORDER BY due_at LIMIT 1"
LATE = (
    "SELECT order_id FROM orders WHERE state IN ('accepted', 'parked') AND deadline_at IS NOT NULL"
    " AND deadline_at <= :at ORDER BY deadline_at"
)
RECENT = "SELECT count(*) FROM orders WHERE account = 'main' AND created_at > :at AND created_at <= :at"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (DUE, "ix_orders_wake"),
        (OLDEST, "ix_orders_accepted_due_at"),
        (LATE, "ix_orders_deadline_at"),
        (RECENT, "ix_orders_account_created_at"),
    ],
)
def test_frequent_queries_have_an_index(ledger: Ledger, engine: Engine, query: str, index: str) -> None:
    """What the scheduler asks all the time does not read every order."""
    ledger.accept([new_order(at=NOON + i * SECOND) for i in range(300)], wake_at=NOON)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        if not is_sqlite:
            connection.execute(text("ANALYZE orders"))
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        plan = connection.execute(text(f"{explain} {query}"), {"at": NOON.isoformat()})
        assert index in str(plan.all())


def test_take_due_changes_takes_oldest_first_once(ledger: Ledger) -> None:
    """Open changes whose time has come go out, oldest first; settled ones never."""
    (order,) = accept(ledger, new_order())
    for number, wait in enumerate((0, 0, 5)):
        ledger.add_change(change(order.order_id, f"c{number}", wake_at=NOON + wait * SECOND))
    settled = ledger.add_change(change(order.order_id, "c3", kind=ChangeKind.AMEND, fields={"qty": "1"}))
    ledger.move_change(settled, ChangeState.VOID, {}, {})

    first = ledger.take_due_changes(NOON, limit=1, snooze=SNOOZE)
    second = ledger.take_due_changes(NOON, limit=9, snooze=SNOOZE)

    assert [(c.change_id, c.wake_at) for c in (*first, *second)] == [("c0", NOON + SNOOZE), ("c1", NOON + SNOOZE)]
    assert ledger.open_changes(order.order_id)[:2] == [*first, *second]
    assert ledger.take_due_changes(NOON, limit=9, snooze=SNOOZE) == []


def test_due_lines_names_each_account_and_category_with_something_due(ledger: Ledger) -> None:
    """Lines are told apart by account and category; sleeping orders and other states make none."""
    accept(
        ledger,
        *(new_order() for _ in range(3)),
        new_order(account="other"),
        new_order(account="other", category="spot"),
        new_order(account="later", due_at=NOON + timedelta(hours=1)),
    )
    assert ledger.due_lines(NOON) == [
        ("main", Category.LINEAR),
        ("other", Category.LINEAR),
        ("other", Category.SPOT),
    ]
    line = ("main", Category.LINEAR)
    taken = ledger.take_due_of(line, NOON, limit=9, snooze=SNOOZE)
    assert {"main"} == {order.account for order in taken}
    assert len(taken) == 3
    assert line not in ledger.due_lines(NOON)
    assert line in ledger.due_lines(NOON + SNOOZE)


def test_take_due_of_takes_the_most_urgent_then_the_oldest(ledger: Ledger) -> None:
    """Within a line priority decides, then how long an order has waited; the limit leaves the rest."""
    orders = accept(ledger, *(new_order(priority=priority) for priority in (0, 0, 5)))
    ledger.wake(orders[1].order_id, NOON - timedelta(seconds=9))
    taken = ledger.take_due_of(("main", Category.LINEAR), NOON, limit=2, snooze=SNOOZE)
    assert [orders[2].order_id, orders[1].order_id] == [order.order_id for order in taken]


def test_parked_accounts_names_each_account_with_a_parked_order(ledger: Ledger) -> None:
    """Accounts whose orders are all in other states are left out, wherever they stand in the order of names."""
    assert ledger.parked_accounts() == []
    orders = accept(ledger, *(new_order(account=name) for name in ("d", "b", "b", "a", "c", "e")))
    for order in orders[:3]:
        ledger.transition(order, Event.PARKED, {"wake_at": None}, {})
    assert ledger.parked_accounts() == ["b", "d"]
