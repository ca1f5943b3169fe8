"""One run of the proof for streams: orders that fill in every way, while their streams are struck by a storm."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sluicegate import OrderRequest
from sluicegate.domain.orders import Receipt
from tests.chaos.checker import Breach, check
from tests.chaos.evidence import Evidence, Promises, gather
from tests.chaos.storm import Storm
from tests.rig import Rig, wait_until

UIDS = {"a1": 1001, "a2": 1002, "a3": 1003}
SETTLE_S = 240.0
UNLIMITED = 100_000
BATCH = 20
MOST_WAITING = 400
"""So many orders may be on their way: the exchange admits 500 open ones of a symbol."""

SETTINGS = {
    "EXCHANGE__RECV_WINDOW_MS": "2000",
    "EXCHANGE__HORIZON_MARGIN_MS": "500",
    "STREAM__PING_INTERVAL_S": "1",
    "STREAM__PONG_TIMEOUT_S": "1",
    "STREAM__STALE_S": "3",
    "STREAM__BACKOFF_CAP_S": "2",
    "STREAM__LEASE_S": "3",
    "STREAM__LOOK_S": "8",
    "WORKER__CONCURRENCY": "16",
}
"""Silence is noticed in seconds instead of half a minute, and what only a look can find is looked for soon."""

PRICES = {("linear", "BTCUSDT"): 60000, ("linear", "ETHUSDT"): 3000, ("spot", "BTCUSDT"): 60000}
SIZES = {
    ("linear", "BTCUSDT"): ("0.007", "0.01", "0.033"),
    ("linear", "ETHUSDT"): ("0.07", "0.1", "0.35"),
    ("spot", "BTCUSDT"): ("0.0007", "0.0101", "0.033333"),
}


@dataclass
class Report:
    """What a run came to.

    Attributes:
        struck: the blows against streams.
        counted: what the exchange counted: connections opened, events sent, lost, doubled, late.
        by_stream: how many of the moves that fills brought were written by a stream process.
        moves: and how many there were.
    """

    seed: int
    orders: int = 0
    executions: int = 0
    states: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    by_stream: int = 0
    moves: int = 0
    placed_s: float = 0.0
    settled_s: float = 0.0
    breaches: list[Breach] = field(default_factory=list)

    def __str__(self) -> str:
        summary = (
            f"storm seed {self.seed}: {self.orders} orders {dict(self.states)} placed in {self.placed_s:.0f} s, "
            f"{self.executions} executions; {dict(self.struck)}; {dict(self.counted)}; the streams wrote "
            f"{self.by_stream} of {self.moves} moves; settled after {self.settled_s:.0f} s: "
            f"{len(self.breaches)} breaches"
        )
        return "\n".join([summary, *map(str, self.breaches[:20])])


class Market:
    """Moves prices and depths, so that orders fill at once, later, in part, or not at all."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._rng = random.Random(f"{seed}-market")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="market")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let everything that still rests be reached, from below and from above."""
        self._stopped.set()
        self._thread.join(30)
        for (category, symbol), price in PRICES.items():
            self._rig.control("market", symbol=symbol, category=category, depth=None)
            for share in (0.97, 1.03, 1):
                self._rig.control("market", symbol=symbol, category=category, price=str(round(price * share)))

    def _run(self) -> None:
        while not self._stopped.wait(0.2):
            category, symbol = self._rng.choice(list(PRICES))
            size = self._rng.choice(SIZES[category, symbol])
            moved = round(PRICES[category, symbol] * (1 + self._rng.uniform(-0.012, 0.012)))
            volume = self._rng.choice(({}, {"qty": size}, {"qty": str(Decimal(size) * 5)}))
            self._rig.control("market", symbol=symbol, category=category, price=str(moved), **volume)
            depth = self._rng.choice((None, SIZES[category, symbol][0]))
            self._rig.control("market", symbol=symbol, category=category, depth=depth)


