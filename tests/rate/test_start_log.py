"""Starts by number and instant."""

from __future__ import annotations

from segmind_async._rate.start_log import StartLog


def log(*times: float) -> StartLog:
    made = StartLog(60, 1000)
    for number, at in enumerate(times, start=1):
        made.add(at, number)
    return made


def test_starts_before_another_within_a_span() -> None:
    made = log(0, 1, 2, 3)
    assert made.before(4, 3.0, 10) == 3
    assert made.before(4, 3.0, 2) == 1  # at 2; the span begins after 1
    assert made.before(1, 0.0, 10) == 0
    assert made.before(9, 3.0, 10) == 4


def test_a_late_one_is_put_in_its_place() -> None:
    made = StartLog(60, 1000)
    made.add(0.0, 1)
    made.add(2.0, 3)
    made.add(1.0, 2)
    assert made.ages(2.0) == (0.0, 1.0, 2.0)


def test_the_oldest_in_a_span_and_the_newest_from_the_end() -> None:
    made = log(0, 1, 2)
    assert made.oldest(2.0, 1.5) == 1
    assert made.oldest(10.0, 1.5) is None
    assert made.newest(2) == 1


def test_old_ones_are_forgotten() -> None:
    made = log(*range(3000))
    made.trim(3000.0)
    assert len(made) == 59
    assert repr(made) == "StartLog(59 starts within 60 s)"
    made.trim(4000.0)
    assert len(made) == 0


def test_no_more_than_the_most_are_kept() -> None:
    made = StartLog(60, 10)
    for number in range(5000):
        made.add(0.0, number)
        made.trim(0.0)
    assert len(made) == 10


def test_older_ones_are_put_in_front() -> None:
    made = log(10.0)
    made.extend([1.0, 2.0])
    assert made.ages(10.0) == (0.0, 8.0, 9.0)


def test_a_loop_with_another_clock() -> None:
    made = log(1.0, 2.0)
    made.shift(100.0)
    assert made.ages(102.0) == (0.0, 1.0)
