"""Long chaos: `python -m tests.chaos --minutes 10 [--seed N]`; `make chaos` calls it.

Runs follow each other, on SQLite and PostgreSQL in turn, each with its own seed, until the time is over.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from sluicegate.ledger import schema
from tests.chaos.run import ChaosRun, Report
from tests.integration.postgres_server import PostgresServer


def main() -> int:
    """Run chaos for a while; 1 when something was lost, doubled or unexplained."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped on the way out
    give_up_at = time.monotonic() + options.minutes * 60
    failed: list[int] = []
    postgres = PostgresServer()
    try:
        postgres.start()
        for number in range(1_000_000):
            if number and time.monotonic() >= give_up_at:
                break
            uses_postgres = options.ledger == "postgresql" or (options.ledger == "both" and number % 2 == 1)
            report = _run_once(postgres if uses_postgres else None, seed + number, options)
            sys.stdout.write(f"{'postgresql' if uses_postgres else 'sqlite'}: {report}\n")
            sys.stdout.flush()
            if report.breaches or report.strange:
                failed.append(report.seed)
    finally:
        postgres.stop()
    sys.stdout.write(f"seeds that failed: {failed or 'none'}\n")
    return 1 if failed else 0


def _run_once(postgres: PostgresServer | None, seed: int, options: argparse.Namespace) -> Report:
    ledger_url = None
    if postgres is not None:
        postgres.execute(f"CREATE DATABASE chaos_{seed}")
        ledger_url = postgres.url(f"chaos_{seed}")
        schema.upgrade(ledger_url)
    folder = Path(tempfile.mkdtemp(prefix=f"sluicegate-chaos-{seed}-", dir=options.keep))
    return ChaosRun(folder, seed=seed, ledger_url=ledger_url, rate=options.rate).run(options.run_seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="start no further run after so long")
    parser.add_argument("--run-seconds", type=float, default=150, help="chaos of one run")
    parser.add_argument("--seed", type=int, help="of the first run; the next ones count up")
    parser.add_argument("--rate", type=float, default=20, help="requests of producers a second")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--keep", type=Path, help="folder for logs and ledgers (default: the system's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
