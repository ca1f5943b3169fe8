"""The exchange's clock: as exact as the network allows, and right again after a step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sluicegate.bybit.clock import OffsetClock, SystemClock

NOON = datetime(2026, 7, 24, 12, tzinfo=UTC)
MICROSECOND = 2e-6
"""What rounding to datetimes may cost."""


class HostClock:
    """A host's clock that a test steps: time of day and monotonic seconds apart."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.stepped_s = 0.0

    def now(self) -> datetime:
        """Return the time of day."""
        return NOON + timedelta(seconds=self.elapsed_s + self.stepped_s)

    def monotonic(self) -> float:
        """Return seconds that never step."""
        return self.elapsed_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed_s += seconds


def ask(clock: OffsetClock, host: HostClock, offset_s: float, there_s: float, back_s: float) -> float:
    """Ask an exchange whose clock is `offset_s` ahead of true time; return the offset then in force."""
    sent_at = host.now()
    host.sleep(there_s)
    exchange_ms = (NOON.timestamp() + host.elapsed_s + offset_s) * 1000
    host.sleep(back_s)
    return clock.observe(sent_at, host.now(), exchange_ms)


delays = st.floats(min_value=0.0, max_value=3.0)
trips = st.lists(st.tuples(delays, delays), min_size=1, max_size=15)


@given(offset_s=st.floats(min_value=-5000, max_value=5000), trips=trips)
def test_offset_error_is_at_most_half_the_shortest_round_trip(
    offset_s: float, trips: list[tuple[float, float]]
) -> None:
    """However unequal the ways there and back: the best of recent measurements bounds the error."""
    host = HostClock()
    clock = OffsetClock(host)
    for there_s, back_s in trips:
        ask(clock, host, offset_s, there_s, back_s)
    shortest_s = min(there_s + back_s for there_s, back_s in trips)
    assert abs(clock.offset_s - offset_s) <= shortest_s / 2 + MICROSECOND


@given(step_s=st.floats(min_value=-4000, max_value=4000), trips=trips, after=trips)
def test_offset_after_a_step_of_the_local_clock_is_right_again(
    step_s: float, trips: list[tuple[float, float]], after: list[tuple[float, float]]
) -> None:
    """One measurement after NTP moved our clock suffices: older ones that contradict it are dropped."""
    host = HostClock()
    clock = OffsetClock(host)
    for there_s, back_s in trips:
        ask(clock, host, 0.0, there_s, back_s)
    host.stepped_s = step_s
    for there_s, back_s in after:
        ask(clock, host, 0.0, there_s, back_s)
        longest_s = max(there_s + back_s for there_s, back_s in [*trips, *after])
        assert abs(clock.offset_s + step_s) <= 1.5 * longest_s + 0.01


def test_offset_after_a_step_in_the_middle_of_a_request_heals_with_the_next() -> None:
    """A clock set back during a request spoils that measurement, not the ones after it."""
    host = HostClock()
    clock = OffsetClock(host)
    sent_at = host.now()
    host.sleep(0.1)
    host.stepped_s = -60
    clock.observe(sent_at, host.now(), (NOON.timestamp() + 0.05) * 1000)
    assert abs(ask(clock, host, 0.0, 0.05, 0.05) - 60) < 0.001


def test_offset_of_old_measurements_is_not_kept_for_ever() -> None:
    """Clocks drift: a short round trip of two minutes ago does not outweigh a fresh one."""
    host = HostClock()
    clock = OffsetClock(host)
    ask(clock, host, 1.0, 0.001, 0.001)
    host.sleep(121)
    assert abs(ask(clock, host, 1.04, 0.05, 0.05) - 1.04) < 0.001


def test_forget_keeps_the_offset_until_a_new_measurement() -> None:
    """There is no moment without an offset: the next measurement replaces it whatever it says."""
    host = HostClock()
    clock = OffsetClock(host)
    ask(clock, host, 2.0, 0.0, 0.0)
    clock.forget()
    assert abs(clock.offset_s - 2.0) < MICROSECOND
    assert abs(ask(clock, host, 2.3, 0.4, 0.4) - 2.3) < MICROSECOND


def test_adopt_counts_only_before_the_first_own_measurement() -> None:
    """Another process's offset is better than none and worse than one's own."""
    host = HostClock()
    clock = OffsetClock(host)
    clock.adopt(7.0)
    assert clock.offset_s == 7.0
    ask(clock, host, 1.0, 0.0, 0.0)
    clock.adopt(7.0)
    assert abs(clock.offset_s - 1.0) < MICROSECOND


@given(offset_s=st.floats(min_value=-100_000, max_value=100_000), ahead_s=st.integers(-10_000, 10_000))
def test_times_translate_there_and_back(offset_s: float, ahead_s: int) -> None:
    """Local time to the exchange's and back is the same instant, to the millisecond that it is counted in."""
    host = HostClock()
    clock = OffsetClock(host)
    clock.adopt(offset_s)
    local = NOON + timedelta(seconds=ahead_s)
    back = clock.to_local(clock.to_exchange_ms(local))
    assert abs((back - local).total_seconds()) <= 0.0011
    assert clock.exchange_ms() == clock.to_exchange_ms(host.now())
    assert clock.now() == host.now()


def test_system_clock_tells_utc_and_never_sleeps_backwards() -> None:
    """The host's clock: aware of its zone, monotonic, and a wait below zero is none."""
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(-5)
    clock.sleep(0.001)
    assert clock.monotonic() - before >= 0.001
    assert clock.now().tzinfo is UTC
