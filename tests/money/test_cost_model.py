"""What calls in flight may still cost: conditional on age, summed as cumulants."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.cost_model import KEPT, CostModel, InFlightCall
from segmind_async._money.exposure import Exposure, _Sums, required_by
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


def out(model: CostModel, at: float, predicted: float | None = None) -> InFlightCall:
    return InFlightCall(model, at, predicted, model.summand_bound(predicted))


def test_before_anything_is_known_the_guess_stands_with_a_wide_margin() -> None:
    model = CostModel(CENT)
    assert not model.known
    assert model.typical() == CENT
    assert model.bound(0.0) > 10 * CENT
    exposure = Exposure()
    assert exposure.required(0, None) == 0
    assert exposure.required(0, model) > 5 * CENT
    exposure.add(out(model, 0))
    assert exposure.required(0, model) > 10 * CENT


def test_equal_costs_leave_little_margin() -> None:
    model = taught([CENT] * 400)
    assert model.typical() == CENT
    assert CENT < model.bound(0.0) < 1.2 * CENT
    exposure = Exposure()
    for _ in range(63):
        exposure.add(out(model, 0))
    assert 64 * CENT < exposure.required(0, model) < 1.2 * 64 * CENT  # 60 / 401 for kinds not seen yet


@pytest.mark.parametrize("count", [1, 4, 16, 64])
def test_the_sum_is_hardly_ever_exceeded_and_the_margin_shrinks_with_many(count: int) -> None:
    sigma = 0.8
    model = taught(lognormal(1, 400, sigma))
    exposure = Exposure()
    for _ in range(count - 1):
        exposure.add(out(model, 0))
    required = exposure.required(0, model)
    chance = random.Random(2)
    sums = [CENT * sum(chance.lognormvariate(0, sigma) for _ in range(count)) for _ in range(2000)]
    broken = sum(total > required for total in sums) / len(sums)
    assert broken <= 0.02
    # No more is held than some quantile a little further out would be.
    assert required <= 2.0 * sorted(sums)[-3]


def test_the_longer_out_the_dearer() -> None:
    chance = random.Random(3)
    costs, latencies = [], []
    for _ in range(400):
        size = chance.lognormvariate(0, 0.8)
        costs.append(int(CENT * size))
        latencies.append(4 * size * chance.lognormvariate(0, 0.1))
    tied = taught(costs, latencies)
    exposure = Exposure()
    exposure.add(out(tied, 0))
    young, old = exposure.required(0.1, None), exposure.required(30, None)
    assert old > 2 * young
    loose = taught(costs, list(reversed(latencies)))
    exposure = Exposure()
    exposure.add(out(loose, 0))
    assert exposure.required(30, None) < 1.6 * exposure.required(0.1, None)


def test_costs_that_can_be_predicted_are_measured_against_it() -> None:
    chance = random.Random(4)
    predicted = [chance.lognormvariate(0, 1.5) for _ in range(KEPT)]
    costs = [int(3 * CENT * units * chance.lognormvariate(0, 0.05)) for units in predicted]
    model = taught(costs, None, predicted)
    assert model.bound(0.0, 0.1) < 0.5 * CENT
    assert model.bound(0.0, 10.0) > 29 * CENT
    assert model.bound(0.0) > model.bound(0.0, 1.0)
    exposure = Exposure()
    exposure.add(out(model, 0, 1.0))
    assert exposure.required(0, model, 1.0) == pytest.approx(6 * CENT, rel=0.25)


def test_a_predictor_that_says_nothing_is_not_used() -> None:
    chance = random.Random(5)
    predicted = [chance.lognormvariate(0, 1.5) for _ in range(200)]
    model = taught(lognormal(5, 200, 0.1), None, predicted)
    assert model.bound(0.0, 100.0) == model.bound(0.0, 0.01)


def test_what_was_predicted_alike_of_all_cannot_make_a_call_cheaper_but_dearer() -> None:
    model = taught([5 * CENT] * 30, None, [1.0 + n % 2 * 1e-6 for n in range(30)])
    assert model.bound(0.0, 0.5) == model.bound(0.0, 1.0) == model.bound(0.0)
    assert model.bound(0.0, 2.0) == pytest.approx(2 * model.bound(0.0), rel=0.01)
    exposure = Exposure()
    for _ in range(9):
        exposure.add(out(model, 0, 0.5))
    assert exposure.required(0, None) >= 45 * CENT


def test_one_call_without_a_prediction_and_the_ratios_are_incomplete() -> None:
    model = taught([CENT, 2 * CENT, 4 * CENT], None, [1.0, 2.0, 0.0])
    assert model.bound(0.0, 9.0) == model.bound(0.0)


def test_the_last_calls_count_alone() -> None:
    model = taught([CENT] * KEPT + [3 * CENT] * (KEPT + 30))
    assert model.typical() == 3 * CENT
    assert model.bound(0.0) < 3.5 * CENT


def test_what_is_looked_at_now_and_then_is_what_the_last_calls_alone_would_say() -> None:
    chance = random.Random(8)
    costs = lognormal(8, 3 * KEPT, 0.8)
    latencies = [chance.lognormvariate(1, 0.5) for _ in costs]
    predicted = [chance.lognormvariate(0, 1.0) for _ in costs]
    watched = CostModel(CENT)
    for n, call in enumerate(zip(costs, latencies, predicted, strict=True)):
        watched.finished(*call)
        if n % 7 == 0 or n == len(costs) - 1:
            watched.bound(float(n))
    fresh = taught(costs[-KEPT:], latencies[-KEPT:], predicted[-KEPT:])
    watched._due = 0
    assert watched.typical() == fresh.typical()
    assert watched.bound(0.0) == pytest.approx(fresh.bound(0.0), rel=1e-9)
    assert watched.latency() == pytest.approx(fresh.latency(), rel=1e-9)
    assert watched.moments(9.0, 2.0) == pytest.approx(fresh.moments(9.0, 2.0), rel=1e-6)


def test_two_models_in_one_budget_add_up() -> None:
    cheap, dear = taught([CENT] * 400), taught([50 * CENT] * 400)
    exposure = Exposure()
    exposure.add(out(cheap, 0))
    exposure.add(out(dear, 0))
    assert 51 * CENT < exposure.required(0, None) < 1.25 * 51 * CENT
    assert exposure.required(0, cheap) > exposure.required(0, None)
    assert repr(exposure) == "Exposure(2 calls)"
    assert repr(cheap) == f"CostModel(typical={CENT}, calls=400)"


def test_a_call_that_outlasted_all_others_leaves_nothing_behind_when_it_ends() -> None:
    model = taught([CENT] * 100)
    exposure, alone = Exposure(), Exposure()
    late = out(model, 0)
    exposure.add(late)
    for each in (exposure, alone):
        each.add(out(model, 99.5))
    assert exposure.required(100.0, None) > 20 * CENT
    exposure.remove(late)
    assert exposure.required(100.0, None) == alone.required(100.0, None)


def test_no_cheap_answer_is_given_while_a_call_outlasts_all_others() -> None:
    model = taught([CENT] * 100)
    exposure = Exposure()
    late, fresh = out(model, 0), out(model, 100.0)
    exposure.add(late)
    room = late.summand_bound + fresh.summand_bound
    assert exposure.fits(room, out(model, 0.5))
    assert exposure.required(100.0, model) > room
    assert not exposure.fits(room, fresh)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 30))
def test_the_cheap_answer_never_contradicts_the_exact_one(steps: list[bool], room: int) -> None:
    model = taught(lognormal(6, 50, 0.8))
    held: list[InFlightCall] = []
    exposure, now = Exposure(), 0.0
    for add in steps:
        now += 0.3
        if add or not held:
            held.append(out(model, now))
            exposure.add(held[-1])
        else:
            exposure.remove(held.pop(0))
    fits = exposure.fits(room * CENT, out(model, now))
    assert fits == (exposure.required(now, model) <= room * CENT) or (fits and len(held) > 8)


def test_without_skew_the_quantile_is_the_normal_one() -> None:
    sums = _Sums(Moments(0.0, 4.0, 0.0))
    assert sums.quantile(2.5) == 5.0
    assert _Sums(Moments(7.0, 0.0, 0.0)).quantile(2.5) == 7.0


def test_what_a_model_says_of_itself() -> None:
    model = CostModel(CENT, "m")
    assert (model.name, model.reason, model.latency()) == ("m", "a first guess", 0.0)
    assert model.relative_variance() > 1
    assert model.longest() == 0.0
    assert model.guessed
    model.finished(CENT, 2.0, 1.0)
    model.fitted(0.0)
    assert (model.reason, model.latency()) == ("the last 1 calls", pytest.approx(2.0))
    assert model.longest() > 2.0
    for n in range(1, 30):
        model.finished(n * CENT, 2.0, float(n))
    model.fitted(0.0)
    assert model.reason == "the last 30 calls, by their length"
    assert model.relative_variance() > 0
    assert not model.guessed


def test_a_far_age_does_not_overflow() -> None:
    model = taught(lognormal(7, 50, 2.0), [1 + n % 7 for n in range(50)])
    exposure = Exposure()
    exposure.add(out(model, 0))
    for age in (0, 1e-9, 1e3, 1e9):
        assert 0 < exposure.required(age, model) < 10**15
    assert math.isfinite(model.summand_bound(None))


def test_a_cost_of_nothing_is_possible() -> None:
    model = taught([0] * 20)
    assert model.typical() == 0
    assert model.bound(0.0) <= 10
    assert model.fitted(0.0) is not None


@pytest.mark.parametrize("third", [1e20, 1e24, 1e28])
def test_however_skewed_a_sum_is_its_quantile_is_not_below_its_mean(third: float) -> None:
    assert _Sums(Moments(1.0, 1e6, third)).quantile(2.33) >= 1.0


@pytest.mark.parametrize("predicted", [None, [10.0 * CENT, 20.0 * CENT] * 50])
def test_a_restored_model_expects_what_the_first_one_did(predicted: list[float] | None) -> None:
    costs = lognormal(3, 100, 0.8)
    first = taught(costs, [1 + cost / CENT for cost in costs], predicted)
    kept = first.state(100)
    again = CostModel(7 * CENT)
    again.restore(kept)
    exposures = []
    for model in (first, again):
        exposure = Exposure()
        for age in (0.0, 0.5, 3.0):
            exposure.add(InFlightCall(model, 10 - age, None, model.summand_bound(None)))
        exposures.append(exposure.required(10.0, model))
    assert exposures[1] == pytest.approx(exposures[0], rel=1e-3)
    assert (again.typical(), again.unseen(5)) == (first.typical(), first.unseen(5))
    assert again.state(100) == kept


def test_what_is_kept_is_the_newest_and_how_many_there_were() -> None:
    state = taught([CENT, 2 * CENT, 3 * CENT], [1.0, 2.0, 3.0], [5.0, 6.0, 7.0]).state(2)
    assert state.ever == 3
    assert state.calls == [(2 * CENT, 2.0, 6), (3 * CENT, 3.0, 7)]


def test_what_has_finished_here_is_not_replaced_by_what_is_restored() -> None:
    model = taught([CENT])
    model.restore(taught([9 * CENT] * 10).state(10))
    assert model.typical() == CENT


def test_calls_that_run_without_us_are_held_for_with_their_spread_and_by_their_ages() -> None:
    model = taught(lognormal(5, 400, 0.6), [1.0 * n for n in range(1, 401)])
    young = required_by([(model, 0.0)] * 64, 0.0)
    assert required_by([], 0.0) == 0
    assert 64 * model.typical() < young < 2 * 64 * model.typical()
    exposure = Exposure()
    for _ in range(64):
        exposure.add(out(model, 0))
    assert young == exposure.required(0, None)
