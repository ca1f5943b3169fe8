"""The IP limit and the precedence of UID limits, on a clock of the test's own."""

from __future__ import annotations

from simulator.limits import SECOND_NS, Bucket, IpLimit, UidLimits

CREATE = "/v5/order/create"


def test_ip_limit_counts_a_rolling_window():
    """Requests that have left the window make room; each address has its own."""
    ip = IpLimit(limit=2, window_s=5, ban_s=600)
    assert [ip.admits("a", now * SECOND_NS) for now in (0, 3, 5, 8)] == [True] * 4
    assert ip.admits("b", 8 * SECOND_NS)
    assert not ip.admits("a", 9 * SECOND_NS)


def test_ip_limit_ban_ends_after_its_time_without_traffic():
    """Nothing passes during the ban; once it is over the address starts afresh."""
    ip = IpLimit(limit=1, window_s=5, ban_s=600)
    assert [ip.admits("a", 0), ip.admits("a", 1)] == [True, False]
    assert ip.admits("a", 1 + 600 * SECOND_NS)


def test_ip_limit_traffic_during_the_ban_prolongs_it():
    """Each request in the ban starts its time anew."""
    ip = IpLimit(limit=1, window_s=5, ban_s=600)
    ip.admits("a", 0)
    assert not ip.admits("a", 1)
    assert not ip.admits("a", 500 * SECOND_NS)
    assert not ip.admits("a", 1099 * SECOND_NS)
    assert ip.admits("a", 1700 * SECOND_NS)


def test_ip_limit_switched_off_still_counts():
    """Without a limit everything passes, and the statistics go on."""
    ip = IpLimit(limit=None)
    assert all(ip.admits("a", now) for now in range(2000))
    assert ip.report(0)["a"]["max_per_5_seconds"] == 2000


def test_uid_limit_the_most_specific_override_wins():
    """Account and line beat account, account beats line, line beats everyone; null goes back."""
    limits = UidLimits()
    bucket = Bucket(1001, CREATE, "linear")
    assert limits.limit_of(bucket) == 10
    for uid, line, limit in ((None, None, 11), (None, "linear", 12), (1001, None, 13), (1001, "linear", 14)):
        limits.override(uid, CREATE, line, limit)
        assert limits.limit_of(bucket) == limit
    limits.override(1001, CREATE, "linear", None)
    assert limits.limit_of(bucket) == 13
    assert limits.limit_of(Bucket(1002, CREATE, "spot")) == 11


def test_uid_limit_change_applies_to_a_window_in_use():
    """A lower limit holds at once for what the window has already admitted."""
    limits = UidLimits()
    bucket = Bucket(1001, CREATE, "linear")
    assert limits.admit(bucket, 0, 5).remaining == 5
    limits.override(1001, CREATE, "linear", 4)
    assert limits.admit(bucket, 1, 1) == (0, 4, 0, SECOND_NS - 1)
