"""The life of one attempt's money, as a table: what is held, and what becomes of it.

ADMITTED ──dispatched──▶ SENT ──answered──▶ SETTLED    the cost is known or estimated, the hold is gone
   │                      ├───refused─────▶ RELEASED   nothing was billed
   └──cancelled──▶ RELEASED └──lost / cancelled─▶ IN_DOUBT   it may have been billed: the hold stays
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto


class State(IntEnum):
    """Where an attempt stands. A number, because these are looked up several times a call."""

    ADMITTED = auto()
    SENT = auto()
    SETTLED = auto()
    RELEASED = auto()
    IN_DOUBT = auto()


class Event(IntEnum):
    """What can happen to an attempt."""

    DISPATCHED = auto()
    """It is handed to the transport."""
    NOT_SENT = auto()
    """It failed before its body went out."""
    ANSWERED = auto()
    """A 200 came."""
    REFUSED = auto()
    """Any other status came."""
    LOST = auto()
    """Its body went out and no readable answer came."""
    CANCELLED = auto()


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.ADMITTED: {
        Event.DISPATCHED: State.SENT,
        Event.CANCELLED: State.RELEASED,
    },
    State.SENT: {
        Event.NOT_SENT: State.RELEASED,
        Event.ANSWERED: State.SETTLED,
        Event.REFUSED: State.RELEASED,
        # The service may have run (and billed) a call whose answer was lost, so its hold stays
        # until a later reading of the balance covers it.
        Event.LOST: State.IN_DOUBT,
        Event.CANCELLED: State.IN_DOUBT,
    },
}


def step(state: State, event: Event) -> State:
    """Return the state that follows; anything the table does not name is a bug here and raises."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise AssertionError(f"an attempt in state {state.name} cannot meet {event.name}") from None
