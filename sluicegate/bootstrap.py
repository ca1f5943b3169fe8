"""The only place that builds the object graph of a process."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from sluicegate.bybit.clock import SystemClock
from sluicegate.bybit.codebook import BybitCodeBook
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.config import Settings
from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.repository import SqlLedger
from sluicegate.ratelimit.quotas import QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas
from sluicegate.services.agenda import Agenda, Looks
from sluicegate.services.backfill import Backfill
from sluicegate.services.changes import Changes
from sluicegate.services.conclude import Concluder
from sluicegate.services.dead_letters import DeadLetters
from sluicegate.services.execute import Executor
from sluicegate.services.fills import FillSeeker
from sluicegate.services.follow import Follower
from sluicegate.services.gates import Gates
from sluicegate.services.glance import Glance
from sluicegate.services.halts import Halts
from sluicegate.services.health import StreamHealth
from sluicegate.services.intake import Intake
from sluicegate.services.lanes import Lanes
from sluicegate.services.lookout import Lookout
from sluicegate.services.pace import Pace
from sluicegate.services.pages import Pages
from sluicegate.services.passage import HOLDS_S
from sluicegate.services.perform import Performer
from sluicegate.services.positions import Positions
from sluicegate.services.reconcile import Reconciler
from sluicegate.services.record import Recorder
from sluicegate.services.release import Releaser
from sluicegate.services.resolve import Resolver
from sluicegate.services.review import Review
from sluicegate.services.settle import Settler
from sluicegate.services.submit import Submitter
from sluicegate.services.unpark import Unparker
from sluicegate.services.valve import Valve
from sluicegate.services.witness import Witness
from sluicegate.telemetry.metrics import Metrics

# pybit, Celery, redis and apprise are loaded by the processes that use them: two fifths of the start-up
if TYPE_CHECKING:
    import redis

    from sluicegate.bybit.accounts import BybitAccounts
    from sluicegate.leases import ConnectionBudget, Nudges, StreamLeases
    from sluicegate.messages import CeleryPublisher
    from sluicegate.ratelimit.bucket import RedisBuckets

FLUSH_AFTER_S = 0.003
"""Settlements of so many seconds share a round trip."""

OUR_CODES = frozenset(
    {
        *("claim_lapsed", "ip_quota_spent", "never_signed", "proved_absent", "quota", "configuration"),
        *("bucket_unavailable", "exchange_unavailable"),
    }
)
"""Conditions and reasons of ours that the retCode table does not hold."""


def process_name(role: str) -> str:
    """Return the name of this process in logs and events: `worker@host:4711`."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


