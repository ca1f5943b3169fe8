"""What both kinds of bucket check before they answer."""

from __future__ import annotations

import math

import pytest

from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec
from sluicegate.ratelimit.lease import Observed, check_specs, check_times, new_nonce, ready_us, to_us


@pytest.mark.parametrize(("seconds", "micros"), [(0, 0), (0.1, 100_000), (1.0000001, 1_000_001), (5, 5_000_000)])
def test_to_us_rounds_up_and_keeps_whole_microseconds(seconds, micros):
    """A wait may only grow, but 0.1 s stays 0.1 s."""
    assert micros == to_us(seconds)


def test_ready_us_reads_what_the_lease_id_carries():
    """The instant of the lease travels in its id."""
    assert ready_us(f"1795383229406443-{new_nonce()}") == 1_795_383_229_406_443


@pytest.mark.parametrize(
    ("headers", "observed"),
    [
        (None, Observed(0, -1)),
        (RateHeaders(10, 4), Observed(10, 4)),
        (RateHeaders(10, None), Observed(10, -1)),
        (RateHeaders(10, 11), Observed(10, -1)),
        (RateHeaders(10, -1), Observed(10, -1)),
        (RateHeaders(0, 0), Observed(0, -1)),
        (RateHeaders(None, 3), Observed(0, -1)),
    ],
)
def test_observed_takes_only_headers_that_make_sense(headers, observed):
    """A limit below one, or more remaining than the limit, counts as not said."""
    assert observed == Observed.of(headers)


@pytest.mark.parametrize(
    "specs",
    [
        [],
        [BucketSpec("a", 1), BucketSpec("a", 1)],
        [BucketSpec("a", 0)],
        [BucketSpec("a", 1, cost=0)],
        [BucketSpec("a", 1, window_s=0)],
    ],
)
def test_check_specs_of_nonsense_raises(specs):
    """A caller's mistake is no denial."""
    with pytest.raises(ValueError, match="bucket"):
        check_specs(specs)


@pytest.mark.parametrize(("max_wait_s", "lease_s"), [(-1, 1), (math.inf, 1), (math.nan, 1), (0, 0), (0, math.inf)])
def test_check_times_of_nonsense_raises(max_wait_s, lease_s):
    """A wait is 0 or more, a lease above 0, both finite."""
    with pytest.raises(ValueError, match="_s must be"):
        check_times(max_wait_s, lease_s)
