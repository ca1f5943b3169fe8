"""Streams in a storm: every execution in the ledger exactly once, every figure the exchange's.

The seed is printed; `CHAOS_SEED` replays it. `python -m tests.chaos.long_storm` runs for longer.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.followed import FollowedRun, Report

ORDERS = int(os.environ.get("FOLLOWED_ORDERS", "500"))


@pytest.mark.timeout(900)
def test_streams_in_a_storm_lead_to_the_ledger_of_the_exchange(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silenced, closed, refused, events lost, doubled, late: quantities, fees and averages are the exchange's."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    report = FollowedRun(tmp_path, seed=seed, rate=40).run(ORDERS)
    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")
    assert not report.breaches, str(report)
    assert_was_a_storm(report)


def assert_was_a_storm(report: Report) -> None:
    """A run in which nothing was struck, or no stream wrote anything, proves nothing."""
    assert report.orders >= ORDERS
    assert report.executions >= report.orders / 2
    assert report.struck, "no stream was struck"
    for name in ("events_sent", "events_lost", "events_duplicated", "events_reordered"):
        assert report.counted[name], f"nothing counted as {name}"
    assert report.by_stream, "no stream wrote anything"
