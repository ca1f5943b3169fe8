"""Streams: from the exchange to the ledger, how soon silence is noticed, how soon a gap is filled.

The peer of the first is a bare `websockets` client that writes the rows of each message into SQLite, at the same
rate and on the same exchange, when Sluicegate is idle. The other two are held against what is promised.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Figure, compare, percentile
from sluicegate import OrderRequest
from tests.rig import Rig, wait_until

EVENTS_PER_S = 200
"""Rows of `order` and `execution`; each fill makes one of both, and of `position` and `wallet` besides."""
FILLS_PER_ORDER = 5
PIECE = "0.001"
PEER = "bare websockets client"
PROMISE = "promised"
NOTICED_S, FILLED_S = 30.0, 5.0
MISSED = 300
_POLL_S = 0.002


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure lag, notice and gap."""
    seconds = 30 if full else 12
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), accounts={"a1": "1001"})
        try:
            rig.start(workers=1, cancels=0)
            rig.start_stream("st1")
            _lift_limits(rig)
            wait_until(lambda: rig.events("st1", "stream_gap_filled"), "the stream is up")
            ours = _lags_ms(rig, rig.home / "ledger.db", seconds)
            noticed_s, filled_s = _silence(rig)
            rig.kill("st1")
            with _bare_client(rig) as database:
                bare = _lags_ms(rig, database, seconds)
        finally:
            rig.stop()
    figures = [
        compare(
            f"event to ledger at {EVENTS_PER_S} events/s, p{round(share * 100)}",
            "ms",
            [percentile(ours, share)],
            PEER,
            [percentile(bare, share)],
            digits=1,
        )
        for share in (0.5, 0.99)
    ]
    silence = compare("silent stream noticed", "s", [noticed_s], PROMISE, [NOTICED_S], digits=1)
    gap = compare(f"gap of {MISSED} fills filled after connecting", "s", [filled_s], PROMISE, [FILLED_S], digits=2)
    return [*figures, silence, gap]


def _lift_limits(rig: Rig) -> None:
    rig.control("limits", uid=1001, endpoint="/v5/order/create", category="linear", limit=100_000)
    rig.lift_ip_limit()


def _rest(rig: Rig, orders: int, qty: str) -> None:
    """Place buys that rest, and wait until the ledger knows that they do."""
    request = OrderRequest.model_validate(
        {
            "account": "a1",
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "order_type": "Limit",
            "qty": qty,
            "price": "59500",
        }
    )
    before = rig.truth("orders?limit=0")["count"]
    rig.control("market", symbol="BTCUSDT", price="60000")
    rig.gate.submit_many([request] * orders)
    wait_until(lambda: rig.truth("orders?limit=0")["count"] >= before + orders, "the orders rest")
    wait_until(lambda: not rig.states()["accepted"] + rig.states()["submitting"], "the ledger knows it")


def _lags_ms(rig: Rig, database: Path, seconds: int) -> list[float]:
    """Let orders fill piece by piece; return how long each execution took from the exchange to a reader."""
    fills = seconds * EVENTS_PER_S // 2
    _rest(rig, fills // FILLS_PER_ORDER, "0.005")
    known = _executions(database, 0)
    seen = _Seen(database, max(known, default=0))
    seen.start()
    trade = {"symbol": "BTCUSDT", "category": "linear", "price": "59500", "qty": PIECE}
    began = time.monotonic()
    with httpx.Client(timeout=10) as client:  # a new one for each fill would take longer than a fill may
        for number in range(fills):
            time.sleep(max(0.0, began + number * 2 / EVENTS_PER_S - time.monotonic()))
            client.post(f"{rig.simulator_url}/simulator/market", json=trade).raise_for_status()
    _check_rate(fills, time.monotonic() - began)
    wait_until(lambda: len(seen.at_ms) >= fills, "every execution is there")
    seen.stop()
    truth = rig.truth("orders?uid=1001")["list"]
    made_ms = {fill["execId"]: float(fill["execTime"]) for order in truth for fill in order["executions"]}
    return [at_ms - made_ms[exec_id] for exec_id, at_ms in seen.at_ms.items()]


def _check_rate(fills: int, took_s: float) -> None:
    """Refuse a figure whose name would promise more events than there were; a fill makes two."""
    per_s = 2 * fills / took_s
    if per_s < 0.95 * EVENTS_PER_S:
        raise RuntimeError(
            f"only {per_s:.0f} events a second came about, not {EVENTS_PER_S}: the machine is too busy"
        )


def _executions(database: Path, after: int) -> dict[int, str]:
    """Return the executions behind a row of a ledger."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as reader:
        return dict(reader.execute("SELECT rowid, exec_id FROM executions WHERE rowid > ?", (after,)).fetchall())


class _Seen:
    """Looks into a ledger all the time and notes when each new execution can be read."""

    def __init__(self, database: Path, after: int) -> None:
        self.at_ms: dict[str, float] = {}
        self._database = database
        self._after = after
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)

    def _run(self) -> None:
        reader = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        statement = "SELECT rowid, exec_id FROM executions WHERE rowid > ?"
        while not self._stopped.wait(_POLL_S):
            for row_id, exec_id in reader.execute(statement, (self._after,)).fetchall():
                self._after = max(self._after, row_id)
                self.at_ms.setdefault(exec_id, time.time() * 1000)
        reader.close()


def _silence(rig: Rig) -> tuple[float, float]:
    """Let the stream fall silent and orders fill meanwhile; return when it was noticed and the gap filled."""
    _rest(rig, MISSED, PIECE)
    before = len(rig.events("st1", "stream_gap_filled"))
    silent_at = time.time()
    rig.control("stream", action="silence", uid=1001)
    rig.control("market", symbol="BTCUSDT", category="linear", price="59000")
    filled = wait_until(lambda: rig.events("st1", "stream_gap_filled")[before:], "the gap is filled")
    ended = _moment(rig.events("st1", "stream_ended")[-1])
    return ended - silent_at, float(filled[0]["seconds"])


def _moment(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@contextmanager
def _bare_client(rig: Rig) -> Iterator[Path]:
    database = rig.home / "bare.db"
    url = rig.simulator_url.replace("http", "ws") + "/v5/private"
    command = [sys.executable, "-m", "benchmarks.bare_stream", url, str(database)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield database
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
