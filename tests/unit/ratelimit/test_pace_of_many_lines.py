"""Many accounts behind one public IP: what is handed out finds a token, and none gets more than its part."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from bucket_rig import World

from sluicegate.domain.batches import MOST
from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.orders import Category
from sluicegate.ports import LaneKind
from sluicegate.ratelimit.memory import MemoryBuckets
from sluicegate.ratelimit.quotas import IP_LIMIT, IP_RESERVE, IP_WINDOW_S, QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas
from sluicegate.services.lanes import CREATE, CREATE_BATCH
from sluicegate.services.pace import Pace

SECONDS = 10
ROUND_S = 0.25
ROUND_TRIP_S = 0.04
MAX_WAIT_S = 0.5
CARRIED = (IP_LIMIT - IP_RESERVE) / IP_WINDOW_S


class Firm:
    """Accounts with an endless backlog each: a scheduler hands out, workers send or bring back."""

    def __init__(self, accounts: int, *, are_batches_on: bool, category: Category = Category.LINEAR) -> None:
        self.category = category
        self.names = [f"account{number}" for number in range(accounts)]
        self.world = World()
        self.buckets = MemoryBuckets(self.world.clock, starts_full=True)
        self.quotas = BybitQuotas(QuotaTable.load(), {}, "default")
        self.paths = {LaneKind.ALONE: CREATE} | ({LaneKind.TOGETHER: CREATE_BATCH} if are_batches_on else {})
        ledger: Any = SimpleNamespace(accounts=lambda: [SimpleNamespace(name=one, uid=one) for one in self.names])
        self.pace = Pace(ledger, self.quotas, self.buckets, self.world.clock, are_batches_on)
        self.handed_out: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def run(self) -> None:
        """Play all rounds."""
        for number in range(round(SECONDS / ROUND_S)):
            self.world.after(number * ROUND_S, self._release)
        self.world.run()

    def _release(self) -> None:
        lines = [(name, self.category) for name in self.names]
        shares = self.pace.share(lines)
        for line in lines:
            room = self.pace.room(line, shares)
            self.pace.handed_out(line, room)
            self.handed_out[line[0]] += room
            until = self.world.clock.monotonic() + MAX_WAIT_S
            for first in range(0, room, MOST[self.category]):
                self._execute(line[0], min(room - first, MOST[self.category]), until)

    def _execute(self, name: str, orders: int, until: float) -> None:
        """Send what gets a token in time, as `Executor` does; the rest is back in its line."""
        lanes, beside = self.quotas.lanes(name, name, self.paths, self.category)
        patience_s = max(0.0, until - self.world.clock.monotonic())
        try:
            granted = self.buckets.acquire_lane(lanes, beside, orders=orders, max_wait_s=patience_s, lease_s=30)
        except BucketDenied:
            return
        self.sent[name] += granted.orders

        def answer() -> None:
            for grant in granted.grants:
                self.buckets.settle(grant, sent=True)
            if granted.orders < orders:
                self._execute(name, orders - granted.orders, until)

        self.world.after(granted.grants[0].wait_s + ROUND_TRIP_S, answer)


@pytest.mark.parametrize(
    ("accounts", "are_batches_on", "least"),
    [
        (4, True, 4 * 18),
        (20, True, 1.7 * CARRIED),
        (40, True, 1.7 * CARRIED),
        (100, True, 1.7 * CARRIED),
        (20, False, 0.95 * CARRIED),
    ],
)
def test_accounts_that_share_an_ip_are_handed_out_what_it_carries(accounts, are_batches_on, least):
    """Twenty accounts could send 400 orders a second, their IP carries 108 requests: few orders come back.

    Without batches as many orders go out as the IP carries; with them almost twice as many and more. With four
    accounts the IP is not short, and each uses both of its lanes.
    """
    firm = Firm(accounts, are_batches_on=are_batches_on)
    firm.run()
    assert firm.handed_out.total() <= 1.35 * firm.sent.total()
    assert firm.sent.total() >= least * SECONDS
    assert min(firm.sent.values()) >= 0.7 * max(firm.sent.values())
    assert len(firm.sent) == accounts


def test_two_rounds_at_once_do_not_meet():
    """A scheduler's threads may do rounds at the same time, each over the lines that it found."""
    firm = Firm(2, are_batches_on=True)
    one, other = ((name, Category.LINEAR) for name in firm.names)
    shares, _others = firm.pace.share([one]), firm.pace.share([other])
    assert firm.pace.room(one, shares) > 0


def test_line_of_options_is_handed_out_by_the_batch():
    """A batch of options costs one token, whatever it carries: ten of twenty a second, not twenty orders."""
    firm = Firm(1, are_batches_on=True, category=Category.OPTION)
    firm.run()
    assert firm.sent.total() >= 180 * SECONDS
    assert firm.handed_out.total() <= 1.35 * firm.sent.total()
