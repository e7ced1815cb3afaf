"""The standing of a key: when it takes calls, and when its balance is read."""

from __future__ import annotations

import math

import pytest

from segmind_async._sending.accounts.standing import RECHECK_AFTER, KeyStanding, Standing


def test_a_new_key_is_in_use_and_needs_no_read() -> None:
    standing = KeyStanding()
    assert (standing.state, standing.takes, standing.read_at) == (Standing.IN_USE, True, math.inf)
    standing.reading(5.0)
    standing.was_read()
    standing.granted()
    assert (standing.state, standing.read_at) == (Standing.IN_USE, math.inf)
    assert standing.has_room(10)
    assert repr(standing) == "KeyStanding(in use)"


@pytest.mark.parametrize("leave", [KeyStanding.refused, KeyStanding.emptied], ids=["refused", "emptied"])
def test_a_key_that_is_out_comes_back_over_a_read_and_one_call_at_a_time(leave: object) -> None:
    standing = KeyStanding()
    leave(standing, 100.0)  # type: ignore[operator]  # a method of the class
    assert not standing.takes
    assert standing.read_at == 100.0 + RECHECK_AFTER
    standing.reading(160.0)
    assert standing.read_at == 160.0 + RECHECK_AFTER
    standing.was_read()
    assert (standing.state, standing.takes, standing.has_room(0)) == (Standing.ON_TRIAL, True, True)
    standing.granted()
    assert not standing.has_room(1)
    assert standing.state is Standing.ON_TRIAL
    assert standing.has_room(0)
    assert (standing.state, standing.read_at) == (Standing.IN_USE, math.inf)


def test_calls_that_were_in_flight_before_do_not_end_a_trial() -> None:
    standing = KeyStanding()
    standing.refused(0.0)
    standing.was_read()
    assert not standing.has_room(3)
    assert standing.has_room(0)
    assert standing.state is Standing.ON_TRIAL


def test_a_trial_that_is_refused_waits_for_the_next_read() -> None:
    standing = KeyStanding()
    standing.refused(0.0)
    standing.was_read()
    standing.granted()
    standing.refused(70.0)
    assert (standing.state, standing.read_at) == (Standing.REFUSED, 70.0 + RECHECK_AFTER)


def test_a_short_key_still_takes_calls_and_is_in_use_with_the_next_that_fits() -> None:
    standing = KeyStanding()
    standing.short(10.0)
    standing.short(20.0)
    assert (standing.state, standing.takes, standing.read_at) == (Standing.SHORT, True, 10.0 + RECHECK_AFTER)
    standing.was_read()
    assert standing.state is Standing.SHORT
    standing.granted()
    assert (standing.state, standing.read_at) == (Standing.IN_USE, math.inf)


def test_a_key_that_is_out_does_not_become_short() -> None:
    standing = KeyStanding()
    standing.refused(0.0)
    standing.short(1.0)
    assert standing.state is Standing.REFUSED


def test_a_key_of_which_no_balance_is_known_is_out_until_one_is_read() -> None:
    standing = KeyStanding()
    standing.was_not_read(0.0, known=True)
    assert standing.takes
    standing.was_not_read(0.0, known=False)
    assert (standing.state, standing.takes) == (Standing.UNKNOWN, False)
    standing.was_read()
    assert standing.state is Standing.IN_USE


def test_a_failed_read_does_not_hide_why_a_key_is_out() -> None:
    standing = KeyStanding()
    standing.refused(0.0)
    standing.was_not_read(60.0, known=False)
    assert standing.state is Standing.REFUSED


def test_another_zero_of_time_keeps_the_wait_for_the_read() -> None:
    standing = KeyStanding()
    standing.refused(100.0)
    standing.shift(-90.0)
    assert standing.read_at == 10.0 + RECHECK_AFTER
