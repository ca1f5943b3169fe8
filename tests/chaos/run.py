"""One chaos run: real processes, producers that never rest, a seeded schedule of faults, and the reckoning."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from pybit.unified_trading import HTTP

from sluicegate.ledger import schema
from tests.chaos.breaker import Breaker
from tests.chaos.checker import DOUBLED, LOST, UNSETTLED, Breach, check
from tests.chaos.evidence import Evidence, gather
from tests.chaos.exchange_faults import WRONG_KEY
from tests.chaos.leaks import find_leaks
from tests.chaos.producers import ACCOUNTS, UNITS, Producers
from tests.chaos.proxied_rig import ProxiedRig
from tests.chaos.reasons import Causes
from tests.chaos.schedule import RETRIED, draw_schedule
from tests.integration.postgres_server import PostgresServer

SETTLE_S = 300.0
QUICK = {
    "EXCHANGE__RECV_WINDOW_MS": "2000",
    "EXCHANGE__HORIZON_MARGIN_MS": "500",
    "EXCHANGE__READ_TIMEOUT_S": "2",
    "EXCHANGE__CONNECT_TIMEOUT_S": "2",
    "EXCHANGE__LEASE_S": "5",
    "WORKER__REPUBLISH_S": "3",
    "WORKER__CONCURRENCY": "8",
    "SCHEDULER__LOCK_TIMEOUT_S": "5",
    "RETRY__CAP_S": "2",
    "STREAM__PING_INTERVAL_S": "1",
    "STREAM__PONG_TIMEOUT_S": "1",
    "STREAM__STALE_S": "3",
    "STREAM__BACKOFF_CAP_S": "2",
    "STREAM__LEASE_S": "3",
}
_STRANGE = re.compile(
    r"raised unexpected|Unrecoverable error"
    r"|fault_kept_apart|acknowledgement_not_written|order_unreadable|poison_message"
)


@dataclass
class Report:
    """What a run came to.

    Attributes:
        ret_codes: how often the exchange answered each code to a request for a new order.
        exchange_faults: how often each fault of the simulator struck.
        strange: lines of logs that no process should write, and processes that ended by themselves.
        leaks: where a secret showed.
    """

    seed: int
    ledger: str
    orders: int = 0
    changes: int = 0
    executions: int = 0
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    exchange_faults: Counter[str] = field(default_factory=Counter)
    ret_codes: Counter[str] = field(default_factory=Counter)
    outages: int = 0
    chaos_s: float = 0.0
    settled_s: float = 0.0
    breaches: list[Breach] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found."""
        return not (self.breaches or self.strange or self.leaks)

    def count(self, rules: Collection[str]) -> int:
        """Return how many breaches are of these rules."""
        return sum(breach.rule in rules for breach in self.breaches)

    @property
    def verdict(self) -> dict[str, int]:
        """Return how many orders were lost, doubled, unexplained, and what else was found."""
        lost, doubled = self.count(LOST), self.count(DOUBLED)
        others = len(self.breaches) - lost - doubled
        found = {"strange": len(self.strange), "leaks": len(self.leaks)}
        return {"lost": lost, "doubled": doubled, "unexplained": others, **found}

    def __str__(self) -> str:
        verdict = ", ".join(f"{count} {what}" for what, count in self.verdict.items())
        summary = (
            f"chaos seed {self.seed} on {self.ledger}: {self.orders} orders {dict(self.states)}, "
            f"{self.changes} changes, {self.executions} executions, {self.faults.total()} faults and "
            f"{self.exchange_faults.total()} of the exchange in {self.chaos_s:.0f} s, ledger away "
            f"{self.outages} times, settled after {self.settled_s:.0f} s: {verdict}"
        )
        lines = [summary, *map(str, self.breaches[:20]), *self.strange[:20], *self.leaks[:20]]
        return "\n".join(lines)


