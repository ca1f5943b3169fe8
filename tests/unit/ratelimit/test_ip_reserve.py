"""New orders leave a part of the public IP's quota to cancels and queries."""

from __future__ import annotations

import pytest
from bucket_rig import HandClock

from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.orders import Category
from sluicegate.ports import LaneKind
from sluicegate.ratelimit.memory import MemoryBuckets
from sluicegate.ratelimit.quotas import IP_LIMIT, IP_RESERVE, QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas

CREATE, CANCEL = "/v5/order/create", "/v5/order/cancel"


def test_cancels_find_tokens_when_orders_have_spent_the_ip() -> None:
    """As many orders as the IP carries are asked for; those above their part are denied, cancels are not."""
    quotas = BybitQuotas(QuotaTable.load(), {}, "default")
    buckets = MemoryBuckets(HandClock(), starts_full=True)

    def place(uid: str) -> None:
        ways, beside = quotas.lanes("main", uid, {LaneKind.ALONE: CREATE}, Category.LINEAR)
        buckets.acquire_lane(ways, beside, orders=1, max_wait_s=0, lease_s=30)

    for number in range(IP_LIMIT - IP_RESERVE):
        place(f"uid{number}")
    with pytest.raises(BucketDenied):
        place("one more")
    for number in range(IP_RESERVE):
        specs = quotas.specs("main", f"uid{number}", CANCEL, Category.LINEAR)
        assert buckets.acquire(specs, max_wait_s=0, lease_s=30).wait_s == 0
    with pytest.raises(BucketDenied):  # together they never spend more than the IP has
        buckets.acquire(quotas.specs("main", "x", CANCEL, Category.LINEAR), max_wait_s=0, lease_s=30)
