"""Share of the quota that is used, and refusals (10006), by contenders with an endless backlog.

All contenders of a heat run at the same time, each with a UID of its own, on the same servers and network; where
two cores do not carry the whole field, a case has several heats, and Sluicegate runs in each.

The share is counted over whole windows, by the exchange's clock. Orders accepted during the warm-up are left out;
refusals count from the first order on.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender, Field, Foreigner
from benchmarks.figures import Figure, compare, share_of_quota
from benchmarks.servers import simulator, valkey
from simulator.network import Network

THREADS = 16
"""Requests of one contender that may be under way at once, over all processes; more where a quota needs more."""
WARM_UP_S = 15.0
"""Our bucket believes its estimate after 51 answers, which at ten a second and 200 ms there and back takes 8 s."""
FOREIGNER = "foreigner"


OURS = "Sluicegate"
PEERS = tuple(name for name in CONTENDERS if name != OURS)
CEILING = "ceiling of the network"
"""What a limiter can reach that is never refused: it must take each request for the fastest, so each token is away
for the window and as long as its request was later than the fastest."""


@dataclass(frozen=True)
class Case:
    """One network and one number of processes.

    Attributes:
        at_once: how many peers race against Sluicegate at the same time; those that are left run in further heats.
            With sixteen processes each, or many requests a second, two cores do not carry the whole field.
        is_shared: someone else spends three tenths of each quota; the share is that of both together, the refusals
            are told apart.
    """

    delay_ms: float
    jitter_ms: float
    processes: int
    limit: int
    seconds: float
    at_once: int = len(PEERS)
    is_shared: bool = False

    @property
    def heats(self) -> list[tuple[str, ...]]:
        """Return who races together."""
        starts = range(0, len(PEERS), self.at_once)
        return [(OURS, *PEERS[start : start + self.at_once]) for start in starts]

    @property
    def under_way(self) -> int:
        """Return how many requests must be under way for the whole quota, with a half to spare."""
        return math.ceil(self.limit * 2 * (self.delay_ms + self.jitter_ms) / 1000 * 1.5)

    @property
    def name(self) -> str:
        """Return the case in words."""
        many = "es" * (self.processes > 1)
        beside = ", beside a foreign client" if self.is_shared else ""
        network = f"{self.delay_ms:g}+{self.jitter_ms:g} ms one way"
        return f"{self.limit}/s, {network}, {self.processes} process{many}{beside}"


@dataclass(frozen=True)
class Result:
    """What a contender came to in a case."""

    share: float
    refusals: int
    others_refusals: int = 0


def cases(*, full: bool) -> list[Case]:
    """Return the cases to run."""
    if full:
        grid = [
            Case(delay, jitter, processes, limit, 30.0, at_once=len(PEERS) if processes * limit <= 200 else 2)
            for delay in (5, 20, 100)
            for jitter in (3, 5, 20)
            for processes in (1, 4, 16)
            for limit in (10, 20, 50, 200)
        ]
        shared = [
            Case(delay, jitter, processes, limit, 30.0, at_once=2, is_shared=True)
            for delay, jitter in ((5, 3), (20, 5), (100, 20))
            for processes in (1, 4, 16)
            for limit in (10, 50)
        ]
        return grid + shared
    return [
        Case(20, 5, 4, 10, 20.0),
        Case(100, 20, 16, 10, 20.0, at_once=2),
        Case(100, 5, 4, 10, 20.0, at_once=2),
        Case(5, 3, 16, 10, 20.0, at_once=2),
        Case(20, 5, 16, 10, 20.0, at_once=2),
        Case(100, 20, 1, 10, 20.0),
        Case(20, 5, 4, 50, 20.0, at_once=2),
        Case(20, 5, 4, 10, 20.0, at_once=2, is_shared=True),
        Case(5, 3, 4, 200, 20.0, at_once=1),
        Case(5, 3, 1, 10, 20.0),
        Case(5, 3, 4, 10, 20.0),
        Case(100, 20, 4, 10, 20.0),
        Case(20, 5, 4, 20, 20.0),
        Case(20, 5, 1, 10, 20.0),
    ]


def measure(full: bool) -> Iterator[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure every case."""
    for case in cases(full=full):
        heats = [_run(case, names) for names in case.heats]
        ours = [heat.pop(OURS) for heat in heats]
        shares, refusals = [result.share for result in ours], [result.refusals for result in ours]
        others = [result.others_refusals for result in ours]
        for peer, theirs in itertools.chain.from_iterable(heat.items() for heat in heats):
            yield compare(f"share used: {case.name}", "share", shares, peer, [theirs.share])
            yield compare(f"10006: {case.name}", "refusals", [statistics.fmean(refusals)], peer, [theirs.refusals])
            if case.is_shared:
                name = f"10006 of the foreign client: {case.name}"
                yield compare(name, "refusals", [statistics.fmean(others)], peer, [theirs.others_refusals])
        yield compare(f"share used: {case.name}", "share", shares, CEILING, [_ceiling(case)])


