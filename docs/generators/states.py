"""`docs/states.md`: the life of an order, from the lifecycle table."""

from __future__ import annotations

from collections import defaultdict

from docs.generators.markdown import code, fence, page, table
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, TABLE, Event, State

_LOOKED_AT = ON_EXCHANGE_STATES | {State.IN_DOUBT}

_INTRO = """An order is in one state; an event leads to another by one table, and a pair that is not in the
table cannot happen. The ledger applies an event by compare-and-set and writes its event row in the same
transaction; `sluicegate orders show ORDER_ID` prints those rows."""

_PICTURE = """The picture leaves out what leads nowhere new, acknowledgements that come late, and evidence
from the exchange (`seen_…`) about orders that nobody expected there; the matrix has them all."""

_MATRIX = """Rows are events, columns the states in which they happen, cells the state that follows; a dot
means that the event cannot happen there. Evidence from the exchange is the truth, so it moves an order from
almost anywhere, ends included; what is over on the exchange never opens again, and a fill is never undone."""


def write() -> str:
    """Return the document."""
    return page(
        "States",
        "sluicegate/domain/lifecycle.py",
        _INTRO,
        f"Ends: {', '.join(code(state.value) for state in State if state in END_STATES)}.",
        _PICTURE,
        fence(diagram(), "mermaid"),
        "## Every pair",
        _MATRIX,
        _matrix(),
    )


def diagram() -> str:
    """Return the usual ways as a mermaid state diagram."""
    edges: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, event), target in TABLE.items():
        if state is not target and _is_usual(state, event):
            edges[(state, target)].append(event.value)
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {State.ACCEPTED}"]
    lines += [f"    {state} --> {target}: {', '.join(events)}" for (state, target), events in edges.items()]
    lines += [f"    {state} --> [*]" for state in State if state in END_STATES]
    return "\n".join(lines)


def _is_usual(state: State, event: Event) -> bool:
    if event is Event.ACKNOWLEDGED:
        return state is State.SUBMITTING
    return state in _LOOKED_AT if event.value.startswith("seen_") else True


def _matrix() -> str:
    rows = [
        (code(event.value), *(_target(state, event) for state in State))
        for event in Event
    ]  # fmt: skip
    return table(("event", *(code(state.value) for state in State)), rows)


def _target(state: State, event: Event) -> str:
    target = TABLE.get((state, event))
    return "·" if target is None else target.value
