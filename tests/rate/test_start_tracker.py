"""Which starts were accepted."""

from __future__ import annotations

import pytest

from segmind_async._rate.start_tracker import StartTag, StartTracker


def tracker(*times: float) -> tuple[StartTracker, list[StartTag]]:
    made, tags = StartTracker(), []
    for number, at in enumerate(times, start=1):
        tags.append(StartTag(number, at, 0))
        made.add(tags[-1])
    return made, tags


def test_a_start_that_is_not_refused_in_time_counts_as_accepted() -> None:
    made, (first, second) = tracker(0.0, 0.1)
    assert made.next_due == 0.5
    assert made.due(0.4) is None
    assert made.due(0.5) == first
    assert made.end(first)
    assert made.due(0.5) is None
    assert made.due(0.6) == second


def test_each_ends_once_in_any_order() -> None:
    made, (first, second, third) = tracker(0.0, 0.1, 0.2)
    assert made.end(second)
    assert not made.end(second)
    assert repr(made) == "StartTracker(2 open, 0.5 s)"
    assert made.end(first)
    assert not made.end(first)
    assert made.due(9.0) == third
    assert made.end(third)
    assert made.next_due is None
    assert not made.end(third)


@pytest.mark.parametrize(("seconds", "delay"), [(0.001, 0.45), (1.0, 2.0), (99.0, 10.0)])
def test_how_long_refusals_take_is_learnt(seconds: float, delay: float) -> None:
    made = StartTracker()
    made.refused_after(seconds)
    assert made.delay == pytest.approx(delay)


def test_nothing_is_left_after_clear() -> None:
    made, (_, second) = tracker(0.0, 0.1)
    made.end(second)
    made.clear()
    assert made.next_due is None
    assert not made.end(second)
