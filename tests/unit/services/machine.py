"""A machine that makes hypothesis think of every interleaving.

Two workers, a scheduler, people, lost and doubled messages, crashes before every call of a port, a venue that is
slow, silent and forgetful, and in every second history takes a link id twice. Whatever happens, no order is lost,
doubled, or called absent while it is live.

Single steps rarely meet in what is dangerous: a request that is late while others find out and send again. So some
rules are such stories as a whole, and all that is around them is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sluicegate.domain.errors import TooLate
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import AmendRequest, NewOrder, OrderId, Receipt
from tests.chaos.evidence import Promises
from tests.unit.domain import examples
from tests.unit.services.interleaving import Actor, Mishap
from tests.unit.services.reckoning import reckon
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
SHORT_WAITS = st.lists(st.sampled_from([0.3, 0.6, 1.1, 2.0]), min_size=1, max_size=4)
LONG_WAITS = st.lists(st.sampled_from([0.6, 2.0, 4.5, 9.0]), min_size=3, max_size=6)
WAITS = SHORT_WAITS | LONG_WAITS
DEADLINES = st.sampled_from([None, None, None, 12, 3])
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
LATE = st.sampled_from([Fate.IN_THE_AIR, Fate.IN_THE_AIR, Fate.DIES])


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

    @initialize(
        deadlines=st.lists(DEADLINES, min_size=1, max_size=2),
        takes_link_ids_twice=st.booleans(),
        is_open=st.sampled_from([False, False, True]),
    )
    def open(self, deadlines: list[int | None], *, takes_link_ids_twice: bool, is_open: bool) -> None:
        """There is something to do; every second venue does what Bybit says it never does."""
        self.world.venue.takes_link_ids_twice = takes_link_ids_twice
        for deadline_s in deadlines:
            self.submit(deadline_s, 0, LONG)
        if is_open:
            self.pass_quietly(0.1)

    @precondition(lambda self: self.has_room() and self.submitted < MOST_ORDERS)
    @rule(deadline_s=DEADLINES, priority=st.integers(0, 1), steps=STEPS)
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
        self._amend(self.pick_order(index), fields, steps)

    def _amend(self, order_id: OrderId, fields: dict[str, str], steps: int) -> None:
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

    @precondition(lambda self: self.has_room() and self.world.broker.waiting)
    @rule(index=INDEX, fate=LATE, waits=WAITS)
    def be_late(self, index: int, fate: Fate, waits: list[float]) -> None:
        """A request is late; meanwhile others find out, and may send again; then it arrives."""
        self._be_late(self.world.broker.waiting.pop(index % len(self.world.broker.waiting)), fate, waits)

    @precondition(lambda self: self.has_room() and self.world.venue.orders and self.asked + 2 <= MOST_CHANGES)
    @rule(index=INDEX, first=AMENDS, then=AMENDS, waits=WAITS)
    def be_overtaken(self, index: int, first: dict[str, str], then: dict[str, str], waits: list[float]) -> None:
        """An amend is late; meanwhile another is asked for, and may be sent; then it arrives."""
        order_id = self.pick_order(index)
        self.amend(index, first, LONG)
        self._be_late(Message("change", order_id), Fate.IN_THE_AIR, waits, then)

    def _be_late(
        self, message: Message, fate: Fate, waits: list[float], then: dict[str, str] | None = None
    ) -> None:
        known = list(self.world.venue.flights)
        self._do(message, fate)
        if then is not None:
            self.asked += 1
            self._amend(message.order_id, then, LONG)
        for seconds in waits:
            self.pass_quietly(seconds)
        for flight in [late for late in self.world.venue.flights if late not in known]:
            self.world.venue.deliver(flight, Verdict.TAKES)

    @precondition(lambda self: self.has_room() and self.world.broker.waiting)
    @rule(index=INDEX, steps=st.integers(1, 12), fate=FATES)
    def come_twice(self, index: int, steps: int, fate: Fate) -> None:
        """A message comes twice: one worker stops at some point, another does it all, and the first goes on."""
        message = self.world.broker.waiting.pop(index % len(self.world.broker.waiting))
        first = self.start(f"{message.task} {message.order_id}", lambda: self.world.perform(message), steps)
        self._do(message, fate)
        if not first.is_done:
            self.go_on(first, LONG)

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
            order = self.world.store.orders.get(OrderId(there.link_id.removeprefix("sg-")))
            assert order is not None, f"unknown_on_exchange: {there.link_id}"
            trail = [e.event for e in self.world.store.events(order.order_id)]
            is_unsent = order.state is State.CANCELLED and Event.SEEN_CANCELLED.value not in trail
            is_given_up = order.state in {State.EXPIRED, State.DEAD}
            assert not is_given_up, (
                f"called_absent: {order.order_id} is {order.state} and {there.status} on the venue"
            )
            assert not is_unsent, (
                f"called_absent: {order.order_id} is {order.state} and {there.status} on the venue"
            )

    def teardown(self) -> None:
        """Heal everything, let everyone finish, and hold ledger and venue against each other."""
        for actor in self.actors:
            actor.run()
        venue = self.world.venue
        venue.lag_ms = venue.offset_ms = venue.known_offset_ms = 0
        self.world.halts.resume("main")
        reckon(self.world, Promises(self.receipts, self.changes, self.cancelled))
        self._tell()

    def _tell(self) -> None:
        """Say what happened in the history: `pytest --hypothesis-show-statistics` counts it."""
        trails = [self.world.store.events(order_id) for order_id in self.world.store.orders]
        happened = {line.event for trail in trails for line in trail}
        for name in happened & {"doubted", "proved_absent", "amend_submitting", "dead_lettered", "parked"}:
            event(name)
        if any([line.event for line in trail].count(Event.CLAIMED.value) > 1 for trail in trails):
            event("claimed again")