@dataclass
class Container:
    """The objects of one process, each built when it is first needed.

    Args:
        settings: read once.
        role: what the process is: `worker`, `scheduler`, `stream`, `producer`.
    """

    settings: Settings
    role: str

    def prepare(self) -> None:
        """Build everything that a worker's threads share, before there are threads; wrong settings end here.

        Raises:
            ConfigurationError: a setting is missing or wrong, or migrations are missing.
            LedgerUnavailable: the database does not answer.
        """
        _ = self.ledger, self.quotas, self.buckets, self.publisher, self.accounts
        _ = (
            self.executor,
            self.resolver,
            self.changes,
            self.follower,
            self.releaser,
            self.submitter,
            self.pages,
            self.review,
        )

    def close(self) -> None:
        """Close the connections that were opened."""
        if "buckets" in self.__dict__:
            self.buckets.close()
        if "engine" in self.__dict__:
            self.engine.dispose()
        if "publisher" in self.__dict__:
            self.publisher.close()
        if "redis" in self.__dict__:
            self.redis.close()

    # --- adapters ---------------------------------------------------------------------------------------------

    @cached_property
    def clock(self) -> SystemClock:
        """Return the local clock."""
        return SystemClock()

    @cached_property
    def metrics(self) -> Metrics:
        """Return the metrics of this process."""
        return Metrics(known_codes={row.code for row in self.codes.all()} | OUR_CODES)

    @cached_property
    def engine(self) -> Engine:
        """Return the connections to the ledger's database."""
        return create_ledger_engine(self.settings.ledger_address)

    @cached_property
    def ledger(self) -> SqlLedger:
        """Return the ledger, checked to be at the schema that this version needs.

        Raises:
            ConfigurationError: migrations are missing.
            LedgerUnavailable: the database does not answer.
        """
        address = self.settings.ledger_address
        if address.startswith("sqlite"):
            schema.upgrade(address)  # the embedded ledger has no operator who would
        else:
            schema.check(address)
        return SqlLedger(self.engine, self.clock, actor=process_name(self.role))

    @cached_property
    def redis(self) -> redis.Redis:
        """Return the Redis of the buckets and caches: it fails fast and never repeats a command."""
        import redis

        return redis.Redis.from_url(
            self.settings.broker_address,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            health_check_interval=15,
            decode_responses=True,
        )

    @cached_property
    def buckets(self) -> RedisBuckets:
        """Return the token buckets."""
        from sluicegate.ratelimit.bucket import RedisBuckets

        return RedisBuckets(
            self.redis, margin_s=self.settings.exchange.arrival_margin_ms / 1000, flush_after_s=FLUSH_AFTER_S
        )

    @cached_property
    def quotas(self) -> BybitQuotas:
        """Return Bybit's limits."""
        return BybitQuotas(QuotaTable.load(), self.settings.accounts, self.settings.egress)

    @cached_property
    def codes(self) -> RetCodeTable:
        """Return the retCode table."""
        return RetCodeTable.load()

    @cached_property
    def codebook(self) -> BybitCodeBook:
        """Return the retCode table for services."""
        return BybitCodeBook(self.codes)

    @cached_property
    def accounts(self) -> BybitAccounts:
        """Return the configured accounts."""
        from sluicegate.bybit.accounts import BybitAccounts

        return BybitAccounts(
            self.settings,
            self.codes,
            self.clock,
            self.redis,
            self.buckets,
            self.quotas.egress(),
            self.metrics,
            self.metrics.watch_clock,
        )

    @cached_property
    def publisher(self) -> CeleryPublisher:
        """Return the way to Celery."""
        from sluicegate.messages import CeleryPublisher, create_app

        return CeleryPublisher(create_app(self.settings), self.redis)

    @cached_property
    def stream_leases(self) -> StreamLeases:
        """Return which process follows which account."""
        from sluicegate.leases import StreamLeases

        holder = f"{process_name(self.role)}:{secrets.token_hex(4)}"  # containers may share a host's name and pids
        return StreamLeases(self.redis, holder, self.settings.stream.lease_s)

    @cached_property
    def connection_budget(self) -> ConnectionBudget:
        """Return how often this IP may open connections."""
        from sluicegate.leases import ConnectionBudget

        return ConnectionBudget(self.redis, self.settings.egress, self.settings.stream.connects_per_5_minutes)

    @cached_property
    def nudges(self) -> Nudges:
        """Return how followers of orders hear that there is something new."""
        from sluicegate.leases import Nudges

        return Nudges(self.redis)

    # --- services ---------------------------------------------------------------------------------------------

    @cached_property
    def valve(self) -> Valve:
        """Return what takes and settles tokens."""
        exchange = self.settings.exchange
        lease_s = HOLDS_S + exchange.lease_s + exchange.read_timeout_s + exchange.connect_timeout_s
        return Valve(
            self.buckets,
            self.quotas,
            self.accounts,
            self.ledger,
            self.clock,
            self.metrics,
            lease_s=lease_s,
            most_asleep=max(1, self.settings.worker.concurrency * 3 // 4),
        )

    @cached_property
    def halts(self) -> Halts:
        """Return who may not send."""
        return Halts(
            self.ledger,
            self.buckets,
            self.quotas,
            self.codebook,
            self.clock,
            egress=self.settings.egress,
            breaker=self.settings.breaker.to_breaker(),
            forget_key=self.accounts.forget_key,
        )

    @cached_property
    def performer(self) -> Performer:
        """Return what writes decisions down."""
        return Performer(
            self.ledger, self.accounts, self.halts, self.clock, self.metrics, self.settings.retry.to_backoff()
        )

    @cached_property
    def executor(self) -> Executor:
        """Return what sends orders."""
        return Executor(
            self.ledger,
            self.accounts,
            self.valve,
            Lanes(are_batches_on=self.settings.exchange.batches),
            self.gates,
            self.halts,
            self.performer,
            self.clock,
            self.metrics,
            max_wait_s=self.settings.worker.max_wait_s,
            lease_s=self.settings.exchange.lease_s,
        )

    @cached_property
    def lookout(self) -> Lookout:
        """Return what asks the exchange about orders."""
        return Lookout(self.valve, self.clock)

    @cached_property
    def agenda(self) -> Agenda:
        """Return what plans looks."""
        looks = Looks(streamed_s=self.settings.stream.look_s)
        return Agenda(self.ledger, self.accounts, self.clock, looks, StreamHealth(self.ledger, self.clock).is_up)

    @cached_property
    def recorder(self) -> Recorder:
        """Return what writes down what the exchange shows."""
        return Recorder(self.ledger, self.lookout, self.agenda, self.clock, self.metrics)

    @cached_property
    def resolver(self) -> Resolver:
        """Return what looks at orders on the exchange."""
        return Resolver(
            self.ledger,
            self.accounts,
            self.halts,
            self.lookout,
            self.recorder,
            self.agenda,
            self.performer,
            self.codebook,
            self.clock,
            self.metrics,
            self.settings.retry.to_backoff(),
        )

    @cached_property
    def follower(self) -> Follower:
        """Return what follows live orders to their end."""
        return Follower(
            self.ledger,
            self.accounts,
            self.halts,
            self.lookout,
            self.recorder,
            self.agenda,
            self.resolver,
            self.clock,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        """Return what compares ledger and exchange."""
        return Reconciler(
            self.ledger,
            self.accounts,
            self.buckets,
            self.halts,
            self.backfill,
            self.resolver,
            self.clock,
            self.metrics,
            self.settings.scheduler.reconcile_interval_s,
        )

    @cached_property
    def positions(self) -> Positions:
        """Return what accounts hold."""
        return Positions(self.ledger, self.backfill, self.clock)

    @cached_property
    def gates(self) -> Gates:
        """Return what an order must pass."""
        return Gates(self.ledger, self.positions)

    @cached_property
    def fill_seeker(self) -> FillSeeker:
        """Return what fetches missing fills."""
        return FillSeeker(self.ledger, self.accounts, self.halts, self.recorder, self.clock)

    @cached_property
    def witness(self) -> Witness:
        """Return what writes down what accounts show."""
        return Witness(self.ledger, self.clock, self.metrics, self.nudges.send, self.settings.stream.look_s)

    @cached_property
    def backfill(self) -> Backfill:
        """Return what fills the gaps of streams."""
        return Backfill(self.ledger, self.accounts, self.valve, self.witness, self.clock)

    @cached_property
    def glance(self) -> Glance:
        """Return what looks whether a quiet stream has missed something."""
        return Glance(self.ledger, self.backfill, self.clock)

    @cached_property
    def changes(self) -> Changes:
        """Return what amends and cancels."""
        return Changes(
            self.ledger,
            self.accounts,
            self.valve,
            self.gates,
            self.halts,
            self.publisher,
            Concluder(
                self.ledger, self.accounts, self.halts, self.clock, self.metrics, self.settings.retry.to_backoff()
            ),
            self.codebook,
            self.resolver.look,
            self.clock,
            self.metrics,
            max_wait_s=self.settings.worker.max_wait_s,
            lease_s=self.settings.exchange.lease_s,
        )

    @cached_property
    def submitter(self) -> Submitter:
        """Return what accepts orders."""
        return Submitter(
            self.ledger,
            self.publisher,
            self.clock,
            self.metrics,
            known_accounts=frozenset(self.settings.accounts),
            republish_s=self.settings.worker.republish_s,
        )

    @cached_property
    def intake(self) -> Intake:
        """Return what accepts orders that come as messages."""
        secret = self.settings.intake_secret()
        return Intake(self.submitter, self.ledger, self.clock, secret.get_secret_value() if secret else None)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Return what replays and discards dead letters."""
        return DeadLetters(self.ledger, self.submitter, self.clock)

    @cached_property
    def releaser(self) -> Releaser:
        """Return what wakes orders."""
        return Releaser(
            self.ledger,
            self.publisher,
            self.halts,
            Unparker(self.ledger, self.halts, self.clock),
            self.performer,
            Pace(
                self.ledger,
                self.quotas,
                self.buckets,
                self.clock,
                are_batches_on=self.settings.exchange.batches,
            ),
            self.clock,
            self.metrics,
            republish_s=self.settings.worker.republish_s,
        )

    @cached_property
    def review(self) -> Review:
        """Return what tells of orders that stay unknown."""
        return Review(self.ledger, self.accounts, self.clock)

    @cached_property
    def settler(self) -> Settler:
        """Return what writes down a person's decisions."""
        return Settler(self.ledger, self.clock, self.metrics)

    @cached_property
    def pages(self) -> Pages:
        """Return what delivers pages."""
        from sluicegate.paging.receivers import AppriseReceivers

        paging = self.settings.paging
        return Pages(self.ledger, AppriseReceivers(paging, self.metrics), self.clock, paging.repeats())


ContainerFactory = Callable[[], Container]
