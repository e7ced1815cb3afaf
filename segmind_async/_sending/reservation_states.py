"""The states of one attempt's hold, as a table.

ADMITTED ──dispatched──▶ SENT ──answered───────────▶ SETTLED    its cost is booked, the hold is over
    │                     ├─────refused, not sent──▶ RELEASED   nothing was billed, the hold is over
    │                     └─────lost, cancelled────▶ IN_DOUBT   it may have been billed: the hold stays
    └──────cancelled───────────────────────────────▶ RELEASED
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto


class State(IntEnum):
    """The state of an attempt. An int, because states are looked up several times a call."""

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
        # until a later balance includes it.
        Event.LOST: State.IN_DOUBT,
        Event.CANCELLED: State.IN_DOUBT,
    },
}


def step(state: State, event: Event) -> State:
    """Return the state after *event*; raises AssertionError for a pair that the table does not name."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise AssertionError(f"an attempt in state {state.name} cannot take {event.name}") from None
