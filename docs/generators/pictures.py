"""`docs/pictures/`: the way of an order, and its life; the arrows of the second come from the lifecycle table."""

from __future__ import annotations

from dataclasses import dataclass

from docs.generators.drawing import Arrow, Box, Group, Point, picture
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, TABLE, UNSENT_STATES, Event, State

_SOURCE = "docs/generators/pictures.py"
_STORED = ("ledger", "SQLite or PostgreSQL: all orders, all events; what waits, waits here")
_LEDGER, _REDIS, _BYBIT, _END = "#d9ead3", "#fbe5cd", "#f4d9d9", "#ececec"


def order() -> str:
    """Return the picture of an order's way."""
    return picture(
        1070,
        480,
        "The way of an order from producer to exchange",
        _SOURCE,
        [
            Arrow([(105, 200), (105, 300)], ["1 submit:", "order and event", "in one transaction"], (105, 235)),
            Arrow([(190, 160), (280, 160)], ["2 its id"], (235, 148), is_hint=True),
            Arrow([(440, 160), (530, 160)], ["a hint"], (485, 148), is_hint=True),
            Arrow([(360, 300), (360, 200)], ["scheduler publishes", "what is due"], (360, 243), is_hint=True),
            Arrow([(610, 120), (610, 84)], ["4 tokens of UID and IP,", "both or none"], (730, 94)),
            Arrow([(575, 200), (575, 300)], ["3 gates,", "5 claim"], (545, 243)),
            Arrow([(650, 200), (650, 300)], ["7 decision"], (660, 250)),
            Arrow([(690, 145), (790, 145)], ["6 send"], (740, 135)),
            Arrow([(790, 178), (690, 178)], ["answer"], (740, 194)),
            Arrow([(845, 300), (845, 200)], ["looks", "by link id"], (845, 243)),
            Arrow([(990, 200), (990, 300)], ["private", "WebSocket"], (990, 243)),
            Arrow([(780, 330), (690, 330)], ["evidence"], (735, 320)),
            Arrow([(990, 360), (990, 378), (690, 378)], ["evidence"], (840, 378)),
            Arrow([(360, 390), (360, 420)]),
            Box(20, 120, 170, 80, ("producer", "Python, CLI,", "send_task")),
            Box(280, 120, 160, 80, ("queue", "Celery on", "Valkey or Redis"), _REDIS),
            Box(530, 120, 160, 80, ("worker", "gates, policy")),
            Box(530, 20, 160, 64, ("token buckets", "Valkey or Redis"), _REDIS),
            Box(790, 120, 260, 80, ("Bybit V5", "or the simulator"), _BYBIT),
            Box(20, 300, 670, 90, _STORED, _LEDGER),
            Box(780, 300, 130, 60, ("scheduler", "resolves doubt")),
            Box(925, 300, 130, 60, ("stream", "follows orders")),
            Box(20, 420, 670, 44, ("dead letters with cause and fix, incidents and pages, metrics",), _END),
        ],
    )  # fmt: skip


_WIDTH, _HEIGHT = 130, 44
_PLACES: dict[State, Point] = {
    State.ACCEPTED: (50, 60),
    State.SUBMITTING: (330, 60),
    State.PARKED: (50, 210),
    State.IN_DOUBT: (330, 210),
    State.LIVE: (660, 60),
    State.PARTIALLY_FILLED: (660, 210),
    State.EXPIRED: (30, 370),
    State.DEAD: (190, 370),
    State.CANCELLED: (390, 370),
    State.REJECTED: (610, 370),
    State.FILLED: (785, 370),
}
_LOOKED_AT = ON_EXCHANGE_STATES | {State.IN_DOUBT}
_NOT_THERE = UNSENT_STATES | {State.SUBMITTING, State.IN_DOUBT}


