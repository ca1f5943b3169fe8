"""The signing window, to the millisecond."""

from __future__ import annotations

import pytest

from simulator.gates import check_time
from simulator.wire import Refusal

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("offset_ms", "window"),
    [(-5000, "5000"), (-5000, ""), (0, "5000"), (999, "5000"), (999, "1"), (-20_000, "20000")],
)
def test_time_window_lets_its_bounds_in(offset_ms: int, window: str):
    """The lower bound is inclusive; 999 ms ahead is the latest that passes."""
    check_time(NOW_MS, str(NOW_MS + offset_ms), window)


@pytest.mark.parametrize(
    ("stamp", "window"),
    [
        (str(NOW_MS - 5001), "5000"),
        (str(NOW_MS - 5001), ""),
        (str(NOW_MS + 1000), "5000"),
        (str(NOW_MS + 1000), "60000"),
        (str(NOW_MS // 1000), "5000"),
        ("now", "5000"),
        (str(NOW_MS), "wide"),
    ],
)
def test_time_window_refuses_what_is_outside(stamp: str, window: str):
    """One millisecond too old, a whole second ahead, or no number: 10002."""
    with pytest.raises(Refusal) as refused:
        check_time(NOW_MS, stamp, window)
    assert refused.value.ret_code == 10002
