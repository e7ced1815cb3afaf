"""A bound on a load: lowered by refusals, raised by trials while it is in use."""

from __future__ import annotations

import math

import pytest

from segmind_async._rate.concurrency_limit import ConcurrencyLimit
from segmind_async._rate.learnt_limit import LearntLimit


def bound(
    value: float = 20, *, ceiling: float = math.inf, proof: int = 1, longest_pause: float = 60
) -> LearntLimit:
    """Return a bound that was lowered to *value* at 0 s."""
    made = LearntLimit(ceiling, "no limit met", proof=proof, longest_pause=longest_pause)
    made.lower(value, 0.0, "429")
    return made


def use(made: LearntLimit, now: float, times: int = 100) -> float:
    """Accept loads at the bound until it rises; return by how much."""
    for _ in range(times):
        risen = made.accepted(made.value, now)
        if risen:
            return risen
    return 0.0


def test_it_is_lowered_to_what_passed_and_never_raised_by_that() -> None:
    made = LearntLimit(math.inf, "no limit met", proof=1, longest_pause=60)
    assert (made.is_set, made.learnt) == (False, False)
    made.lower(20, 1.0, "429 with 21 in flight")
    assert (made.value, made.passed, made.is_set, made.learnt) == (20, 20, True, True)
    assert made.reason == "429 with 21 in flight: no bound lowered to 20"
    made.lower(30, 2.0, "429")
    assert made.value == 20
    made.lower(0, 3.0, "429")
    assert made.value == 1
    assert repr(made) == "LearntLimit(1 of inf, 429: 20 lowered to 1)"


def test_an_unused_bound_stays() -> None:
    made = bound()
    for second in range(1000):
        assert made.accepted(10, float(second)) == 0
    assert made.value == 20


def test_what_the_bound_held_back_counts_as_use() -> None:
    made = bound()
    for _ in range(100):
        made.accepted(10, 30.0, in_use=True)
    assert made.on_trial


def test_trials_double_until_one_is_refused() -> None:
    made = bound()
    assert use(made, 5.0) == 0  # too soon
    assert use(made, 10.0) == 1
    steps = []
    while made.value < 100:
        before = made.value
        made.accepted(before, 11.0)
        steps.append(made.value - before)
    assert steps[:4] == [2, 4, 6, 8]  # a quarter at most
    known = made.passed
    assert made.refused(made.value, 12.0)
    assert made.value == known
    assert made.reason.endswith(f"back to {known:g}")


def test_a_trial_needs_its_proof() -> None:
    made = bound(proof=3)
    use(made, 10.0)
    assert made.value == 21
    assert made.accepted(20, 10.1) == 0  # known to pass
    assert made.accepted(21, 10.2) == 0
    assert made.accepted(21, 10.3) == 0
    assert made.accepted(21, 10.4) == 2
    for load in (22, 22, 22):
        made.accepted(load, 10.5)
    assert (made.passed, made.value) == (22, 23)


def test_a_refusal_far_below_explains_no_trial() -> None:
    made = bound()
    assert not made.refused(20, 1.0)  # none is under way
    use(made, 10.0)
    assert not made.refused(10, 10.1)
    assert made.refused(19, 10.2)
    assert made.value == 20


def test_a_refusal_soon_after_a_trial_that_passed_takes_its_step_back() -> None:
    made = bound()
    use(made, 10.0)
    made.accepted(21, 10.1)
    assert (made.value, made.passed) == (23, 21)
    assert made.refused(23, 10.2)
    assert made.value == 21
    assert made.refused(21, 11.0)
    assert made.value == 20
    assert not made.refused(20, 12.0)


def test_what_was_in_use_for_long_is_not_taken_back() -> None:
    made = bound()
    use(made, 10.0)
    made.accepted(21, 10.1)
    made.refused(23, 10.2)
    assert use(made, 100.0) == 1
    assert made.refused(22, 100.1)
    assert made.value == 21
    assert not made.refused(21, 101.0)


def test_refused_trials_become_rarer() -> None:
    made, now, pauses = bound(), 0.0, []
    for _ in range(8):
        began = now
        while not use(made, now):
            now += 1
        pauses.append(now - began)
        assert made.refused(made.value, now)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (10, 45)


@pytest.mark.parametrize(("seconds", "pause"), [(0.1, 15), (5, 40), (60, 60)])
def test_dear_trials_are_rare(seconds: float, pause: float) -> None:
    made = bound()
    use(made, 10.0)
    made.refused(21, 10.0)
    made.closed_for(seconds)
    now = 10.0
    while not use(made, now):
        now += 1
    assert now - 10 == pause


def test_among_chance_refusals_one_does_not_end_a_trial() -> None:
    made = bound()
    use(made, 10.0)
    assert not made.refused(21, 10.1, by_chance=True)
    assert made.refused(21, 10.2, by_chance=True)


def test_it_rises_to_its_ceiling() -> None:
    made = bound(ceiling=22)
    use(made, 10.0)
    assert made.accepted(21, 10.1) == 1
    assert made.accepted(22, 10.2) == 0
    assert (made.value, made.learnt) == (22, False)
    assert use(made, 1000.0) == 0


def test_a_lowering_is_undone() -> None:
    made = bound()
    made.undo(40, 5.0)
    assert (made.value, made.reason) == (40, "20 raised to 40: 429s came as often below it")
    made.undo(30, 6.0)
    assert made.value == 40


def test_a_bound_from_outside_replaces_it() -> None:
    made = bound()
    made.set_ceiling(5, "as set")
    assert (made.value, made.learnt, made.reason) == (5, False, "as set")


def test_a_loop_with_another_clock() -> None:
    made = bound()
    made.shift(1000.0)
    assert use(made, 1009.0) == 0
    assert use(made, 1010.0) == 1


def test_a_concurrency_limit_counts_whole_attempts() -> None:
    limit = ConcurrencyLimit(64)
    assert (limit.limit, limit.reason) == (64, "max_in_flight")
    limit.lower(10, 0.0, "429 with 11 in flight")
    assert limit.limit == 10


def test_a_bound_that_says_at_least_is_tried_soon() -> None:
    made = LearntLimit(math.inf, "no limit met", proof=1, longest_pause=60)
    made.lower(10, 0.0, "429", at_least=True)
    assert made.accepted(10, 5.0) == 0
    assert made.accepted(10, 5.0) == 1
