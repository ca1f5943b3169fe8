"""The life of an order: one table `(state, event) -> state`. What is not in it cannot happen."""

from __future__ import annotations

from enum import StrEnum

from sluicegate.domain.errors import SluicegateError


class State(StrEnum):
    """Where an order is."""

    ACCEPTED = "accepted"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    LIVE = "live"
    PARTIALLY_FILLED = "partially_filled"
    PARKED = "parked"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DEAD = "dead"


class Event(StrEnum):
    """What may happen to an order."""

    DEFERRED = "deferred"  # no token, or an account that waits: due later, never sent
    CLAIMED = "claimed"  # a worker is about to send it
    ACKNOWLEDGED = "acknowledged"
    BACKED_OFF = "backed_off"  # refused before execution, or never sent: due later
    DOUBTED = "doubted"
    PROVED_ABSENT = "proved_absent"  # past the horizon, and no query knows it
    MISSED = "missed"  # live, and shown nowhere, or another in its place
    SEEN_OPEN = "seen_open"
    SEEN_PARTIALLY_FILLED = "seen_partially_filled"
    SEEN_FILLED = "seen_filled"
    SEEN_CANCELLED = "seen_cancelled"
    SEEN_REJECTED = "seen_rejected"
    REOPENED = "reopened"  # cancelled here alone, as never sent, and open on the exchange
    SETTLED_ABSENT = (
        "settled_absent"  # a person says so, for the exchange cannot tell any more; also the next four
    )
    SETTLED_LIVE = "settled_live"
    SETTLED_CANCELLED = "settled_cancelled"
    SETTLED_FILLED = "settled_filled"
    SETTLED_REJECTED = "settled_rejected"
    DEAD_LETTERED = "dead_lettered"
    EXPIRED = "expired"
    PARKED = "parked"
    UNPARKED = "unparked"
    CANCELLED_UNSENT = "cancelled_unsent"
    AMENDED_UNSENT = "amended_unsent"
    AMENDED = "amended"


OPEN_STATES = frozenset(
    {State.ACCEPTED, State.SUBMITTING, State.IN_DOUBT, State.LIVE, State.PARTIALLY_FILLED, State.PARKED}
)
END_STATES = frozenset(State) - OPEN_STATES
UNSENT_STATES = frozenset({State.ACCEPTED, State.PARKED})
ON_EXCHANGE_STATES = frozenset({State.LIVE, State.PARTIALLY_FILLED})
ENDED_ON_EXCHANGE = frozenset({State.FILLED, State.CANCELLED, State.REJECTED})

_S, _E = State, Event

