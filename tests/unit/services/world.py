"""A world: the real services over a ledger and a venue in memory; every call of a port is a stop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluicegate.bybit.codebook import BybitCodeBook
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.domain.batches import Line
from sluicegate.domain.orders import Category, OrderId
from sluicegate.domain.policy import Backoff, Breaker
from sluicegate.domain.risk import RiskLimits
from sluicegate.ports import Account, BucketSpec, Lane, LaneKind, Standing
from sluicegate.ratelimit.memory import MemoryBuckets
from sluicegate.services.agenda import Agenda
from sluicegate.services.changes import Changes
from sluicegate.services.conclude import Concluder
from sluicegate.services.execute import Executor
from sluicegate.services.follow import Follower
from sluicegate.services.gates import Gates
from sluicegate.services.halts import Halts
from sluicegate.services.lanes import Lanes
from sluicegate.services.lookout import Lookout
from sluicegate.services.pace import Pace
from sluicegate.services.perform import Performer
from sluicegate.services.record import Recorder
from sluicegate.services.release import Releaser
from sluicegate.services.resolve import Resolver
from sluicegate.services.review import Review
from sluicegate.services.settle import Settler
from sluicegate.services.submit import Submitter
from sluicegate.services.unpark import Unparker
from sluicegate.services.valve import Valve
from tests.unit.services.interleaving import FakeClock, Interleaved
from tests.unit.services.memory_ledger import MemoryLedger
from tests.unit.services.venue import MARGIN_MS, RECV_WINDOW_MS, Venue

LEASE_S = 8.0
BREAKER = Breaker(share=0.5, least=4, window_s=60.0)
REPUBLISH_S = 4.0
CODES = BybitCodeBook(RetCodeTable.load())


class Nobody:
    """An observer that looks away."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


@dataclass(frozen=True, slots=True)
class Message:
    """One hint in the broker."""

    task: str
    order_id: OrderId
    others: tuple[OrderId, ...] = ()

    @classmethod
    def about(cls, company: Iterable[OrderId]) -> Message:
        """Return the message that tells of a company."""
        first, *others = company
        return cls("execute", first, tuple(others))


class Broker:
    """Messages that wait; the test loses, doubles and reorders them."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.lines: set[Line] = set()
        self.hurries = 0

    def publish_orders(self, companies: Sequence[Mapping[OrderId, str]]) -> None:
        """Say that orders are due."""
        self.waiting += [Message.about(company) for company in companies]

    def publish_release(self) -> None:
        """Count; here the scheduler comes when the test lets it."""
        self.hurries += 1

    def publish_change(self, order_id: OrderId, described: str) -> None:
        """Say that an order has a change."""
        self.waiting.append(Message("change", order_id))

    def publish_look(self, order_id: OrderId, described: str) -> None:
        """Say that an order is to be looked at."""
        self.waiting.append(Message("look", order_id))

    def standing(self, lines: Collection[Line]) -> Standing:
        """Return how many messages wait, and whose orders."""
        return Standing(len(self.waiting), frozenset(set(lines) & self.lines))

    def note_waiting(self, lines: Mapping[Line, bool], for_s: float) -> None:
        """Remember whose orders wait in the ledger."""
        self.lines = {line for line, is_waiting in lines.items() if is_waiting}


class OneAccount:
    """The accounts, and their quotas: there is one, and the bucket of its orders is small."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._account = Account(
            name="main",
            environment="simulator",
            exchange=venue,
            market=venue,
            clock=venue,
            risk=RiskLimits(),
            reach_ms=RECV_WINDOW_MS + MARGIN_MS,
        )

    def get(self, name: str) -> Account:
        """Return it."""
        return self._account

    def names(self) -> list[str]:
        """Return its name."""
        return ["main"]

    def resync_clock(self, name: str) -> float:
        """Measure the venue's clock."""
        self._venue.known_offset_ms = self._venue.offset_ms
        return self._venue.offset_s

    def specs(
        self, account: str, uid: str, path: str, category: Category | None, *, orders: int = 1
    ) -> list[BucketSpec]:
        """Return the bucket of an endpoint, and that of the IP."""
        return [BucketSpec(path, 20), self.egress()]

    def lanes(
        self, account: str, uid: str, paths: Mapping[LaneKind, str], category: Category
    ) -> tuple[list[Lane], list[BucketSpec]]:
        """Return the lanes of orders, which are narrow."""
        lanes = [
            Lane(path, kind, BucketSpec(path, 2), int(kind is LaneKind.TOGETHER)) for kind, path in paths.items()
        ]
        return lanes, [self.egress()]

    def egress(self) -> BucketSpec:
        """Return the bucket of the IP."""
        return BucketSpec("egress", 600, 5)


