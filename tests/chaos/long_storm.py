"""The long storm: `python -m tests.chaos.long_storm [--orders 10000] [--seed N]`; `make chaos` begins with it.

Ten thousand orders fill while their streams are struck; at the end ledger and exchange must be the same.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from pathlib import Path

from sluicegate.ledger import schema
from tests.chaos.followed import FollowedRun
from tests.integration.postgres_server import PostgresServer


def main() -> int:
    """Run the storm once; 1 when anything differs at the end."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped on the way out
    home = Path(tempfile.mkdtemp(prefix=f"sluicegate-streams-{seed}-", dir=options.keep))
    postgres = PostgresServer() if options.ledger == "postgresql" else None
    try:
        ledger_url = None
        if postgres is not None:
            postgres.start()
            postgres.execute("CREATE DATABASE storm")
            ledger_url = postgres.url("storm")
            schema.upgrade(ledger_url)
        report = FollowedRun(home, seed=seed, ledger_url=ledger_url).run(options.orders)
    finally:
        if postgres is not None:
            postgres.stop()
    sys.stdout.write(f"{report}\n")
    return 1 if report.breaches else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.long_storm", description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000, help="how many")
    parser.add_argument("--seed", type=int, help="of orders, market and storm")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--keep", type=Path, help="folder for logs and ledgers (default: the system's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
