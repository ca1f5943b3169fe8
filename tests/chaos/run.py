"""One chaos run: real processes, producers that never rest, a seeded schedule of faults, and the reckoning."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.breaker import Breaker, ProxiedRig
from tests.chaos.checker import UNSETTLED, Breach, check
from tests.chaos.evidence import Evidence, gather
from tests.chaos.producers import Producers
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import draw_schedule

SETTLE_S = 180.0
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
}
_STRANGE = re.compile(r"raised unexpected|Unrecoverable error")


@dataclass
class Report:
    """What a run came to.

    Attributes:
        strange: lines of logs that no process should write, and processes that ended by themselves.
    """

    seed: int
    orders: int = 0
    changes: int = 0
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    outages: int = 0
    settled_s: float = 0.0
    breaches: list[Breach] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        summary = (
            f"chaos seed {self.seed}: {self.orders} orders {dict(self.states)}, {self.faults.total()} faults, "
            f"{self.changes} changes, ledger away {self.outages} times, settled after {self.settled_s:.0f} s: "
            f"{len(self.breaches)} breaches, {len(self.strange)} strange lines"
        )
        lines = [summary, *map(str, self.breaches[:20]), *self.strange[:20]]
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
        ledger_url: PostgreSQL, migrated; None for SQLite.
        rate: requests of producers a second.
        every_s: mean time between two faults.
    """

    def __init__(
        self, home: Path, *, seed: int, ledger_url: str | None = None, rate: float = 14.0, every_s: float = 2.5
    ) -> None:
        self.report = Report(seed)
        self._ledger_proxy = None if ledger_url is None else Proxy(urlsplit(ledger_url).port or 5432)
        self._ledger_url = ledger_url
        self._home = home
        self._rate = rate
        self._every_s = every_s

    def run(self, duration_s: float) -> Report:
        """Do everything.

        Args:
            duration_s: of the chaos; start and settling come on top.
        """
        rig = ProxiedRig(self._home, ledger_url=self._proxied_url(), settings=QUICK)
        try:
            rig.start(workers=2, schedulers=2, cancels=1)
            self._break_and_check(rig, duration_s)
            self._read_logs(rig)
        finally:
            rig.stop()
            if self._ledger_proxy is not None:
                self._ledger_proxy.stop()
        return self.report

    def _proxied_url(self) -> str | None:
        if self._ledger_url is None or self._ledger_proxy is None:
            return None
        self._ledger_proxy.start()
        return self._ledger_url.replace(f":{urlsplit(self._ledger_url).port}/", f":{self._ledger_proxy.port}/")

    def _break_and_check(self, rig: ProxiedRig, duration_s: float) -> None:
        seed, report = self.report.seed, self.report
        schedule = draw_schedule(
            seed, duration_s=duration_s, every_s=self._every_s, has_server=self._ledger_proxy is not None
        )
        producers, market = Producers(rig.gate, seed=seed, count=4, rate=self._rate), Market(rig, seed)
        breaker = Breaker(rig, self._ledger_proxy)
        producers.start()
        market.start()
        try:
            breaker.run(schedule, duration_s=duration_s)
        finally:
            breaker.heal()
            market.stop()
            producers.stop()
        report.faults, report.outages = breaker.done, producers.outages
        evidence = self._settle(rig, producers)
        breaker.note_ended()
        report.orders = len(evidence.orders)
        report.changes = sum(map(len, evidence.changes.values()))
        report.states = Counter(order.state.value for order in evidence.orders.values())
        report.breaches = check(evidence)
        report.breaches += [
            Breach("lost_receipt", order_id, "was unknown for a while") for order_id in producers.lost
        ]
        report.strange += breaker.ended

    def _settle(self, rig: ProxiedRig, producers: Producers) -> Evidence:
        """Wait until nothing is on its way any more, or for too long."""
        started = time.monotonic()
        while True:
            evidence = gather(rig.container.engine, rig.truth("orders")["list"], producers.promises())
            self.report.settled_s = time.monotonic() - started
            if self.report.settled_s > SETTLE_S or not any(b.rule in UNSETTLED for b in check(evidence)):
                return evidence
            time.sleep(2)

    def _read_logs(self, rig: ProxiedRig) -> None:
        for log in sorted(rig.home.glob("*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if _STRANGE.search(line):
                    self.report.strange.append(f"{log.stem}: {line[:1500]}")