@dataclass(frozen=True, slots=True)
class Route:
    """One arrow between states; what stands beside it comes from the lifecycle table.

    Attributes:
        sources: where it begins; several are shown as a group, of which not all need have the step.
        at: the middle of its label.
    """

    sources: frozenset[State]
    target: State
    points: tuple[Point, ...]
    at: Point

    @property
    def steps(self) -> frozenset[tuple[State, Event]]:
        """Return the pairs of the table that this arrow stands for."""
        return frozenset(
            pair
            for pair, target in TABLE.items()
            if target is self.target and pair[0] in self.sources and usual(*pair)
        )

    def draw(self) -> str:
        """Return the arrow with its events, and their states where they are not the whole group."""
        events = sorted({event.value for _state, event in self.steps})
        states = {state for state, _event in self.steps}
        lines = [", ".join(events)]
        if states == _LOOKED_AT:
            lines.append("(in_doubt too)")
        elif len(self.sources) > 1 and states != _NOT_THERE:
            lines.append(f"({', '.join(state.value for state in State if state in states)})")
        return Arrow(self.points, lines, self.at).draw()


def usual(state: State, event: Event) -> bool:
    """Tell whether a step is in the picture, and not only in the matrix."""
    if TABLE[(state, event)] is state or event is Event.REOPENED or event.value.startswith("settled_"):
        return False
    if event is Event.ACKNOWLEDGED:
        return state is State.SUBMITTING
    return state in _LOOKED_AT if event.value.startswith("seen_") else True


def _route(source: State, target: State, start: Point, end: Point, at: Point) -> Route:
    return Route(frozenset({source}), target, (start, end), at)


_S = State
ROUTES = (
    _route(_S.ACCEPTED, _S.SUBMITTING, (180, 75), (330, 75), (255, 66)),
    _route(_S.SUBMITTING, _S.ACCEPTED, (330, 91), (180, 91), (255, 103)),
    _route(_S.ACCEPTED, _S.PARKED, (80, 104), (80, 210), (75, 165)),
    _route(_S.PARKED, _S.ACCEPTED, (120, 210), (120, 104), (125, 185)),
    _route(_S.SUBMITTING, _S.PARKED, (360, 104), (165, 210), (320, 128)),
    _route(_S.IN_DOUBT, _S.ACCEPTED, (350, 210), (160, 104), (310, 188)),
    _route(_S.SUBMITTING, _S.IN_DOUBT, (410, 104), (410, 210), (410, 157)),
    _route(_S.IN_DOUBT, _S.PARKED, (330, 236), (180, 236), (255, 236)),
    _route(_S.SUBMITTING, _S.LIVE, (460, 80), (660, 80), (575, 70)),
    _route(_S.IN_DOUBT, _S.LIVE, (460, 222), (660, 98), (560, 160)),
    _route(_S.IN_DOUBT, _S.PARTIALLY_FILLED, (460, 238), (660, 238), (575, 252)),
    _route(_S.LIVE, _S.PARTIALLY_FILLED, (745, 104), (745, 210), (745, 157)),
    Route(_NOT_THERE, _S.EXPIRED, ((95, 290), (95, 370)), (95, 320)),
    Route(_NOT_THERE, _S.DEAD, ((255, 290), (255, 370)), (255, 320)),
    Route(UNSENT_STATES, _S.CANCELLED, ((440, 290), (440, 370)), (440, 320)),
    Route(_LOOKED_AT, _S.CANCELLED, ((650, 290), (490, 370)), (580, 318)),
    Route(_LOOKED_AT, _S.REJECTED, ((710, 290), (690, 370)), (705, 322)),
    Route(_LOOKED_AT, _S.FILLED, ((850, 290), (850, 370)), (850, 320)),
)


def states() -> str:
    """Return the picture of an order's life: between open states each step, to the ends by groups."""
    boxes = [Box(x, y, _WIDTH, _HEIGHT, (state.value,), _colour(state)) for state, (x, y) in _PLACES.items()]
    return picture(
        960,
        430,
        "The states of an order",
        "sluicegate/domain/lifecycle.py or docs/generators/pictures.py",
        [
            Group(20, 20, 500, 270, "not known on the exchange"),
            Group(630, 20, 310, 270, "on the exchange"),
            *ROUTES,
            *boxes,
        ],
    )


def _colour(state: State) -> str:
    if state in END_STATES:
        return _END
    return _BYBIT if state in ON_EXCHANGE_STATES else "#e4ecf4"
