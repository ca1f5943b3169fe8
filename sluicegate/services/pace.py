"""Pace: how many orders of a line may be handed to the workers now.

The ledger is where orders wait, and the scheduler hands out of each line what its quota carries: so one account's
backlog fills neither the broker nor the workers, an order that is handed out finds a token, and the rest is not
looked at. A little more than the quota is handed out, so that no token waits for an order; who finds none goes
back to the head of its line. Lines that together could send more than the public IP carries get an equal part of
their quota each. docs/adr/0014-lines.md has the alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from sluicegate.domain.batches import MOST, Line
from sluicegate.domain.errors import BucketUnavailable, SluicegateError
from sluicegate.ports import Buckets, BucketSpec, BucketState, Clock, LaneKind, Ledger, Quotas
from sluicegate.services.lanes import CREATE, CREATE_BATCH

log = structlog.get_logger(__name__)

AHEAD_S = 0.5
"""So many seconds of quota may be in the workers' hands besides what has a token: they wait so long for one."""

SURPLUS = 1.1
"""How much faster than the quota orders are handed out."""

UNKNOWN_RATE = 20.0
"""Orders per second of a line whose quota is not known, e.g. while nobody knows the UID: two lanes of ten."""

LEARN_AGAIN_S = 1.0


class Quota(NamedTuple):
    """What a line may send in a second.

    Attributes:
        orders: through its lanes, were it alone.
        requests: that these orders need when batches are full.
        carried: requests with new orders that its public IP carries.
    """

    orders: float
    requests: float
    carried: float = math.inf


@dataclass(frozen=True, slots=True)
class Shares:
    """What lines get of their public IP.

    Attributes:
        quotas: what each may send, were it alone.
        part: of it, that the IP carries.
    """

    quotas: Mapping[Line, Quota]
    part: float = 1.0


@dataclass
class Pace:
    """Keeps a credit for each line, in this process: two schedulers may hand out twice as much for a while.

    Args:
        are_batches_on: both lanes count.
    """

    ledger: Ledger
    quotas: Quotas
    buckets: Buckets
    clock: Clock
    are_batches_on: bool = True
    _credits: dict[Line, tuple[float, float]] = field(default_factory=dict)
    _uids: dict[str, str] = field(default_factory=dict)
    _states: Mapping[str, BucketState] = field(default_factory=dict)
    _learned_at_s: float = -math.inf

    def share(self, lines: Sequence[Line]) -> Shares:
        """Share the public IP among the lines that have orders now."""
        quotas = {line: self._quota(line) for line in lines}
        needed = sum(quota.requests for quota in quotas.values())
        carried = min((quota.carried for quota in quotas.values()), default=math.inf)
        return Shares(quotas, min(1.0, carried / needed) if needed else 1.0)

    def room(self, line: Line, shares: Shares) -> int:
        """Return how many orders of a line, one of those that share, may be handed out now.

        While the IP is short, these are a second's worth, and enough to travel as many a request as was counted
        with, or none.
        """
        now_s, quota = self.clock.monotonic(), shares.quotas[line]
        rate = shares.part * quota.orders
        least = max(rate, math.ceil(quota.orders / quota.requests)) if shares.part < 1 and quota.requests else 0.0
        most = max(rate * (1 + AHEAD_S), least)
        credit, at_s = self._credits.get(line, (most, now_s))
        credit = min(most, credit + rate * SURPLUS * (now_s - at_s))
        self._credits[line] = credit, now_s
        return math.floor(credit) if credit >= least else 0

    def handed_out(self, line: Line, orders: int) -> None:
        """Take note that so many were."""
        credit, at_s = self._credits[line]
        self._credits[line] = credit - orders, at_s

    def _quota(self, line: Line) -> Quota:
        """Return what a line may send; nothing while the exchange has blocked its lanes."""
        account, category = line
        paths = {LaneKind.ALONE: CREATE}
        if self.are_batches_on:
            paths[LaneKind.TOGETHER] = CREATE_BATCH
        try:
            self._learn()
            lanes, beside = self.quotas.lanes(account, self._uids[account], paths, category)
        except (KeyError, SluicegateError):
            return Quota(UNKNOWN_RATE, UNKNOWN_RATE / 2)
        if any(self._is_blocked(spec) for spec in beside):
            return Quota(0.0, 0.0)
        orders = requests = 0.0
        for lane in lanes:
            known = self._states.get(lane.spec.name)
            limit = lane.spec.limit if known is None else known.limit
            rate = 0.0 if self._is_blocked(lane.spec) else limit / lane.spec.window_s
            company = MOST[category] if lane.kind is LaneKind.TOGETHER else 1
            orders += (
                rate if lane.step else rate * company
            )  # options: a batch costs one token, whatever it carries
            requests += rate / company if lane.step else rate
        return Quota(orders, requests, min(spec.limit / spec.window_s for spec in beside))

    def _is_blocked(self, spec: BucketSpec) -> bool:
        known = self._states.get(spec.name)
        return known is not None and known.blocked_for_s > AHEAD_S

    def _learn(self) -> None:
        """Read the accounts' UIDs and what the exchange told about their limits, now and then."""
        now_s = self.clock.monotonic()
        if now_s < self._learned_at_s + LEARN_AGAIN_S:
            return
        self._learned_at_s = now_s
        self._uids = {record.name: record.uid for record in self.ledger.accounts() if record.uid}
        try:
            self._states = {state.name: state for state in self.buckets.states()}
        except BucketUnavailable as e:  # nobody gets a token now; what is handed out comes back
            log.warning("bucket_unavailable", error=str(e), then="paced by the documented limits")
