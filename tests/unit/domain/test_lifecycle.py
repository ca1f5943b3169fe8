"""The life of an order, against a table written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.domain.errors import SluicegateError
from sluicegate.domain.lifecycle import (
    END_STATES,
    ON_EXCHANGE_STATES,
    OPEN_STATES,
    TABLE,
    UNSENT_STATES,
    Event,
    IllegalTransition,
    State,
    next_state,
    sources,
)

COLUMNS = {
    "ac": "accepted",
    "su": "submitting",
    "do": "in_doubt",
    "li": "live",
    "pf": "partially_filled",
    "pk": "parked",
    "fi": "filled",
    "ca": "cancelled",
    "re": "rejected",
    "ex": "expired",
    "de": "dead",
}
# A row per event, a column per state; the cell is where the event leads, "-" where it cannot happen.
EXPECTED = """
                        ac su do li pf pk fi ca re ex de
deferred                ac -  -  -  -  -  -  -  -  -  -
claimed                 su -  -  -  -  -  -  -  -  -  -
acknowledged            li li li li pf li fi ca re li li
backed_off              -  ac -  -  -  -  -  -  -  -  -
doubted                 -  do do -  -  -  -  -  -  -  -
proved_absent           -  -  ac -  -  -  -  -  -  -  -
seen_open               li li li li -  li -  -  -  li li
seen_partially_filled   pf pf pf pf pf pf -  -  -  pf pf
seen_filled             fi fi fi fi fi fi fi fi fi fi fi
seen_cancelled          ca ca ca ca ca ca -  ca ca ca ca
seen_rejected           re re re re -  re -  re re re re
reopened                -  -  -  -  -  -  -  li -  -  -
missed                  -  -  -  li pf -  -  -  -  -  -
settled_absent          -  -  de de -  -  -  -  -  -  -
settled_live            -  -  li li pf -  -  -  -  -  -
settled_cancelled       -  -  ca ca ca -  -  -  -  -  -
settled_filled          -  -  fi fi fi -  -  -  -  -  -
settled_rejected        -  -  re re -  -  -  -  -  -  -
dead_lettered           de de de -  -  -  -  -  -  -  -
expired                 ex ex ex -  -  ex -  -  -  -  -
parked                  pk pk pk -  -  -  -  -  -  -  -
unparked                -  -  -  -  -  ac -  -  -  -  -
cancelled_unsent        ca -  -  -  -  ca -  -  -  -  -
amended_unsent          ac -  -  -  -  pk -  -  -  -  -
amended                 -  -  -  li pf -  -  -  -  -  -
"""


def _read(table: str) -> dict[tuple[str, str], str | None]:
    header, *lines = table.strip().splitlines()
    states = [COLUMNS[short] for short in header.split()]
    pairs: dict[tuple[str, str], str | None] = {}
    for line in lines:
        event, *cells = line.split()
        pairs |= {(s, event): COLUMNS.get(cell) for s, cell in zip(states, cells, strict=True)}
    return pairs


PAIRS = _read(EXPECTED)


def _reachable(start: State, *, without: Event | None = None) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for event in set(Event) - {without}:
            if (state, event) in TABLE and (target := next_state(state, event)) not in found:
                found.add(target)
                todo.append(target)
    return found


def test_expected_table_names_every_pair():
    """The table above leaves no state and no event out."""
    assert {(s.value, e.value) for s in State for e in Event} == set(PAIRS)
    assert len(PAIRS) == 11 * 25


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda name: name)
def test_next_state_of_every_pair_is_as_expected(state: str, event: str):
    """Each event leads where the table says, or cannot happen."""
    expected = PAIRS[state, event]
    if expected is None:
        with pytest.raises(IllegalTransition, match=rf"{state} cannot be {event}"):
            next_state(State(state), Event(event))
    else:
        assert State(expected) is next_state(State(state), Event(event))


def test_illegal_transition_is_an_error_of_ours():
    """Callers can catch everything we raise on purpose by one base."""
    assert issubclass(IllegalTransition, SluicegateError)


@pytest.mark.parametrize("event", Event)
def test_sources_of_an_event_are_its_row(event: Event):
    """The ledger's WHERE clause names exactly the states in which the event may happen."""
    expected = {s for (s, e), target in PAIRS.items() if e == event and target}
    assert expected == sources(event)


def test_state_sets_divide_the_states():
    """Every state is open or an end; unsent and on the exchange are kinds of open."""
    assert {"filled", "cancelled", "rejected", "expired", "dead"} == END_STATES
    assert set(State) == OPEN_STATES | END_STATES
    assert set() == OPEN_STATES & END_STATES
    assert {"accepted", "parked"} == UNSENT_STATES
    assert {"live", "partially_filled"} == ON_EXCHANGE_STATES


def test_every_state_is_reachable_from_accepted():
    """No state is dead code."""
    assert set(State) == _reachable(State.ACCEPTED)


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_open_state_can_reach_an_end(state: State):
    """No order is stuck for ever."""
    assert _reachable(state) & END_STATES


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_end_changes_only_by_evidence_or_late_acknowledgement(state: State):
    """Nothing we decide moves an order that is over."""
    changing = {e for e in Event if (state, e) in TABLE and next_state(state, e) is not state}
    allowed = {e for e in Event if e.startswith("seen_")} | {Event.ACKNOWLEDGED, Event.REOPENED}
    assert changing <= allowed


@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected"])
def test_end_on_the_exchange_never_opens_again(state: str):
    """What is over on the exchange stays over; what only we called cancelled was never over there."""
    assert _reachable(State(state), without=Event.REOPENED) <= {State.FILLED, State.CANCELLED, State.REJECTED}


@pytest.mark.parametrize("state", ["live", "partially_filled", "filled", "cancelled", "rejected"])
def test_order_seen_on_the_exchange_is_never_sent_again(state: str):
    """Exactly once: no path leads from the exchange back to a sending state."""
    assert _reachable(State(state)).isdisjoint({State.ACCEPTED, State.SUBMITTING, State.IN_DOUBT, State.PARKED})


def test_order_in_doubt_is_sent_again_only_after_proof():
    """Out of doubt leads the exchange's word, proved absence with what stands on it, or a person's decision."""
    leaving = {e for e in Event if (State.IN_DOUBT, e) in TABLE and not e.startswith(("seen_", "settled_"))}
    assert {"acknowledged", "doubted", "proved_absent", "dead_lettered", "expired", "parked"} == leaving


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_any_history_keeps_fills(events: list[Event]):
    """Whatever happens, a filled order stays filled and a partly filled one is never rejected."""
    state = State.ACCEPTED
    for event in events:
        try:
            following = next_state(state, event)
        except IllegalTransition:
            continue
        if state is State.FILLED:
            assert State.FILLED is following
        if state is State.PARTIALLY_FILLED:
            assert following in {State.PARTIALLY_FILLED, State.FILLED, State.CANCELLED}
        state = following
