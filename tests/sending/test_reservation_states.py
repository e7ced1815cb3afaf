"""The table of an attempt's states is complete: every pair of state and event has one outcome."""

from __future__ import annotations

import itertools

import pytest

from segmind_async._sending.reservation_states import TRANSITIONS, Event, State, step


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_has_a_next_state_or_raises(state: State, event: Event) -> None:
    following = TRANSITIONS.get(state, {}).get(event)
    if following is None:
        with pytest.raises(AssertionError, match=f"{state.name} cannot take {event.name}"):
            step(state, event)
    else:
        assert step(state, event) is following


def test_an_attempt_that_may_have_run_stays_in_doubt() -> None:
    assert step(State.SENT, Event.LOST) is step(State.SENT, Event.CANCELLED) is State.IN_DOUBT


def test_an_attempt_that_did_not_run_releases_its_hold() -> None:
    assert step(State.ADMITTED, Event.CANCELLED) is State.RELEASED
    assert step(State.SENT, Event.REFUSED) is step(State.SENT, Event.NOT_SENT) is State.RELEASED


def test_an_ended_attempt_takes_no_further_event() -> None:
    ended = set(State) - set(TRANSITIONS)
    assert ended == {State.SETTLED, State.RELEASED, State.IN_DOUBT}
