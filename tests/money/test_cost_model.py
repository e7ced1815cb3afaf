"""Bounds of what calls in flight may still cost: conditional on age, summed as cumulants."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.cost_model import KEPT, CostModel, Exposure, InFlightCall, _Total
from segmind_async._money.lognormal import Moments

CENT = 10**8


def taught(
    costs: list[int], latencies: list[float] | None = None, predicted: list[float] | None = None
) -> CostModel:
    model = CostModel(CENT)
    for n, cost in enumerate(costs):
        model.finished(cost, latencies[n] if latencies else 1.0, predicted[n] if predicted else None)
    return model


def lognormal(seed: int, count: int, sigma: float) -> list[int]:
    chance = random.Random(seed)
    return [int(CENT * chance.lognormvariate(0, sigma)) for _ in range(count)]


def in_flight(model: CostModel, at: float, predicted: float | None = None) -> InFlightCall:
    return InFlightCall(model, at, predicted, model.summand_bound(predicted))


def test_before_any_call_has_finished_the_guess_counts_with_a_wide_margin() -> None:
    model = CostModel(CENT)
    assert not model.known
    assert model.typical() == CENT
    assert model.upper_bound() > 10 * CENT
    exposure = Exposure()
    assert exposure.required(0, None) == 0
    assert exposure.required(0, model) == CENT  # the first call teaches what calls cost
    exposure.add(in_flight(model, 0))
    assert exposure.required(0, model) > 10 * CENT


def test_equal_costs_need_little_margin() -> None:
    model = taught([CENT] * 400)
    assert model.typical() == CENT
    assert CENT < model.upper_bound() < 1.2 * CENT
    exposure = Exposure()
    for _ in range(63):
        exposure.add(in_flight(model, 0))
    assert 64 * CENT < exposure.required(0, model) < 1.1 * 64 * CENT


@pytest.mark.parametrize("count", [1, 4, 16, 64])
def test_the_sum_is_hardly_ever_exceeded_and_the_margin_shrinks_with_many(count: int) -> None:
    sigma = 0.8
    model = taught(lognormal(1, 400, sigma))
    exposure = Exposure()
    for _ in range(count - 1):
        exposure.add(in_flight(model, 0))
    required = exposure.required(0, model)
    chance = random.Random(2)
    sums = [CENT * sum(chance.lognormvariate(0, sigma) for _ in range(count)) for _ in range(2000)]
    broken = sum(total > required for total in sums) / len(sums)
    assert broken <= 0.02
    # The margin is no wider than twice a quantile far out.
    assert required <= 2.0 * sorted(sums)[-3]


def test_the_longer_a_call_is_in_flight_the_more_it_will_cost() -> None:
    chance = random.Random(3)
    costs, latencies = [], []
    for _ in range(400):
        size = chance.lognormvariate(0, 0.8)
        costs.append(int(CENT * size))
        latencies.append(4 * size * chance.lognormvariate(0, 0.1))
    tied = taught(costs, latencies)
    exposure = Exposure()
    exposure.add(in_flight(tied, 0))
    young, old = exposure.required(0.1, None), exposure.required(30, None)
    assert old > 2 * young
    loose = taught(costs, list(reversed(latencies)))
    exposure = Exposure()
    exposure.add(in_flight(loose, 0))
    assert exposure.required(30, None) < 1.6 * exposure.required(0.1, None)


def test_costs_that_follow_a_predictor_are_measured_against_it() -> None:
    chance = random.Random(4)
    predicted = [chance.lognormvariate(0, 1.5) for _ in range(200)]
    costs = [int(3 * CENT * each * chance.lognormvariate(0, 0.05)) for each in predicted]
    model = taught(costs, None, predicted)
    assert model.upper_bound(0.1) < 0.5 * CENT
    assert model.upper_bound(10.0) > 29 * CENT
    assert model.upper_bound() > model.upper_bound(1.0)
    exposure = Exposure()
    exposure.add(in_flight(model, 0, 1.0))
    assert exposure.required(0, model, 1.0) == pytest.approx(6 * CENT, rel=0.25)


def test_a_predictor_without_relation_to_costs_is_not_used() -> None:
    chance = random.Random(5)
    predicted = [chance.lognormvariate(0, 1.5) for _ in range(200)]
    model = taught(lognormal(5, 200, 0.1), None, predicted)
    assert model.upper_bound(100.0) == model.upper_bound(0.01)


def test_a_constant_predictor_raises_a_bound_but_never_lowers_it() -> None:
    model = taught([5 * CENT] * 30, None, [1.0 + n % 2 * 1e-6 for n in range(30)])
    assert model.upper_bound(0.5) == model.upper_bound(1.0) == model.upper_bound()
    assert model.upper_bound(2.0) == pytest.approx(2 * model.upper_bound(), rel=0.01)
    exposure = Exposure()
    for _ in range(9):
        exposure.add(in_flight(model, 0, 0.5))
    assert exposure.required(0, None) >= 45 * CENT


def test_one_call_without_a_prediction_disables_the_ratios() -> None:
    model = taught([CENT, 2 * CENT, 4 * CENT], None, [1.0, 2.0, 0.0])
    assert model.upper_bound(9.0) == model.upper_bound()


def test_only_the_last_calls_count() -> None:
    model = taught([CENT] * KEPT + [3 * CENT] * (KEPT + 30))
    assert model.typical() == 3 * CENT
    assert model.upper_bound() < 3.5 * CENT


def test_running_sums_equal_sums_over_the_kept_calls() -> None:
    chance = random.Random(8)
    costs = lognormal(8, 3 * KEPT, 0.8)
    latencies = [chance.lognormvariate(1, 0.5) for _ in costs]
    predicted = [chance.lognormvariate(0, 1.0) for _ in costs]
    watched = CostModel(CENT)
    for n, call in enumerate(zip(costs, latencies, predicted, strict=True)):
        watched.finished(*call)
        if n % 7 == 0 or n == len(costs) - 1:
            watched._fits_at = 0
            watched.upper_bound()
    fresh = taught(costs[-KEPT:], latencies[-KEPT:], predicted[-KEPT:])
    assert watched.typical() == fresh.typical()
    assert watched.upper_bound() == pytest.approx(fresh.upper_bound(), rel=1e-9)
    assert watched.latency() == pytest.approx(fresh.latency(), rel=1e-9)
    assert watched.moments(9.0, 2.0) == pytest.approx(fresh.moments(9.0, 2.0), rel=1e-6)


def test_two_models_in_one_exposure_add_up() -> None:
    cheap, expensive = taught([CENT] * 100), taught([50 * CENT] * 100)
    exposure = Exposure()
    exposure.add(in_flight(cheap, 0))
    exposure.add(in_flight(expensive, 0))
    assert 51 * CENT < exposure.required(0, None) < 1.25 * 51 * CENT
    assert exposure.required(0, cheap) > exposure.required(0, None)
    assert repr(exposure) == "Exposure(2 calls)"
    assert repr(cheap) == f"CostModel(typical={CENT}, calls=100)"


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 30))
def test_the_cheap_bound_never_contradicts_the_exact_one(steps: list[bool], room: int) -> None:
    model = taught(lognormal(6, 50, 0.8))
    calls: list[InFlightCall] = []
    exposure, now = Exposure(), 0.0
    for add in steps:
        now += 0.3
        if add or not calls:
            calls.append(in_flight(model, now))
            exposure.add(calls[-1])
        else:
            exposure.remove(calls.pop(0))
    fits = exposure.fits(room * CENT, in_flight(model, now))
    assert fits == (exposure.required(now, model) <= room * CENT) or (fits and len(calls) > 8)


def test_without_skew_the_quantile_is_the_normal_one() -> None:
    total = _Total()
    total.add(taught([CENT] * 9), Moments(0.0, 4.0, 0.0), None)
    assert total.quantile(2.5) == 5.0


def test_the_estimate_names_its_reason() -> None:
    model = CostModel(CENT, "m")
    assert (model.name, model.reason, model.latency()) == ("m", "a first guess", 0.0)
    assert model.relative_spread() > 1
    model.finished(CENT, 2.0, 1.0)
    assert (model.reason, model.latency()) == ("the last 1 calls", pytest.approx(2.0))
    for n in range(1, 30):
        model.finished(n * CENT, 2.0, float(n))
    assert model.reason == "the last 30 calls, by their length"


def test_a_great_age_does_not_overflow() -> None:
    model = taught(lognormal(7, 50, 2.0), [1 + n % 7 for n in range(50)])
    exposure = Exposure()
    exposure.add(in_flight(model, 0))
    for age in (0, 1e-9, 1e3, 1e9):
        assert 0 < exposure.required(age, model) < 10**15
    assert math.isfinite(model.quantile(8, None))


def test_a_cost_of_zero_is_possible() -> None:
    model = taught([0] * 20)
    assert model.typical() == 0
    assert model.upper_bound() <= 10