@dataclass
class World:
    """Everything, built anew for each example."""

    clock: FakeClock = field(default_factory=FakeClock)
    broker: Broker = field(default_factory=Broker)

    def __post_init__(self) -> None:
        self.venue = Venue(self.clock)
        self.store = MemoryLedger(self.clock)
        self.accounts = accounts = OneAccount(self.venue)
        ledger: Any = Interleaved("ledger", self.store)
        publisher: Any = Interleaved("publisher", self.broker)
        self.buckets = MemoryBuckets(self.clock, starts_full=True)
        buckets: Any = Interleaved("buckets", self.buckets)
        backoff = Backoff(base_s=0.5, cap_s=2.0, max_attempts=4)
        observer: Any = Nobody()
        nobody: Any = Nobody()  # no order here reduces or has a position limit
        clock = self.clock

        def rng() -> float:
            return 0.5

        valve = Valve(buckets, accounts, accounts, ledger, clock, observer, lease_s=LEASE_S + 9)
        valve.uid("main")  # asked under a lock of threads, where no actor may stop
        self.halts = Halts(ledger, buckets, accounts, CODES, clock, "default", BREAKER, forget_key=lambda _: None)
        performer = Performer(ledger, accounts, self.halts, clock, observer, backoff, rng)
        self.executor = Executor(
            ledger,
            accounts,
            valve,
            Lanes(are_batches_on=True),
            Gates(ledger, nobody),
            self.halts,
            performer,
            clock,
            observer,
            max_wait_s=0.5,
            lease_s=LEASE_S,
            rng=rng,
        )
        self.lookout = Lookout(valve, clock)
        agenda = Agenda(ledger, accounts, clock)
        recorder = Recorder(ledger, self.lookout, agenda, clock, observer)
        self.resolver = Resolver(
            ledger,
            accounts,
            self.halts,
            self.lookout,
            recorder,
            agenda,
            performer,
            CODES,
            clock,
            observer,
            backoff,
        )
        self.follower = Follower(
            ledger, accounts, self.halts, self.lookout, recorder, agenda, self.resolver, clock
        )
        self.review = Review(ledger, accounts, clock)
        self.settler = Settler(ledger, clock, observer)
        self.changes = Changes(
            ledger,
            accounts,
            valve,
            Gates(ledger, nobody),
            self.halts,
            publisher,
            Concluder(ledger, accounts, self.halts, clock, observer, backoff, rng),
            CODES,
            self.resolver.look,
            clock,
            observer,
            max_wait_s=0.5,
            lease_s=LEASE_S,
            rng=rng,
        )
        self.submitter = Submitter(
            ledger, publisher, clock, observer, known_accounts=frozenset({"main"}), republish_s=REPUBLISH_S
        )
        pace = Pace(ledger, accounts, buckets, clock)
        self.releaser = Releaser(
            ledger,
            publisher,
            self.halts,
            Unparker(ledger, self.halts, clock),
            performer,
            pace,
            clock,
            observer,
            republish_s=REPUBLISH_S,
        )

    def perform(self, message: Message) -> str:
        """Do what a message asks for, as a worker does."""
        if message.task == "execute":
            return str(self.executor.execute([message.order_id, *message.others]))
        act = {"change": self.changes.carry_out, "look": self.resolver.look}
        return act[message.task](message.order_id)

    def tick(self) -> None:
        """Do what a scheduler does."""
        self.releaser.release()
        self.follower.follow()
