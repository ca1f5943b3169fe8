"""The count of the benchmarks: whole windows, whatever the bursts and wherever the sample begins."""

from __future__ import annotations

import pytest

from benchmarks.figures import share_of_quota

LIMIT = 10


@pytest.mark.parametrize("first", [0, 1, 9])
@pytest.mark.parametrize("burst", [1, 2, 5, 10])
@pytest.mark.parametrize("spare", [0, 1, 9])
def test_whole_quota_counts_as_one_wherever_the_sample_begins_and_ends(first: int, burst: int, spare: int) -> None:
    """Counting `n - 1` orders over the sample's own length would be off by up to 5 % here."""
    instants = [
        float(number // burst * burst * 1000 // LIMIT) for number in range(first, first + 20 * LIMIT + 1 + spare)
    ]
    assert pytest.approx(1.0) == share_of_quota(instants, LIMIT)


def test_slower_by_a_tenth_counts_nine_tenths_and_the_order_of_the_sample_does_not_matter() -> None:
    """A second and a ninth for each ten."""
    instants = [number * 1000 / 9 for number in range(90, -1, -1)]
    assert pytest.approx(0.9) == share_of_quota(instants, LIMIT)


@pytest.mark.parametrize("many", [0, 1, LIMIT])
def test_less_than_a_window_counts_nothing(many: int) -> None:
    """Nobody can tell a pace from it."""
    assert share_of_quota([float(number) for number in range(many)], LIMIT) == 0
