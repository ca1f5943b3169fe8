"""A minute of chaos on each kind of ledger: nothing lost, nothing doubled, nothing unexplained, nothing let out.

The seed is printed; `CHAOS_SEED` replays its schedule. `make chaos` runs for longer.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.run import ChaosRun
from tests.integration.postgres_server import PostgresServer

DURATION_S = float(os.environ.get("CHAOS_SECONDS", "60"))


def assert_nothing_broken(run: ChaosRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Do the run, show it, and fail with whatever was found."""
    with capsys.disabled():
        sys.stdout.write(f"\nchaos begins, seed {run.report.seed}\n")
        sys.stdout.flush()
        report = run.run(DURATION_S)
        sys.stdout.write(f"{report}\n")
    assert report.is_clean, str(report)
    assert report.orders >= 50
    assert report.executions > 0
    assert report.faults.total() >= 5, "hardly anything was struck"
    assert report.exchange_faults.total() > 0, "the exchange answered everything as it should"


def seed() -> int:
    """Return the seed of this run."""
    return int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.timeout(900)
def test_chaos_on_sqlite_loses_and_doubles_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Workers, schedulers, broker, ledger and exchange fail at random under load, on SQLite."""
    assert_nothing_broken(ChaosRun(tmp_path, seed=seed()), capsys)


@pytest.mark.timeout(900)
def test_chaos_on_postgresql_loses_and_doubles_nothing(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same on PostgreSQL, which is killed, too, and whose connections break."""
    assert_nothing_broken(ChaosRun(tmp_path, seed=seed(), postgres=postgres), capsys)