class Market:
    """Moves prices, so that orders fill, in part and in whole."""

    def __init__(self, rig: ProxiedRig, seed: int) -> None:
        self._rig = rig
        self._rng = random.Random(f"{seed}-market")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="market")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the prices where they are."""
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            symbol, price, volume = self._rng.choice((("BTCUSDT", 60000, "0.013"), ("ETHUSDT", 3000, "0.13")))
            moved = round(price * (1 + self._rng.uniform(-0.012, 0.012)))
            self._rig.control("market", symbol=symbol, price=str(moved), qty=volume)
            self._rig.control("market", symbol=symbol, depth=self._rng.choice((None, volume)))


class ChaosRun:
    """One run.

    Args:
        home: where the stack writes.
        seed: of schedule, producers and market.
        postgres: the server of its ledger; None for SQLite.
        rate: requests of producers a second.
        every_s: mean time between two faults.
        producers: how many hand orders over; each waits while broker or ledger is away.
    """

    def __init__(
        self,
        home: Path,
        *,
        seed: int,
        postgres: PostgresServer | None = None,
        rate: float = 14.0,
        every_s: float = 2.5,
        producers: int = 4,
    ) -> None:
        self.report = Report(seed, "sqlite" if postgres is None else "postgresql")
        self._postgres = postgres
        self._home = home
        self._rate = rate
        self._every_s = every_s
        self._producers = producers

    def run(self, duration_s: float, *, orders: int = 0, longest_s: float = 900.0) -> Report:
        """Do everything.

        Args:
            duration_s: of the chaos; start and settling come on top.
            orders: it goes on until so many are accepted.
            longest_s: and no longer than this, whatever was accepted.
        """
        database = f"chaos_{self.report.seed}"
        if self._postgres is not None:
            self._postgres.execute(f"CREATE DATABASE {database}")
            schema.upgrade(self._postgres.url(database))
        rig = ProxiedRig(self._home, postgres=self._postgres, database=database, settings=QUICK)
        producers = Producers(lambda: rig.gate, seed=self.report.seed, count=self._producers, rate=self._rate)

        def is_over(now_s: float) -> bool:
            self.report.chaos_s = now_s
            return now_s >= longest_s or (now_s >= duration_s and producers.accepted >= orders)

        try:
            rig.start(workers=2, schedulers=2, cancels=1)
            rig.start_stream("f1")
            _refuse_far_prices(rig)
            self._break_and_check(rig, producers, is_over)
            self.report.leaks = find_leaks(rig)
            self._read_logs(rig)
        finally:
            rig.stop()
        return self.report

    def _break_and_check(self, rig: ProxiedRig, producers: Producers, is_over: Callable[[float], bool]) -> None:
        seed, report = self.report.seed, self.report
        schedule = draw_schedule(seed, every_s=self._every_s, has_server=self._postgres is not None)
        market, breaker = Market(rig, seed), Breaker(rig, ACCOUNTS, seed=seed)
        producers.start()
        market.start()
        try:
            breaker.run(schedule, is_over)
        finally:
            breaker.heal()
            market.stop()
            producers.stop()
        report.faults, report.exchange_faults = breaker.done, breaker.exchange.hits
        report.outages = producers.outages
        evidence = self._settle(rig, producers, breaker)
        report.orders = len(evidence.orders)
        report.changes = sum(map(len, evidence.changes.values()))
        report.executions = sum(map(len, evidence.executions.values()))
        report.states = Counter(order.state.value for order in evidence.orders.values())
        report.ret_codes = _answers(rig)
        report.breaches = check(evidence)
        report.breaches += [
            Breach("lost_receipt", what, "unknown or taken for a while") for what in producers.lost
        ]
        report.strange += breaker.processes.ended

    def _settle(self, rig: ProxiedRig, producers: Producers, breaker: Breaker) -> Evidence:
        """Wait until nothing is on its way any more, or for too long.

        What moves while it is read shows in one table and not yet in another, for each statement sees the ledger
        of its own moment, and the exchange was read before: so what counts is a look after one that was calm.
        """
        started, was_calm = time.monotonic(), False
        while True:
            looked_s = time.monotonic()
            breaker.processes.note_ended()
            breaker.exchange.resume()  # an answer that halts may have been on its way
            truth = rig.truth("orders")["list"]
            causes = Causes(UNITS, breaker.exchange.refused_keys, str(WRONG_KEY), RETRIED)
            evidence = gather(rig.container.engine, truth, producers.promises(), ACCOUNTS, causes)
            self.report.settled_s = looked_s - started
            is_calm = not any(b.rule in UNSETTLED for b in check(evidence))
            if self.report.settled_s > SETTLE_S or (is_calm and was_calm):
                return evidence
            was_calm = is_calm
            time.sleep(2 + 2 * (time.monotonic() - looked_s))  # the stack needs the processor more than we do

    def _read_logs(self, rig: ProxiedRig) -> None:
        for log in sorted(rig.home.glob("*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if _STRANGE.search(line):
                    self.report.strange.append(f"{log.stem}: {line[:1500]}")


def _refuse_far_prices(rig: ProxiedRig) -> None:
    """Let the exchange refuse limit prices outside its band; by default it moves them, and no two would agree."""
    for uid in ACCOUNTS.values():
        client = HTTP(api_key=f"sim-key-{uid}", api_secret=f"sim-secret-{uid}")
        client.endpoint = rig.simulator_url
        client.client.trust_env = False
        client.set_limit_price_action(category="linear", modifyEnable=False)


def _answers(rig: ProxiedRig) -> Counter[str]:
    codes: Counter[str] = Counter()
    for tallies in rig.truth("stats")["uids"].values():
        for endpoint, tally in tallies.items():
            if "/v5/order/create" in endpoint:
                codes.update(tally["ret_codes"])
    return codes
