"""The valve: every request of an account passes here and pays its tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import structlog

from sluicegate.domain.errors import BucketUnavailable, ExchangeUnavailable, OrderRejected
from sluicegate.domain.orders import Category
from sluicegate.domain.outcomes import Outcome
from sluicegate.domain.records import AccountRecord
from sluicegate.ports import (
    Accounts,
    Buckets,
    BucketSpec,
    Clock,
    Grant,
    KeyInfo,
    LaneKind,
    Ledger,
    Observer,
    Quotas,
)
from sluicegate.services.passage import Crossing, Passage, is_over_limit

log = structlog.get_logger(__name__)

QUERY_API = "/v5/user/query-api"
REFUSAL_TTL_S = 1.0


class Sleepers:
    """Counts the threads that wait for a token."""

    def __init__(self) -> None:
        self.count = 0
        self._counting = threading.Lock()

    def __enter__(self) -> None:
        """Count this thread."""
        with self._counting:
            self.count += 1

    def __exit__(self, *_error: object) -> None:
        """Count it no more."""
        with self._counting:
            self.count -= 1


@dataclass(frozen=True)
class Valve:
    """Takes tokens before a request and settles them after it.

    Args:
        lease_s: tokens of a request that nobody settles come back after so long.
        most_asleep: threads that may wait for the tokens of new orders at once; the others are there for accounts
            that have tokens.
    """

    buckets: Buckets
    quotas: Quotas
    accounts: Accounts
    ledger: Ledger
    clock: Clock
    observer: Observer
    lease_s: float
    most_asleep: int = 12
    _asleep: Sleepers = field(default_factory=Sleepers)
    _uids: dict[str, str] = field(default_factory=dict)
    _refusals: dict[str, tuple[float, OrderRejected]] = field(default_factory=dict)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def open(self, account: str, path: str, category: Category | None, *, max_wait_s: float) -> Iterator[Passage]:
        """Let one request through as soon as its tokens are there.

        Args:
            account: who sends.
            path: the endpoint.
            category: of the order; None for endpoints without one.
            max_wait_s: longest sleep for the tokens.

        Raises:
            BucketDenied: not within `max_wait_s`; come back when it says.
            BucketUnavailable: send nothing.
            OrderRejected, ExchangeUnavailable: it could not be found out whose key this is.
        """
        specs = self.quotas.specs(account, self.uid(account), path, category)
        with self._pass(specs, account, path, max_wait_s=max_wait_s) as passage:
            yield passage

    @contextmanager
    def open_lane(
        self, account: str, paths: Mapping[LaneKind, str], category: Category, *, orders: int, max_wait_s: float
    ) -> Iterator[Crossing]:
        """Let new orders through the lane that grants first, as many as it has tokens for.

        Args:
            account: who sends.
            paths: the endpoint of each lane that the orders may take.
            category: of the orders.
            orders: how many wait.
            max_wait_s: longest sleep for the first token.

        Raises:
            BucketDenied, BucketUnavailable, OrderRejected, ExchangeUnavailable: as `open`.
        """
        lanes, beside = self.quotas.lanes(account, self.uid(account), paths, category)
        patience_s = max_wait_s if self._asleep.count < self.most_asleep else 0.0
        granted = self.buckets.acquire_lane(
            lanes, beside, orders=orders, max_wait_s=patience_s, lease_s=self.lease_s
        )
        with self._paid(granted.grants, account, granted.lane.path) as passages:
            yield Crossing(granted.lane, granted.orders, passages)

    @contextmanager
    def _pass(
        self, specs: Sequence[BucketSpec], account: str, path: str, *, max_wait_s: float
    ) -> Iterator[Passage]:
        grant = self.buckets.acquire(specs, max_wait_s=max_wait_s, lease_s=self.lease_s)
        with self._paid((grant,), account, path) as [passage]:
            try:
                yield passage
            except ExchangeUnavailable as e:
                passage.is_unanswered = e.is_unanswered
                raise
            except OrderRejected as e:  # a refused query; what it says of the quota counts like a command's answer
                passage.is_unanswered = False
                if e.refusal is not None:
                    passage.outcome, passage.headers = e.refusal, e.refusal.headers
                raise

    @contextmanager
    def _paid(self, grants: Sequence[Grant], account: str, path: str) -> Iterator[tuple[Passage, ...]]:
        """Wait until the tokens are there, let the requests go, and settle each.

        A request without an answer may arrive as late as the network likes. The endpoint's token comes back one
        window after the time-out all the same: too early costs a 10006. The IP's comes back by its lease, since
        there too early costs ten minutes of 403 for everybody.
        """
        wait_s = grants[0].wait_s
        ready_at_s = self.clock.monotonic() + wait_s
        self.observer.waited(wait_s)
        for grant in grants:
            for spec in grant.specs:
                self.observer.spent(spec.name, spec.cost)
        with self._asleep:
            self.clock.sleep(wait_s)
        passages = tuple(Passage(waited_s=wait_s, ready_at_s=ready_at_s) for _ in grants)
        try:
            yield passages
        finally:
            venue = self.accounts.get(account).environment
            try:
                for grant, passage in zip(grants, passages, strict=True):
                    trip = passage.trip(venue, ready_at_s)
                    certain = replace(grant, specs=grant.specs[:1]) if passage.is_unanswered else grant
                    self.buckets.settle(certain, sent=passage.is_sent, observed=passage.headers, trip=trip)
                    self._obey(grant.specs[0], passage.outcome, account)
            except BucketUnavailable as e:  # the tokens come back by their lease
                log.warning("bucket_not_settled", account=account, endpoint=path, error=str(e))

    def _obey(self, spec: BucketSpec, outcome: Outcome | None, account: str) -> None:
        """Block a bucket until the exchange's reset instant when it said "too many"."""
        if not is_over_limit(outcome):
            return
        reset_at_ms = outcome.headers.reset_at_ms
        wait_s = spec.window_s
        if reset_at_ms is not None:
            local = self.accounts.get(account).clock.to_local(reset_at_ms)
            wait_s = (local - self.clock.now()).total_seconds()
        self.buckets.block(spec, for_s=min(max(wait_s, spec.window_s), 30.0), is_refusal=True)

    def uid(self, account: str) -> str:
        """Return whose quota an account spends: asked of the exchange once, kept in the ledger.

        Raises:
            OrderRejected: the exchange refuses the key; the code says why.
            ExchangeUnavailable: no answer; nothing may be sent before it is known.
            ConfigurationError: the account is not configured here, or changed its environment.
        """
        known = self._uids.get(account)
        if known is not None:
            return known
        with self._asking:
            if account in self._uids:
                return self._uids[account]
            refused = self._refusals.get(account)
            if refused is not None and self.clock.monotonic() - refused[0] < REFUSAL_TTL_S:
                raise refused[1]  # every order that waited here would ask the same
            try:
                self._uids[account] = self._find_uid(account)
            except OrderRejected as e:
                self._refusals[account] = (self.clock.monotonic(), e)
                raise
            return self._uids[account]

    def _find_uid(self, account: str) -> str:
        configured = self.accounts.get(account)
        record = self.ledger.register_account(AccountRecord(account, configured.environment))
        if record.uid:
            return record.uid
        info = self.key_info(account)
        return self.ledger.register_account(AccountRecord(account, configured.environment, info.uid)).uid

    def key_info(self, account: str) -> KeyInfo:
        """Ask the exchange about the key of an account.

        Raises:
            BucketDenied, BucketUnavailable: not now.
            OrderRejected: the exchange refuses the key; the code says why.
            ExchangeUnavailable: no answer.
            ConfigurationError: the account is not configured here.
        """
        # its bucket is named after the account: whose it is, may be the very question
        specs = self.quotas.specs(account, f"account {account}", QUERY_API, None)
        with self._pass(specs, account, QUERY_API, max_wait_s=1.0) as passage:
            exchange = self.accounts.get(account).exchange
            passage.leave()
            info = exchange.key_info()
            passage.answered()
            return info
