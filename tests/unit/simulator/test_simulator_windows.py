"""The simulator's windows admit exactly what they promise, for any sequence of requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.network import Network
from simulator.windows import FixedWindow, Peak, RollingWindow

WINDOW_NS = 1000
steps = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 5)), max_size=60)
limits = st.integers(0, 12)


def sent(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn gaps into instants."""
    now, out = 0, []
    for gap, units in gaps:
        now += gap
        out.append((now, units))
    return out


def in_window(log: list[tuple[int, int]], end: int) -> int:
    """Count the units of the window that ends at an instant, that instant included."""
    return sum(units for at, units in log if end - WINDOW_NS < at <= end)


@given(steps, limits)
def test_rolling_window_never_admits_more_than_its_limit(gaps, limit):
    """In no half-open window of the length are there more admitted units than the limit."""
    window = RollingWindow(limit, WINDOW_NS)
    admitted = [(now, window.take(now, units)) for now, units in sent(gaps)]
    assert all(in_window(admitted, end) <= limit for end, _ in admitted)


@given(steps, limits)
def test_rolling_window_refuses_only_what_does_not_fit(gaps, limit):
    """Each request gets as many units as fit, not fewer: the limiter is exact."""
    window = RollingWindow(limit, WINDOW_NS)
    admitted: list[tuple[int, int]] = []
    for now, units in sent(gaps):
        fits = limit - in_window(admitted, now)
        assert window.free(now) == fits
        admitted.append((now, window.take(now, units)))
        assert admitted[-1][1] == min(units, fits)


@given(steps, st.integers(1, 12))
def test_rolling_window_reset_is_the_first_instant_with_room(gaps, limit):
    """Just before the announced reset nothing fits, at the reset something does."""
    window = RollingWindow(limit, WINDOW_NS)
    now = 0
    for now, units in sent(gaps):
        window.take(now, units)
    wait = window.resets_in_ns(now)
    if wait:
        assert window.free(now + wait - 1) == 0
        assert window.free(now + wait) > 0
    else:
        assert window.free(now) > 0


@given(steps, limits)
def test_fixed_window_counts_whole_windows(gaps, limit):
    """Between two multiples of the window no more than the limit is admitted."""
    window = FixedWindow(limit, WINDOW_NS)
    used: dict[int, int] = {}
    for now, units in sent(gaps):
        index = now // WINDOW_NS
        used[index] = used.get(index, 0) + window.take(now, units)
    assert all(total <= limit for total in used.values())


@given(steps)
def test_peak_is_the_largest_sum_of_any_window(gaps):
    """The peak equals what a look at every window finds."""
    peak = Peak(WINDOW_NS)
    log = sent(gaps)
    for now, units in log:
        peak.add(now, units)
    assert peak.largest == max((in_window(log, end) for end, _ in log), default=0)


@given(st.floats(0, 50), st.floats(0.01, 20), st.integers())
def test_network_delays_repeat_for_a_seed_and_never_undercut(delay_ms, jitter_ms, seed):
    """The same seed gives the same trips, none shorter than the delay."""
    one, two = Network(delay_ms, jitter_ms, seed), Network(delay_ms, jitter_ms, seed)
    trips = [one.trip_s() for _ in range(20)]
    assert trips == [two.trip_s() for _ in range(20)]
    assert min(trips) * 1000 >= delay_ms