class FollowedRun:
    """One run.

    Args:
        home: where the stack writes.
        seed: of orders, market and storm.
        ledger_url: PostgreSQL, migrated; None for SQLite.
        every_s: mean time between two blows.
        rate: orders a second, if the machine can.
    """

    def __init__(
        self, home: Path, *, seed: int, ledger_url: str | None = None, every_s: float = 1.2, rate: float = 60.0
    ) -> None:
        self.report = Report(seed)
        self._rng = random.Random(f"{seed}-orders")
        self._rig = Rig(
            home, ledger_url=ledger_url, accounts={name: str(uid) for name, uid in UIDS.items()}, settings=SETTINGS
        )
        self._every_s = every_s
        self._rate = rate

    def run(self, orders: int) -> Report:
        """Place so many orders under the storm, let it pass, and compare."""
        rig, report = self._rig, self.report
        try:
            rig.start(workers=1, cancels=0)
            for name in ("st1", "st2"):
                rig.start_stream(name)
            self._lift_limits()
            storm = Storm(rig, seed=report.seed, every_s=self._every_s, uids=tuple(UIDS.values()))
            market = Market(rig, report.seed)
            storm.start()
            market.start()
            try:
                receipts = self._place(orders)
            finally:
                market.stop()
                storm.stop()
            report.struck = storm.struck
            evidence = self._settle(receipts)
            self._sum_up(evidence)
        finally:
            rig.stop()
        return report

    def _lift_limits(self) -> None:
        """Let quotas not decide how long the run takes; they have tests of their own."""
        for line in ("linear", "spot"):
            self._rig.control("limits", endpoint="/v5/order/create", category=line, limit=UNLIMITED)
        for endpoint in ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list"):
            self._rig.control("limits", endpoint=endpoint, limit=UNLIMITED)
        self._rig.lift_ip_limit()

    def _place(self, orders: int) -> list[Receipt]:
        receipts: list[Receipt] = []
        began = time.monotonic()
        while len(receipts) < orders:
            for receipt in self._rig.gate.submit_many([self._draw() for _ in range(BATCH)]):
                assert isinstance(receipt, Receipt), receipt
                receipts.append(receipt)
            time.sleep(max(0.0, began + len(receipts) / self._rate - time.monotonic()))  # the storm takes its time
            wait_until(lambda: self._waiting() < MOST_WAITING, "earlier orders fill", patience_s=SETTLE_S)
        wait_until(lambda: not self._waiting("live"), "all orders were sent", patience_s=SETTLE_S)
        self.report.placed_s = time.monotonic() - began
        return receipts

    def _waiting(self, *but: str) -> int:
        states = self._rig.states()
        return sum(states[name] for name in ("accepted", "submitting", "in_doubt", "live") if name not in but)

    def _draw(self) -> OrderRequest:
        """Draw an order: most fill at once, some rest until the market comes, some end in part."""
        rng = self._rng
        category, symbol = rng.choices(list(PRICES), [5, 4, 3])[0]
        side = rng.choice(("Buy", "Sell"))
        fields: dict[str, Any] = {"category": category, "symbol": symbol, "side": side}
        fields |= {"account": rng.choice(list(UIDS)), "qty": rng.choice(SIZES[category, symbol])}
        towards = 1 if side == "Buy" else -1
        kind = rng.choices(("market", "ioc", "near", "far", "stop"), [35, 20, 25, 18, 2])[0]
        price = PRICES[category, symbol]
        if kind == "market":
            fields |= {"order_type": "Market"} | ({"market_unit": "baseCoin"} if category == "spot" else {})
        elif kind == "stop" and category == "linear":
            trigger = {"trigger_price": str(round(price * 1.009)), "trigger_direction": 1}
            fields |= {"order_type": "Market", **trigger}
        else:
            share = rng.uniform(0.001, 0.006) * (-1 if kind == "far" else 1)
            fields |= {"order_type": "Limit", "price": str(round(price * (1 + towards * share)))}
            fields |= {"time_in_force": "IOC"} if kind == "ioc" else {}
        return OrderRequest.model_validate(fields)

    def _settle(self, receipts: list[Receipt]) -> Evidence:
        """Wait until ledger and exchange agree, or for too long."""
        promises, began = Promises(receipts), time.monotonic()
        while True:
            evidence = gather(self._rig.container.engine, self._rig.truth("orders")["list"], promises, UIDS)
            self.report.breaches = check_followed(evidence)
            self.report.settled_s = time.monotonic() - began
            if not self.report.breaches or self.report.settled_s > SETTLE_S:
                return evidence
            time.sleep(1)

    def _sum_up(self, evidence: Evidence) -> None:
        report = self.report
        report.orders = len(evidence.orders)
        report.executions = sum(map(len, evidence.executions.values()))
        report.states = Counter(order.state.value for order in evidence.orders.values())
        fills = [
            event
            for events in evidence.events.values()
            for event in events
            if event.event in ("seen_filled", "seen_partially_filled")
        ]
        report.moves = len(fills)
        report.by_stream = sum(event.actor.startswith("stream") for event in fills)
        streams = self._rig.truth("stats")["streams"]
        for counts in streams["uids"].values():
            report.counted += Counter({name: n for name, n in counts.items() if name.startswith("events_")})
        report.counted["opened"] = sum(visitor["opened"] for visitor in streams["ips"].values())
        report.counted["most_in_5_minutes"] = max(
            (visitor["max_per_5_minutes"] for visitor in streams["ips"].values()), default=0
        )


def check_followed(evidence: Evidence) -> list[Breach]:
    """Return every breach of the usual promises, and every figure that is not the exchange's to the last digit."""
    breaches = check(evidence)
    truth = {str(row["orderLinkId"]): row for row in evidence.exchange}
    for order in evidence.orders.values():
        row = truth.get(order.link_id)
        if row is None:
            continue
        average = Decimal(row["avgPrice"]) if row["avgPrice"] else None
        if order.avg_price != average:
            breaches.append(Breach("average", order.order_id, f"{order.avg_price}, there {average}"))
        fills = evidence.executions.get(order.order_id, ())
        fee = sum((fill.fee for fill in fills), Decimal(0))
        if fee != Decimal(row["cumExecFee"]):
            breaches.append(Breach("fee", order.order_id, f"{fee}, there {row['cumExecFee']}"))
        makers = {fill.exec_id: (fill.is_maker, fill.fee_coin) for fill in fills}
        expected = {fill["execId"]: (fill["isMaker"], fill["feeCurrency"]) for fill in row["executions"]}
        if makers != expected:
            breaches.append(Breach("fill_kind", order.order_id, f"{makers}, there {expected}"))
    return breaches