def _ceiling(case: Case) -> float:
    """Return the ceiling, from as many ways as a contender's requests go."""
    network = Network(case.delay_ms, case.jitter_ms)
    ways_s = [network.trip_s() for _ in range(round(case.limit * (WARM_UP_S + case.seconds)))]
    return 1 / (1 + statistics.fmean(ways_s) - min(ways_s))


def _run(case: Case, names: Sequence[str]) -> dict[str, Result]:
    with valkey() as url, simulator() as exchange:
        uids = dict(zip(names, range(1001, 1011), strict=False))
        for uid in uids.values():
            exchange.control("limits", uid=uid, endpoint="/v5/order/create", category="linear", limit=case.limit)
        exchange.control("network", delay_ms=case.delay_ms, jitter_ms=case.jitter_ms, seed=7)
        accepted, others = _race(case, Field(url, exchange.url, case.limit), uids)
        return {
            name: Result(
                share_of_quota(accepted[uid], case.limit), exchange.refusals(uid) - others[uid], others[uid]
            )
            for name, uid in uids.items()
        }


def _race(case: Case, field: Field, uids: dict[str, int]) -> tuple[dict[int, list[int]], Counter[int]]:
    """Let all contenders send, each from so many processes.

    Returns:
        When orders were accepted, and how often the foreign client was refused; by UID.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, max(THREADS, case.under_way) // case.processes)
    crews = [(name, uid, threads) for name, uid in uids.items()] * case.processes
    if case.is_shared:
        crews += [(FOREIGNER, uid, 1) for uid in uids.values()]
    start = context.Barrier(len(crews))
    results: Any = context.Queue()
    crew = [
        context.Process(target=_work, args=(name, uid, field, threads, case.seconds, start, results), daemon=True)
        for name, uid, threads in crews
    ]
    for member in crew:
        member.start()
    accepted: dict[int, list[int]] = {uid: [] for uid in uids.values()}
    others: Counter[int] = Counter()
    for _ in crew:
        uid, instants, refused = results.get(timeout=240)
        accepted[uid] += instants
        others[uid] += refused
    for member in crew:
        member.join(30)
    return accepted, others


def _work(name: str, uid: int, field: Field, threads: int, seconds: float, start: Any, results: Any) -> None:
    kind: type[Any] = Foreigner if name == FOREIGNER else CONTENDERS[name]
    crew: list[Contender] = [kind(field, uid) for _ in range(threads)]
    accepted: list[int] = []
    refused: list[None] = []
    start.wait(120)
    from_ms = (time.time() + WARM_UP_S) * 1000
    until = time.monotonic() + WARM_UP_S + seconds

    def run(contender: Contender) -> None:
        while time.monotonic() < until:
            told = contender.send()
            if told is None and name == FOREIGNER:  # it asks nobody but the exchange
                refused.append(told)
            elif told is not None and told >= from_ms:
                accepted.append(told)

    members = [threading.Thread(target=run, args=(contender,), daemon=True) for contender in crew]
    for member in members:
        member.start()
    for member in members:
        member.join(WARM_UP_S + seconds + 30)
    results.put((uid, accepted, len(refused)))
