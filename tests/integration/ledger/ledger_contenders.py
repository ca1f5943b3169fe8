"""What the processes of the contention tests do; importable, so that they can be spawned."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ledger_cases import NOON, StillClock, change, fill, new_order

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import OrderId, Receipt
from sluicegate.domain.records import AccountRecord, Halt, Severity
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.repository import SqlLedger
from sluicegate.ports import Ledger, OrderFilter

Work = Callable[..., Any]

PROCESSES = 4
THREADS = 4

_race: list[Any] = []  # where the processes of a crowd wait for each other


def claim(ledger: Ledger, number: int, order_id: str) -> bool:
    """Claim one order; tell whether it worked."""
    order = ledger.get(OrderId(order_id))
    if order.state is not State.ACCEPTED:
        return False
    return ledger.transition(order, Event.CLAIMED, {}, {"by": number}) is not None


def accept_same(ledger: Ledger, number: int, keys: int) -> list[str]:
    """Accept orders under keys that everyone uses, in an order of one's own; return the ids that were new."""
    names = [f"key-{(17 * number + i * (2 * number + 1)) % keys}" for i in range(keys)]
    receipts = ledger.accept(
        [new_order(f"{number:02d}-{name}", client_order_id=name) for name in names], wake_at=NOON
    )
    return [r.order_id for r in receipts if isinstance(r, Receipt) and r.is_new]


def close_letter(ledger: Ledger, number: int, order_id: str) -> str:
    """Replay a dead order, discard its letter, or see it live; tell what was done, and as which order."""
    original = OrderId(order_id)
    match number % 4:
        case 0:
            return "discarded" if ledger.discard_dead_letter(original, at=NOON) else ""
        case 1:
            order = ledger.get(original)
            if order.state is not State.DEAD or ledger.transition(order, Event.SEEN_OPEN, {}, {}) is None:
                return ""
            return "seen"
    fresh = new_order(f"{order_id}-{number}", client_order_id=f"{order_id}-{number}", replay_of=order_id)
    answer = ledger.replay_dead_letter(fresh, wake_at=NOON)
    return answer.order_id if isinstance(answer, Receipt) else ""


def replay_same(ledger: Ledger, number: int, order_id: str) -> tuple[str, bool]:
    """Replay a dead order with the same content as everyone else; return the id and whether it was new."""
    fresh = new_order(f"{order_id}-{number}", client_order_id=f"replay-{order_id}", replay_of=order_id)
    receipt = ledger.replay_dead_letter(fresh, wake_at=NOON)
    assert isinstance(receipt, Receipt), receipt
    return receipt.order_id, receipt.is_new


def drain(ledger: Ledger, _number: int, total: int) -> list[str]:
    """Take what is due until nothing is; a row that another one holds counts as due."""
    taken: list[str] = []
    while True:
        some = ledger.take_due(NOON, states=[State.ACCEPTED], limit=7, snooze=timedelta(hours=1))
        taken += [order.order_id for order in some]
        if not some and all(order.wake_at != NOON for order in ledger.list_orders(OrderFilter(limit=total))):
            return taken


def drain_pages(ledger: Ledger, _number: int, total: int) -> list[int]:
    """Claim pages until everyone must have claimed all; write each down as delivered."""
    claimed: list[int] = []
    for _ in range(3 * total):
        incident = ledger.claim_page(NOON, timedelta(hours=1))
        if incident is not None:
            claimed.append(incident.incident_id)
            ledger.settle_page(incident, delivered=True, at=NOON, next_at=None)
    return claimed


def drain_changes(ledger: Ledger, _number: int, total: int) -> list[str]:
    """Take changes that are due until everyone must have taken all."""
    taken: list[str] = []
    for _ in range(total):
        some = ledger.take_due_changes(NOON, limit=3, snooze=timedelta(hours=1))
        taken += [one.change_id for one in some]
    return taken


def add_change(ledger: Ledger, number: int, order_id: str) -> int:
    """Ask for a change of one order; return its place."""
    return ledger.add_change(change(order_id, f"c{number}")).sequence


def meet_incident(ledger: Ledger, _number: int) -> bool:
    """Meet one problem; tell whether it was new."""
    return ledger.open_incident("k", severity=Severity.WARNING, title="t", detail="d", fix="f", at=NOON)[1]


def halt_account(ledger: Ledger, number: int) -> bool:
    """Halt one scope for a while; tell whether it was new."""
    until = NOON + timedelta(seconds=number + 1)
    return ledger.halt(Halt("account:main", "10003", "m", "c", "f", NOON, until))


def register(ledger: Ledger, _number: int) -> str:
    """Register one account."""
    return ledger.register_account(AccountRecord("main", "testnet", "1001")).uid


def add_fills(ledger: Ledger, number: int, order_id: str) -> int:
    """Store the same fills as everyone else, in an order of one's own."""
    return ledger.add_executions(
        [fill(order_id, f"e{(17 * number + i * (2 * number + 1)) % 256}") for i in range(256)]
    )


class Crowd:
    """Processes that run work at the same time, each in several threads."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, url: str, work: Work, *arguments: Any) -> list[Any]:
        """Return the answers of all 16."""
        firsts = range(0, PROCESSES * THREADS, THREADS)
        jobs = [self._pool.submit(_in_threads, url, first, work, arguments) for first in firsts]
        return [answer for job in jobs for answer in job.result()]


@contextmanager
def crowd() -> Iterator[Crowd]:
    """Spawn the processes."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, initializer=_join, initargs=(start,)) as pool:
        yield Crowd(pool)


def _join(race: Any) -> None:
    _race.append(race)


def _in_threads(url: str, first: int, work: Work, arguments: Sequence[Any]) -> list[Any]:
    engine = create_ledger_engine(url)
    try:
        ledger = SqlLedger(engine, StillClock(), actor=f"process-{first}")
        for connection in [engine.connect() for _ in range(THREADS)]:  # all are open before the race
            connection.close()
        with ThreadPoolExecutor(THREADS) as pool:
            _race[-1].wait(60)
            return list(pool.map(lambda number: work(ledger, number, *arguments), range(first, first + THREADS)))
    finally:
        engine.dispose()