TABLE: dict[tuple[State, Event], State] = {
    (_S.ACCEPTED, _E.DEFERRED): _S.ACCEPTED,
    (_S.ACCEPTED, _E.CLAIMED): _S.SUBMITTING,
    (_S.ACCEPTED, _E.DEAD_LETTERED): _S.DEAD,  # a gate denied it
    (_S.ACCEPTED, _E.EXPIRED): _S.EXPIRED,
    (_S.ACCEPTED, _E.PARKED): _S.PARKED,
    (_S.ACCEPTED, _E.CANCELLED_UNSENT): _S.CANCELLED,
    (_S.ACCEPTED, _E.AMENDED_UNSENT): _S.ACCEPTED,
    (_S.PARKED, _E.UNPARKED): _S.ACCEPTED,
    (_S.PARKED, _E.EXPIRED): _S.EXPIRED,
    (_S.PARKED, _E.CANCELLED_UNSENT): _S.CANCELLED,
    (_S.PARKED, _E.AMENDED_UNSENT): _S.PARKED,
    (_S.SUBMITTING, _E.ACKNOWLEDGED): _S.LIVE,
    (_S.SUBMITTING, _E.BACKED_OFF): _S.ACCEPTED,
    (_S.SUBMITTING, _E.DOUBTED): _S.IN_DOUBT,
    (_S.SUBMITTING, _E.DEAD_LETTERED): _S.DEAD,  # refused for good
    (_S.SUBMITTING, _E.EXPIRED): _S.EXPIRED,  # refused, and no time left to try again
    (_S.SUBMITTING, _E.PARKED): _S.PARKED,  # refused because the account must halt
    (_S.IN_DOUBT, _E.ACKNOWLEDGED): _S.LIVE,  # a claimant that outlived its lease reports its answer late
    (_S.IN_DOUBT, _E.DOUBTED): _S.IN_DOUBT,  # looked again, still nothing proved
    (_S.IN_DOUBT, _E.PROVED_ABSENT): _S.ACCEPTED,
    (_S.IN_DOUBT, _E.DEAD_LETTERED): _S.DEAD,  # proved absent, and sending it again would end the same way
    (_S.IN_DOUBT, _E.EXPIRED): _S.EXPIRED,  # proved absent after its deadline
    (_S.IN_DOUBT, _E.PARKED): _S.PARKED,  # proved absent while its account is halted
    (_S.LIVE, _E.MISSED): _S.LIVE,
    (_S.PARTIALLY_FILLED, _E.MISSED): _S.PARTIALLY_FILLED,
    (_S.LIVE, _E.AMENDED): _S.LIVE,
    (_S.PARTIALLY_FILLED, _E.AMENDED): _S.PARTIALLY_FILLED,
    (_S.LIVE, _E.ACKNOWLEDGED): _S.LIVE,  # evidence was faster than the response
    (_S.PARTIALLY_FILLED, _E.ACKNOWLEDGED): _S.PARTIALLY_FILLED,
    (_S.FILLED, _E.ACKNOWLEDGED): _S.FILLED,
    (_S.CANCELLED, _E.ACKNOWLEDGED): _S.CANCELLED,
    (_S.REJECTED, _E.ACKNOWLEDGED): _S.REJECTED,
    # The claimant lost its lease, the order was given up as absent, and the acknowledgement came after all.
    (_S.EXPIRED, _E.ACKNOWLEDGED): _S.LIVE,
    (_S.DEAD, _E.ACKNOWLEDGED): _S.LIVE,
    (_S.ACCEPTED, _E.ACKNOWLEDGED): _S.LIVE,
    (_S.PARKED, _E.ACKNOWLEDGED): _S.LIVE,
    (_S.CANCELLED, _E.REOPENED): _S.LIVE,  # the exchange never said that it was over: see `domain/evidence.py`
}

_SETTLED = {
    _E.SETTLED_ABSENT: _S.DEAD,
    _E.SETTLED_LIVE: _S.LIVE,
    _E.SETTLED_CANCELLED: _S.CANCELLED,
    _E.SETTLED_FILLED: _S.FILLED,
    _E.SETTLED_REJECTED: _S.REJECTED,
}
# A person's word counts where the exchange was asked in vain. It undoes no fill: what was executed was not absent.
for _state in (_S.IN_DOUBT, _S.LIVE):
    TABLE.update({(_state, _event): _target for _event, _target in _SETTLED.items()})
TABLE[(_S.PARTIALLY_FILLED, _E.SETTLED_LIVE)] = _S.PARTIALLY_FILLED
TABLE[(_S.PARTIALLY_FILLED, _E.SETTLED_CANCELLED)] = _S.CANCELLED
TABLE[(_S.PARTIALLY_FILLED, _E.SETTLED_FILLED)] = _S.FILLED

_EVIDENCE = {
    _E.SEEN_OPEN: _S.LIVE,
    _E.SEEN_PARTIALLY_FILLED: _S.PARTIALLY_FILLED,
    _E.SEEN_FILLED: _S.FILLED,
    _E.SEEN_CANCELLED: _S.CANCELLED,
    _E.SEEN_REJECTED: _S.REJECTED,
}
# Evidence from the exchange moves an order from anywhere: it is the truth. Exceptions: what is over on the
# exchange does not open again (that is a late answer about the past; what only we called cancelled is `reopened`),
# and fills are never undone.
for _state in State:
    for _event, _target in _EVIDENCE.items():
        if _state in ENDED_ON_EXCHANGE and _target not in ENDED_ON_EXCHANGE:
            continue
        if _state is _S.FILLED and _target is not _S.FILLED:
            continue
        if _state is _S.PARTIALLY_FILLED and _target in {_S.LIVE, _S.REJECTED}:
            continue
        TABLE[(_state, _event)] = _target


class IllegalTransition(SluicegateError):
    """The event cannot happen in this state; nothing was written."""


def next_state(state: State, event: Event) -> State:
    """Return the state that an event leads to.

    Raises:
        IllegalTransition: the pair is not in the table.
    """
    try:
        return TABLE[(state, event)]
    except KeyError:
        raise IllegalTransition(f"an order that is {state} cannot be {event}") from None


def sources(event: Event) -> frozenset[State]:
    """Return the states in which an event may happen."""
    return frozenset(state for state, known in TABLE if known is event)
