"""From some to all: how far off, and how often."""

from __future__ import annotations

import math
import random

import pytest

from segmind_async._jobs.extrapolation import Moments, mean_of_rest, share


def moments(*values: float) -> Moments:
    result = Moments()
    for value in values:
        result.add(value)
    return result


def test_moments() -> None:
    got = moments(1, 2, 3, 10)
    assert (got.count, got.total, got.mean) == (4, 16, 4)
    assert got.deviation == pytest.approx(4.08248, abs=1e-5)
    assert got.skewness == pytest.approx(sum((x - 4) ** 3 for x in (1, 2, 3, 10)) / 4 / got.deviation**3)
    assert (Moments().mean, moments(5).deviation, moments(5, 5, 5).skewness) == (0, 0, 0)


def test_of_few_values_and_of_no_rest_nothing_is_said() -> None:
    assert mean_of_rest(moments(1, 2, 3, 4), 100) is None
    assert mean_of_rest(moments(1, 2, 3, 4, 5), 0) is None


def test_a_fixed_price_leaves_no_doubt() -> None:
    assert mean_of_rest(moments(*[0.1] * 20), 1000) == pytest.approx((0.1, 0.1))


def test_what_lies_around_a_middle_is_what_student_says() -> None:
    values = [10 + math.sin(n) for n in range(400)]
    got = mean_of_rest(moments(*values), 10**9)
    assert got is not None
    half = 1.96595 * moments(*values).deviation / 20
    assert got == pytest.approx((moments(*values).mean - half, moments(*values).mean + half), abs=2e-3)


def test_a_rest_that_is_small_spreads_itself() -> None:
    values = moments(*range(10))
    few, many = mean_of_rest(values, 5), mean_of_rest(values, 10**6)
    assert few is not None
    assert many is not None
    assert few.high - few.low > 1.5 * (many.high - many.low)


def test_more_confidence_needs_more_room_and_nothing_costs_less_than_nothing() -> None:
    values = moments(0, 0, 0, 0, 1)
    wide, narrow = mean_of_rest(values, 100, 0.99), mean_of_rest(values, 100, 0.5)
    assert wide is not None
    assert narrow is not None
    assert wide.low == 0 <= narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("sigma", "least"), [(0.3, 0.93), (0.8, 0.91), (1.2, 0.87)])
def test_the_mean_of_costs_with_a_long_tail_lies_inside_about_as_often_as_is_said(
    sigma: float, least: float
) -> None:
    chance, truth = random.Random(1), math.exp(sigma**2 / 2)
    hits = 0
    for _ in range(1000):
        got = mean_of_rest(moments(*[chance.lognormvariate(0, sigma) for _ in range(20)]), 10**6)
        assert got is not None
        hits += got.low <= truth <= got.high
    assert least <= hits / 1000 <= 0.98


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [
        pytest.param(0, 20, (0.0, 0.161), id="none-seen-is-not-none-there"),
        pytest.param(20, 20, (0.839, 1.0), id="all"),
        pytest.param(5, 50, (0.043, 0.214), id="some"),
    ],
)
def test_shares(hits: int, count: int, expected: tuple[float, float]) -> None:
    assert share(hits, count) == pytest.approx(expected, abs=1e-3)
    assert share(0, 0) is None
