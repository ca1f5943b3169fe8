"""A connection is judged by what it brings, and waits between tries stay within their bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.pace import Beat, Pulse, Watchdog, full_jitter

BEAT = Beat(ping_s=20, pong_s=5)


def follow(dog: Watchdog, until: float, *, answers: bool, data_every_s: float = 0.0) -> tuple[Pulse, float]:
    """Live through quarters of a second until the watchdog calls the connection dead, or `until`."""
    now = 0.0
    while now < until:
        now += 0.25
        if data_every_s and now % data_every_s == 0:
            dog.heard(now, is_pong=False)
        pulse = dog.pulse(now)
        if pulse is Pulse.PING:
            dog.pinged(now)
            if answers:
                dog.heard(now, is_pong=True)
        elif pulse is not Pulse.GOOD:
            return pulse, now
    return Pulse.GOOD, now


def test_silent_connection_is_noticed_within_30_seconds() -> None:
    """Nothing comes, not even a pong: dead one ping and one patience after the last word."""
    pulse, at = follow(Watchdog.start(BEAT, 0.0), 100, answers=False)
    assert (Pulse.SILENT, True) == (pulse, 20 < at <= 25.5)


def test_quiet_market_with_pongs_is_no_silence() -> None:
    """No data for an hour is nothing to worry about while pongs come."""
    assert Pulse.GOOD is follow(Watchdog.start(BEAT, 0.0), 3600, answers=True)[0]


def test_data_without_pongs_is_given_up_after_three_pings() -> None:
    """Data alone proves that we hear, not that we are heard."""
    pulse, at = follow(Watchdog.start(BEAT, 0.0), 200, answers=False, data_every_s=1.0)
    assert (Pulse.PONGLESS, True) == (pulse, 65 <= at <= 66)


@given(tries=st.integers(0, 10_000), share=st.floats(0, 1), base_s=st.floats(0.01, 10), cap_s=st.floats(0.01, 100))
def test_full_jitter_lies_between_nothing_and_the_cap(
    tries: int, share: float, base_s: float, cap_s: float
) -> None:
    """However many tries failed, the wait has a bound, and grows to it."""
    wait_s = full_jitter(tries, base_s=base_s, cap_s=cap_s, rng=lambda: share)
    assert 0 <= wait_s <= cap_s
    assert full_jitter(50, base_s=base_s, cap_s=cap_s, rng=lambda: 1.0) == min(cap_s, base_s * 2.0**30)
