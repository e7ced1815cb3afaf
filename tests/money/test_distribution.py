"""What a call costs given its age: finished calls, calls in flight, and what neither has shown."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.distribution import Distribution
from segmind_async._money.lognormal import Lognormal


def calls(seed: int, count: int, sigma: float = 0.8, slope: float = 0.7) -> list[tuple[float, float]]:
    """Pairs of ln(cost) and ln(latency), tied to each other."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        z = chance.gauss(0, 1)
        pairs.append((sigma * z + chance.gauss(0, 0.1), 1 + slope * sigma * z))
    return pairs


def at(seconds: float, pairs: list[tuple[float, float]]) -> tuple[list[tuple[float, float]], list[float]]:
    """Split calls that all start at 0 into finished ones and ages, after so many seconds."""
    finished = [pair for pair in pairs if math.exp(pair[1]) <= seconds]
    return finished, [seconds] * (len(pairs) - len(finished))


def test_early_finishers_do_not_stand_for_all() -> None:
    pairs = calls(1, 400)
    finished, ages = at(2.0, pairs)
    assert 80 < len(finished) < 160
    truth = sum(math.exp(x) for x, _ in pairs) / len(pairs)
    of_finished = sum(math.exp(x) for x, _ in finished) / len(finished)
    assert of_finished < 0.5 * truth
    assert Distribution(finished, ages, len(finished)).moments(0.0).mean == pytest.approx(truth, rel=0.25)
    assert Distribution(finished, [], len(finished)).moments(0.0).mean == pytest.approx(of_finished, rel=0.1)


def test_calls_in_flight_keep_the_mean_uncertain() -> None:
    pairs = calls(2, 64)
    before = math.inf
    for seconds in (1.2, 2.0, 3.0, 5.0, 100.0):
        finished, ages = at(seconds, pairs)
        uncertainty = Distribution(finished, ages, len(finished)).uncertainty
        assert uncertainty < before
        before = uncertainty
    assert before < 0.05


def test_one_call_says_little() -> None:
    one = Distribution([(0.0, 0.0)], [], 1)
    assert one.uncertainty > 1
    assert one.relative_variance > 0.8
    eight = Distribution([(0.0, 0.0)] * 8, [], 8)
    assert eight.relative_variance > 0.2
    many = Distribution([(0.0, 0.0)] * 400, [], 400)
    assert many.relative_variance < 0.03
    assert many.uncertainty < 1e-3


def test_two_kinds_keep_their_mean_and_their_spread() -> None:
    chance = random.Random(3)
    pairs = [(chance.gauss(3.4 if n % 10 == 0 else 0.0, 0.3), chance.gauss(0, 0.3)) for n in range(400)]
    costs = [math.exp(x) for x, _ in pairs]
    mean = sum(costs) / len(costs)
    found = Distribution(pairs, [], 400).moments(0.0)
    assert found.mean == pytest.approx(mean, rel=0.05)
    assert found.variance == pytest.approx(sum((cost - mean) ** 2 for cost in costs) / 400, rel=0.6)


def test_a_call_out_longer_than_any_took_may_be_of_another_kind() -> None:
    chance = random.Random(4)
    pairs = [(1.5 * z, z) for z in (chance.gauss(0, 0.2) for _ in range(100))]
    found = Distribution(pairs, [5.0] * 10, 100)
    assert found.moments(5.0).mean > 5 * found.moments(0.5).mean
    assert found.moments(0.0).mean > 1.1 * Distribution(pairs, [], 100).moments(0.0).mean


def test_the_longer_calls_outlast_all_finished_ones_the_dearer_a_next_call_is() -> None:
    chance = random.Random(5)
    pairs = [(1.5 * z, z) for z in (chance.gauss(0, 0.2) for _ in range(100))]
    means = [Distribution(pairs, [age] * 10, 100).moments(0.0).mean for age in (2.0, 4.0, 8.0, 16.0)]
    assert means == sorted(means)
    assert means[-1] > 3 * means[0]


def test_calls_as_old_as_the_slowest_finished_one_may_outlast_it() -> None:
    pairs, y = calls(6, 40), math.log(9.0)
    pairs = [(x, min(latency, y)) for x, latency in pairs]
    seconds = math.exp(max(latency for _, latency in pairs))
    as_old = Distribution(pairs, [seconds] * 40, 40).moments(0.0).mean
    assert as_old > Distribution(pairs, [], 40).moments(0.0).mean


@given(
    st.lists(st.tuples(st.floats(0, 60), st.floats(-13, 12)), min_size=1, max_size=30),
    st.lists(st.floats(0, 1e6), max_size=30),
    st.floats(0, 1e6),
)
def test_whatever_comes_the_figures_are_finite(
    pairs: list[tuple[float, float]], ages: list[float], age: float
) -> None:
    found = Distribution(pairs, ages, len(pairs))
    for value in (*found.moments(age), *found.moments(0.0), found.uncertainty, found.latency, found.longest):
        assert 0 <= value < math.inf
    assert found.lognormal.quantile(2.6) < math.inf


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_the_fit_finds_what_it_was_drawn_from(slope: float) -> None:
    pairs = calls(5, 4000, slope=slope) if slope else [(x, random.gauss(1, 0.5)) for x, _ in calls(5, 4000)]
    fit = Lognormal(pairs, [])
    assert fit.sigma == pytest.approx(0.8, rel=0.1)
    assert fit.nu == pytest.approx(1.0, abs=0.05)
    assert fit.raw(1, -30) == pytest.approx(math.exp(0.33), rel=0.1)


def test_beyond_all_sense_the_tail_is_its_asymptote() -> None:
    fit = Lognormal([(3.0 * y, y) for y in (-13.0, -6.0, 0.0, 6.0, 13.0)] * 9, [])
    assert 0 < fit.beyond(3, 30.0) < math.inf
    assert fit.beyond(1, -30.0) > 0


def test_far_ages_use_the_asymptote() -> None:
    fit = Lognormal([(0.0, 0.0), (0.1, 0.1)] * 50, [1e30])
    assert math.isfinite(fit.raw(3, 30.0))
    assert math.isfinite(fit.beyond(3, 30.0))
    assert fit.deviation(0.0) == -30.0
