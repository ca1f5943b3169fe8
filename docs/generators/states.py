"""`docs/states.md`: the life of an order, from the lifecycle table."""

from __future__ import annotations

from docs.generators.markdown import code, page, table
from sluicegate.domain.lifecycle import END_STATES, TABLE, Event, State

_INTRO = """An order is in one state; an event leads to another by one table, and a pair that is not in the
table cannot happen. The ledger applies an event by compare-and-set and writes its event row in the same
transaction; `sluicegate orders show ORDER_ID` prints those rows."""

_PICTURE = """An arrow that begins at a frame begins at each state in it, or at those that it names. The
picture leaves out what leads nowhere new, acknowledgements that come late, evidence from the exchange
(`seen_…`) about orders that nobody expected there, and what a person settles; the matrix has them all."""

_MATRIX = """Rows are events, columns the states in which they happen, cells the state that follows; a dot
means that the event cannot happen there. Evidence from the exchange is the truth, so it moves an order from
almost anywhere, ends included; what is over on the exchange never opens again (`reopened` is an order that
only we called cancelled, as never sent), and a fill is never undone."""


def write() -> str:
    """Return the document."""
    return page(
        "States",
        "sluicegate/domain/lifecycle.py",
        _INTRO,
        f"Ends: {', '.join(code(state.value) for state in State if state in END_STATES)}.",
        _PICTURE,
        "![The states of an order](pictures/states.svg)",
        "## Every pair",
        _MATRIX,
        _matrix(),
    )


def _matrix() -> str:
    rows = [
        (code(event.value), *(_target(state, event) for state in State))
        for event in Event
    ]  # fmt: skip
    return table(("event", *(code(state.value) for state in State)), rows)


def _target(state: State, event: Event) -> str:
    target = TABLE.get((state, event))
    return "·" if target is None else target.value
