"""A minute of chaos on each kind of ledger: nothing lost, nothing doubled, nothing unexplained.

The seed is printed; `CHAOS_SEED` replays its schedule. `make chaos` runs for longer.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.run import ChaosRun, Report

DURATION_S = float(os.environ.get("CHAOS_SECONDS", "60"))


def assert_nothing_broken(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    """Show the run; fail with every breach."""
    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")
    assert not report.breaches, str(report)
    assert not report.strange, str(report)


def seed() -> int:
    """Return the seed of this run."""
    return int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.timeout(900)
def test_chaos_on_sqlite_loses_and_doubles_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Workers, schedulers, broker, ledger and exchange fail at random under load, on SQLite."""
    assert_nothing_broken(ChaosRun(tmp_path, seed=seed()).run(DURATION_S), capsys)


@pytest.mark.timeout(900)
def test_chaos_on_postgresql_loses_and_doubles_nothing(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same on PostgreSQL, whose connections break too."""
    assert_nothing_broken(ChaosRun(tmp_path, seed=seed(), ledger_url=postgres_url).run(DURATION_S), capsys)
