"""Long chaos: `python -m tests.chaos --minutes 10 [--seed N]`; `make chaos` calls it.

Runs follow each other, each with its own seed, even ones on SQLite and odd ones on PostgreSQL, until the time is
over or, with `--runs`, so many are done: `python -m tests.chaos --runs 30 --orders 2000 --report results.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from sluicegate.telemetry.logs import configure_logs
from tests.chaos.run import ChaosRun, Report
from tests.integration.postgres_server import PostgresServer

LEAST_FAULTS = 20
ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run chaos; 1 when something was lost, doubled, unexplained, leaked or strange, or too little was done."""
    options = _parser().parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped on the way out
    configure_logs("ERROR", "json", process="chaos")
    results: list[dict[str, Any]] = []
    postgres = PostgresServer()
    try:
        postgres.start()
        for seed in _seeds(first, options):
            uses_postgres = options.ledger == "postgresql" or (options.ledger == "both" and seed % 2 == 1)
            report = _run_once(postgres if uses_postgres else None, seed, options)
            sys.stdout.write(f"{report}\n")
            sys.stdout.flush()
            results.append(_result(report, options))
            if options.report is not None:
                _keep(results[-1], options.report)
    finally:
        postgres.stop()
    return _sum_up(results)


def _seeds(first: int, options: argparse.Namespace) -> Iterator[int]:
    """Yield a seed a run, until there are enough runs or the time is over."""
    give_up_at = time.monotonic() + options.minutes * 60
    number = 0
    while number < options.runs if options.runs else number == 0 or time.monotonic() < give_up_at:
        yield first + number
        number += 1


def _run_once(postgres: PostgresServer | None, seed: int, options: argparse.Namespace) -> Report:
    folder = Path(tempfile.mkdtemp(prefix=f"sluicegate-chaos-{seed}-", dir=options.keep))
    run = ChaosRun(
        folder,
        seed=seed,
        postgres=postgres,
        rate=options.rate,
        every_s=options.every_s,
        producers=options.producers,
    )
    return run.run(options.run_seconds, orders=options.orders)


def _result(report: Report, options: argparse.Namespace) -> dict[str, Any]:
    least_faults = LEAST_FAULTS if options.orders else 0  # a busy machine lets fewer fall within a fixed time
    is_enough = report.orders >= options.orders and report.faults.total() >= least_faults
    told: dict[str, Any] = {}
    for name in (item.name for item in fields(report)):
        value = getattr(report, name)
        told[name] = [str(breach) for breach in value] if name == "breaches" else value
    return {"commit": _commit(), **told, "verdict": {**report.verdict, "ok": report.is_clean and is_enough}}


def _commit() -> str:
    """Return the commit that is checked out, marked when files differ from it; empty outside of Git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _keep(result: dict[str, Any], path: Path) -> None:
    """Add a result to those that the file holds."""
    before = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*before, result], indent=1) + "\n")


def _sum_up(results: list[dict[str, Any]]) -> int:
    failed = [result["seed"] for result in results if not result["verdict"]["ok"]]
    orders = sum(result["orders"] for result in results)
    faults = sum(sum(result["faults"].values()) for result in results)
    sys.stdout.write(
        f"{len(results)} runs, {orders} orders, {faults} faults; seeds that failed: {failed or 'none'}\n"
    )
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="start no further run after so long")
    parser.add_argument("--runs", type=int, default=0, help="do so many runs, however long they take")
    parser.add_argument("--run-seconds", type=float, default=110, help="least chaos of one run")
    parser.add_argument(
        "--orders", type=int, default=0, help="least orders of one run: it goes on until they are in"
    )
    parser.add_argument("--seed", type=int, help="of the first run; the next ones count up")
    parser.add_argument("--rate", type=float, default=30, help="requests of producers a second")
    parser.add_argument("--producers", type=int, default=12, help="how many producers make this rate")
    parser.add_argument("--every-s", type=float, default=2.5, help="mean time between two faults, seconds")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--report", type=Path, help="JSON file that each run is added to")
    parser.add_argument("--keep", type=Path, help="folder for logs and ledgers (default: the system's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
