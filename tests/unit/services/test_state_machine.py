"""Orders in every interleaving that hypothesis can think of.

Two workers, a scheduler, people, lost and doubled messages, crashes before every call of a port, a venue that is
slow, silent and forgetful. Whatever happens, no order is lost, doubled, or called absent while it is live.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sluicegate.domain.errors import TooLate
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import AmendRequest, NewOrder, OrderId, Receipt
from sluicegate.services import settle
from tests.chaos.checker import UNSETTLED, check
from tests.chaos.evidence import Evidence, Promises
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor, Mishap
from tests.unit.services.venue import Verdict
from tests.unit.services.world import Message, World

MOST_ORDERS = 3
MOST_ACTORS = 4
MOST_CHANGES = 4
MOST_DAYS = 1
LONG = 200
STEPS = st.sampled_from([LONG, LONG, LONG, 0, 1, 2, 3, 4, 5, 6, 7, 8])
VERDICTS = st.sampled_from([Verdict.TAKES] * 4 + [*Verdict, None])
SECONDS = st.sampled_from([0.1, 0.6, 1.1, 2.0, 4.5, 6.5, 9.0])
INDEX = st.integers(0, 7)
AMENDS = st.sampled_from(
    [{"price": "59000"}, {"price": "59100"}, {"price": "59200"}, {"qty": "0.02"}, {"qty": "0.004"}]
)


class Fate(Enum):
    """What becomes of a request and of the worker that sent it."""

    ANSWERED = "it arrives and is answered"
    ANSWER_LOST = "it arrives, and the worker waits in vain"
    IN_THE_AIR = "it is late, and the worker waits in vain"
    ARRIVES_AND_DIES = "it arrives, and the worker dies"
    DIES = "it is late, and the worker dies"


FATES = st.sampled_from([Fate.ANSWERED, Fate.ANSWERED, *Fate])


class Interleavings(RuleBasedStateMachine):
    """The world, one step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.actors: list[Actor] = []
        self.submitted = self.asked = self.days = 0
        self.receipts: list[Receipt] = []
        self.cancelled: list[OrderId] = []
        self.changes: list[str] = []

    def start(self, name: str, act: Callable[[], object], steps: int) -> Actor:
        """Start an actor and let it go on for some steps, at most until a request of its own is on its way."""
        actor = Actor(name, act)
        self.actors.append(actor)
        self.go_on(actor, steps)
        return actor

    def go_on(self, actor: Actor, steps: int) -> None:
        """Let an actor go on, past that many calls of its ports, or until its request is on its way."""
        for _step in range(steps):
            actor.step()
            if actor.is_done:
                self.actors.remove(actor)
            if actor.is_done or "on its way" in actor.place:
                return

    def has_room(self) -> bool:
        """Tell whether one more actor may start."""
        return len(self.actors) < MOST_ACTORS

    def pick_order(self, index: int) -> OrderId:
        """Return some order of the ledger."""
        return list(self.world.store.orders)[index % len(self.world.store.orders)]

    # --- producers and people ---------------------------------------------------------------------------------

    @precondition(lambda self: self.has_room() and self.submitted < MOST_ORDERS)
    @rule(deadline_s=st.sampled_from([None, None, None, 12, 3]), priority=st.integers(0, 1), steps=STEPS)
    def submit(self, deadline_s: int | None, priority: int, steps: int) -> None:
        """A producer submits an order."""
        self.submitted += 1
        number = self.submitted
        request = examples.order(deadline_s=deadline_s, priority=priority, client_order_id=f"c-{number}")

        def act() -> None:
            new = NewOrder(OrderId(f"O-{number}"), request, self.world.clock.now())
            results = self.world.submitter.accept([new])
            self.receipts += [result for result in results if isinstance(result, Receipt)]

        self.start("submit", act, steps)

    @precondition(lambda self: self.has_room() and self.world.store.orders and self.asked < MOST_CHANGES)
    @rule(index=INDEX, steps=STEPS)
    def cancel(self, index: int, steps: int) -> None:
        """A producer cancels."""
        self.asked += 1
        order_id = self.pick_order(index)

        def act() -> None:
            try:
                change = self.world.changes.cancel(order_id)
            except TooLate:
                return
            if change is None:
                self.cancelled.append(order_id)
            else:
                self.changes.append(change.change_id)

        self.start("cancel", act, steps)

    @precondition(lambda self: self.has_room() and self.world.store.orders and self.asked < MOST_CHANGES)
    @rule(index=INDEX, fields=AMENDS, steps=STEPS)
    def amend(self, index: int, fields: dict[str, str], steps: int) -> None:
        """A producer amends."""
        self.asked += 1
        order_id = self.pick_order(index)

        def act() -> None:
            try:
                change = self.world.changes.amend(order_id, AmendRequest.model_validate(fields))
            except TooLate:
                return
            if change is not None:
                self.changes.append(change.change_id)

        self.start("amend", act, steps)

    @precondition(lambda self: self.has_room() and self.world.store.orders)
    @rule(is_halt=st.sampled_from([False, False, True]), steps=STEPS)
    def halt_or_resume(self, is_halt: bool, steps: int) -> None:
        """A person halts the account, or lets it go on."""
        halts = self.world.halts

        def halt() -> None:
            halts.halt_account("main", code="manual", message="", cause="", fix="")

        self.start("halt", halt if is_halt else lambda: halts.resume("main"), steps)

    # --- workers and schedulers -------------------------------------------------------------------------------

    @precondition(lambda self: self.has_room() and self.world.broker.waiting)
    @rule(index=INDEX, is_kept=st.sampled_from([False, False, False, True]), steps=STEPS)
    def take_message(self, index: int, is_kept: bool, steps: int) -> None:
        """A worker takes some message; a kept one comes again."""
        waiting = self.world.broker.waiting
        message = waiting[index % len(waiting)]
        if not is_kept:
            waiting.remove(message)
        self.start(f"{message.task} {message.order_id}", lambda: self.world.perform(message), steps)

    @precondition(lambda self: self.has_room() and self.world.broker.waiting)
    @rule(index=INDEX, fate=FATES)
    def work(self, index: int, fate: Fate) -> None:
        """A worker does what a message asks for; its request and its process meet some fate."""
        self._do(self.world.broker.waiting.pop(index % len(self.world.broker.waiting)), fate)

    def _do(self, message: Message, fate: Fate) -> None:
        actor = self.start(f"{message.task} {message.order_id}", lambda: self.world.perform(message), LONG)
        if actor.is_done:
            return
        if fate in {Fate.ANSWERED, Fate.ANSWER_LOST, Fate.ARRIVES_AND_DIES}:
            is_lost = fate is Fate.ANSWER_LOST
            self.world.venue.deliver(self.world.venue.flights[-1], Verdict.TAKES, loses_answer=is_lost)
        if fate in {Fate.ARRIVES_AND_DIES, Fate.DIES}:
            self.actors.remove(actor)
            actor.crash()
        else:
            self.go_on(actor, LONG)

    @precondition(lambda self: self.world.store.orders)
    @rule(seconds=SECONDS)
    def pass_quietly(self, seconds: float) -> None:
        """Time passes, a scheduler does a round, and workers do what it asks for."""
        self.world.clock.advance(seconds)
        actor = self.start("tick", self.world.tick, LONG)
        assert actor.is_done
        while self.world.broker.waiting:
            self._do(self.world.broker.waiting.pop(0), Fate.ANSWERED)

    @precondition(lambda self: len(self.world.broker.waiting) > 2)
    @rule()
    def lose_messages(self) -> None:
        """The broker is emptied."""
        self.world.broker.waiting.clear()

    @precondition(lambda self: self.has_room() and self.world.store.orders)
    @rule(steps=STEPS)
    def tick(self, steps: int) -> None:
        """A scheduler does a round."""
        self.start("tick", self.world.tick, steps)

    @precondition(lambda self: self.has_room() and self.world.store.orders)
    @rule(steps=STEPS)
    def review(self, steps: int) -> None:
        """A scheduler tells of what stays unknown."""
        self.start("review", self.world.review.review, steps)

    @precondition(lambda self: self.actors)
    @rule(index=INDEX, steps=STEPS)
    def step(self, index: int, steps: int) -> None:
        """An actor goes on."""
        self.go_on(self.actors[index % len(self.actors)], steps)

    @precondition(lambda self: self.actors)
    @rule(index=INDEX, mishap=st.sampled_from([Mishap.FAILS_BEFORE, Mishap.FAILS_AFTER]))
    def fail(self, index: int, mishap: Mishap) -> None:
        """The next call of a port fails."""
        actor = self.actors[index % len(self.actors)]
        actor.step(mishap)
        if actor.is_done:
            self.actors.remove(actor)

    @precondition(lambda self: self.actors)
    @rule(index=INDEX)
    def crash(self, index: int) -> None:
        """A process is killed."""
        self.actors.pop(index % len(self.actors)).crash()

    # --- time and the venue -----------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.clock.advance(seconds)

    @precondition(lambda self: self.world.venue.flights)
    @rule(index=INDEX, verdict=VERDICTS, loses_answer=st.booleans())
    def deliver(self, index: int, verdict: Verdict | None, loses_answer: bool) -> None:
        """A request reaches the venue, or is lost on its way; so may its answer be."""
        flight = self.world.venue.flights[index % len(self.world.venue.flights)]
        if verdict is None:
            self.world.venue.flights.remove(flight)
        else:
            self.world.venue.deliver(flight, verdict, loses_answer=loses_answer)

    @precondition(lambda self: self.world.store.orders and self.days < MOST_DAYS)
    @rule(seconds=st.sampled_from([23 * 3600.0, 25 * 3600.0]))
    def sleep_over(self, seconds: float) -> None:
        """About a day passes without anybody; the venue forgets what ended without a fill."""
        self.days += 1
        self.world.clock.advance(seconds)
        self.world.venue.forget()

    @rule(lag_ms=st.sampled_from([0, 800, 3000]), offset_ms=st.sampled_from([-400, 0, 400]))
    def change_weather(self, lag_ms: int, offset_ms: int) -> None:
        """Queries show new orders later, and the venue's clock drifts within the margin."""
        self.world.venue.lag_ms = lag_ms
        self.world.venue.offset_ms = offset_ms

    @precondition(lambda self: any(order.is_open for order in self.world.venue.orders))
    @rule(index=INDEX, part=st.sampled_from([Decimal("0.3"), Decimal(1)]))
    def trade(self, index: int, part: Decimal) -> None:
        """The market trades with an open order."""
        opened = [order for order in self.world.venue.orders if order.is_open]
        self.world.venue.fill(opened[index % len(opened)], part)

    # --- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def no_end_while_it_is_there(self) -> None:
        """An order that the ledger calls ended without the exchange is not on the exchange."""
        for there in self.world.venue.orders:
            order = self.world.store.orders[OrderId(there.link_id.removeprefix("sg-"))]
            trail = [e.event for e in self.world.store.events(order.order_id)]
            is_unsent = order.state is State.CANCELLED and Event.SEEN_CANCELLED.value not in trail
            is_given_up = order.state in {State.EXPIRED, State.DEAD}
            assert not is_given_up, f"{order.order_id} is {order.state} and {there.status} on the venue"
            assert not is_unsent, f"{order.order_id} is {order.state} and {there.status} on the venue"

    def teardown(self) -> None:
        """Heal everything, let everyone finish, and hold ledger and venue against each other."""
        for actor in self.actors:
            actor.run()
        self._settle()
        found = check(self._evidence())
        assert not found, "\n".join(map(str, found))

    def _settle(self) -> None:
        world = self.world
        world.venue.lag_ms = world.venue.offset_ms = world.venue.known_offset_ms = 0
        world.halts.resume("main")
        for _round in range(400):
            self._deliver_all()
            world.tick()
            waiting, world.broker.waiting = world.broker.waiting, []
            for message in waiting:
                actor = Actor("settling", lambda message=message: world.perform(message))
                while not actor.is_done:
                    actor.step()
                    self._deliver_all()
            self._answer_questions()
            if not any(breach.rule in UNSETTLED for breach in check(self._evidence())):
                return
            world.clock.advance(0.5)

    def _answer_questions(self) -> None:
        """Let a person decide what the venue has forgotten, as it was."""
        world = self.world
        for order in world.store.questions(limit=9):
            there = world.venue.find(order.link_id)
            if there is None:
                decision = settle.Decision(settle.Fate.ABSENT, "it was never there")
            else:
                assert not there.is_open, f"{order.order_id} is open, and a person is asked: {order.last_message}"
                exchange_order_id = f"x-{there.number}"
                decision = settle.Decision(settle.Fate.CANCELLED, "statement", exchange_order_id=exchange_order_id)
            world.settler.settle(order.order_id, decision)

    def _deliver_all(self) -> None:
        for flight in list(self.world.venue.flights):
            self.world.venue.deliver(flight, Verdict.TAKES)

    def _evidence(self) -> Evidence:
        store = self.world.store
        return Evidence(
            orders=store.orders,
            exchange=[order.row() for order in self.world.venue.orders],
            events={order_id: store.events(order_id) for order_id in store.orders},
            changes={order_id: store.changes(order_id) for order_id in store.orders},
            executions={order_id: store.executions(order_id) for order_id in store.orders},
            dead_letters=store.letters,
            promises=Promises(self.receipts, self.changes, self.cancelled),
        )


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=250, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
