"""Pace: how many orders of a line may be handed to the workers now.

The ledger is where orders wait, and the scheduler hands out of each line what its quota carries: so one account's
backlog fills neither the broker nor the workers, an order that is handed out finds a token, and the rest is not
looked at. A little more than the quota is handed out, so that no token waits for an order; who finds none goes
back to the head of its line. docs/adr/0014-lines.md has the alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from sluicegate.domain.batches import Line
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

    def room(self, line: Line) -> int:
        """Return how many orders of a line may be handed out now."""
        now_s, rate = self.clock.monotonic(), self._rate(line)
        most = rate * (1 + AHEAD_S)
        credit, at_s = self._credits.get(line, (most, now_s))
        credit = min(most, credit + rate * SURPLUS * (now_s - at_s))
        self._credits[line] = credit, now_s
        return math.floor(credit)

    def handed_out(self, line: Line, orders: int) -> None:
        """Take note that so many were."""
        credit, at_s = self._credits[line]
        self._credits[line] = credit - orders, at_s

    def _rate(self, line: Line) -> float:
        """Return how many orders of a line may be sent in a second; 0 while the exchange has blocked its lanes.

        The IP's quota counts requests, of which one may carry many orders, so it does not say how many.
        """
        account, category = line
        paths = {LaneKind.ALONE: CREATE}
        if self.are_batches_on:
            paths[LaneKind.TOGETHER] = CREATE_BATCH
        try:
            self._learn()
            lanes, beside = self.quotas.lanes(account, self._uids[account], paths, category)
        except (KeyError, SluicegateError):
            return UNKNOWN_RATE
        if any(self._is_blocked(spec) for spec in beside):
            return 0.0
        rate = 0.0
        for lane in lanes:
            known = self._states.get(lane.spec.name)
            limit = lane.spec.limit if known is None else known.limit
            rate += 0.0 if self._is_blocked(lane.spec) else limit / lane.spec.window_s
        return rate

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
