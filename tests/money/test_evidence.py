"""What is learnt beside single costs: hindsight, balances for costs, doubts, reservations."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.balance_costs import BalanceCosts
from segmind_async._money.cost_model import CostModel, InFlightCall
from segmind_async._money.doubts import Doubts
from segmind_async._money.hindsight import COHORT, Hindsight
from segmind_async._money.lognormal import Moments
from segmind_async._money.service_reservations import ServiceReservations, is_free

CENT = 10**8


def test_more_predicted_than_usual_may_cost_more() -> None:
    model = CostModel(CENT)
    for _ in range(20):
        model.finished(CENT, 1.0, 2.0)
    assert model.summand_bound(4.0) == pytest.approx(2 * model.summand_bound(2.0), rel=1e-6)
    assert model.summand_bound(1.0) == model.summand_bound(None) == model.summand_bound(2.0)


def cohort(hindsight: Hindsight, expected: float, costs: list[int | None]) -> None:
    numbers = [hindsight.sent(expected) for _ in costs]
    for number, cost in zip(numbers, costs, strict=True):
        hindsight.ended(number, expected, cost)


def test_estimates_that_lag_are_corrected() -> None:
    hindsight = Hindsight()
    for _ in range(4):
        cohort(hindsight, 100.0, [150] * COHORT)
    assert hindsight.factor == pytest.approx(1.5, rel=0.05)
    for _ in range(20):
        cohort(hindsight, 100.0, [50] * COHORT)
    assert hindsight.factor == 1.0
    assert repr(hindsight) == "Hindsight(× 1)"


def test_one_dear_call_in_a_cohort_says_little() -> None:
    hindsight = Hindsight()
    cohort(hindsight, 100.0, [6500, *[100] * (COHORT - 1)])
    assert hindsight.factor < 1.4


def test_what_was_not_billed_is_not_expected() -> None:
    hindsight = Hindsight()
    cohort(hindsight, 100.0, [None, *[100] * (COHORT - 1)])
    assert hindsight.factor == 1.0
    cohort(hindsight, 100.0, [None] * COHORT)
    cohort(hindsight, 100.0, [0] * COHORT)
    assert hindsight.factor == 1.0


def test_a_call_beyond_the_cohort_is_not_followed() -> None:
    hindsight = Hindsight()
    assert all(hindsight.sent(100.0) == 1 for _ in range(COHORT))
    assert hindsight.sent(100.0) == 0
    hindsight.drop_cohort()
    hindsight.ended(1, 100.0, 10**9)
    assert hindsight.sent(100.0) == 2
    assert hindsight.factor == 1.0


def drift(to: float) -> CostModel:
    """Calls one after the other whose cost changes evenly to *to*."""
    model, chance = CostModel(CENT), random.Random(1)
    for n in range(1200):
        held = InFlightCall(model, float(n), None, 0)
        model.started(held)
        model.learn(held, int(CENT * to ** (n / 1200) * chance.lognormvariate(0, 0.3)), 1.0)
    return model


@pytest.mark.parametrize("to", [6.0, 1 / 6])
def test_costs_that_drift_are_followed(to: float) -> None:
    model = drift(to)
    model.fitted(1200.0)
    assert 0.85 * to * CENT < model.moments(0.0, None).mean < 1.5 * to * CENT


@pytest.mark.parametrize("to", [4, 0.25])
def test_after_a_jump_what_was_before_is_forgotten(to: float) -> None:
    model, chance = CostModel(CENT), random.Random(2)
    for n in range(500):
        model.finished(int(CENT * (to if n >= 440 else 1) * chance.lognormvariate(0, 0.4)), 1.0)
    assert model.typical() == pytest.approx(to * CENT * 1.08, rel=0.3)


def test_one_odd_block_is_no_jump() -> None:
    model = CostModel(CENT)
    for n in range(500):
        model.finished(2 * CENT if 425 <= n < 450 else CENT, 1.0)
    assert repr(model).endswith("calls=400)")


def test_an_absurd_cost_teaches_no_more_than_a_dear_one() -> None:
    model = CostModel(CENT)
    for _ in range(100):
        model.finished(CENT, 1.0)
    model.finished(10**25, 1.0)
    assert model.typical() < 20 * CENT


def test_a_fall_that_is_far_too_large_is_somebody_elses_unless_it_comes_often() -> None:
    model = CostModel(CENT)
    assert model.not_its_own(100 * CENT) == 0  # nothing is known
    for _ in range(100):
        model.finished(CENT, 1.0)
    assert model.not_its_own(CENT) == 0
    assert [model.not_its_own(100 * CENT) for _ in range(5)] == [99 * CENT] * 3 + [0] * 2


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_balances_tell_each_calls_cost_whatever_the_order(seed: int, count: int) -> None:
    chance, costs = random.Random(seed), BalanceCosts[int]()
    costs.begin(10**6)
    balance, answers = 10**6, []
    real = {}
    for call in range(1, count + 1):
        real[call] = chance.randrange(1, 1000)
        balance -= real[call]
        answers.append((call + chance.uniform(0, 5), call, balance))
    found: dict[int, int | None] = {}
    for at, call, named in sorted(answers):
        costs.add(call, named, at)
        found.update(costs.known(at, in_flight=count))
    found.update(costs.known(count + 100.0, in_flight=0))
    assert found.keys() == real.keys()
    assert sum(cost or 0 for cost in found.values()) == 10**6 - balance
    assert None in found.values() or found == real


def test_an_answer_waits_as_long_as_others_were_late() -> None:
    costs = BalanceCosts[str]()
    costs.begin(1000)
    costs.add("second", 700, 10.0)
    costs.add("first", 900, 13.0)
    assert costs.known(13.0, in_flight=5) == []
    assert costs.known(20.0, in_flight=5) == [("first", 100), ("second", 200)]
    costs.add(None, 600, 21.0)  # its cost was named
    costs.add("third", 550, 21.0)
    assert costs.known(21.0, in_flight=0) == [("third", 50)]
    costs.add("too late", 800, 22.0)
    assert costs.known(22.0, in_flight=0) == [("too late", None)]
    assert repr(costs) == "BalanceCosts(0 wait, below 550)"


def test_a_balance_is_begun_with_once() -> None:
    costs = BalanceCosts[str]()
    costs.begin(1000)
    costs.begin(5000)
    costs.add("a", 900, 1.0)
    assert costs.known(1.0, in_flight=0) == [("a", 100)]
    assert costs.known(2.0, in_flight=0) == []


def test_what_was_paid_in_hides_costs() -> None:
    costs = BalanceCosts[str]()
    costs.add("before any balance", 900, 1.0)
    assert costs.known(9.0, in_flight=0) == [("before any balance", None)]
    costs.add("a", 800, 10.0)
    costs.add(None, 700, 10.0)
    assert costs.restart(5000) == ["a"]
    costs.add("b", 4900, 11.0)
    assert costs.known(11.0, in_flight=0) == [("b", 100)]


def test_many_doubts_need_less_than_each_alone() -> None:
    doubts = Doubts()
    assert (doubts.units, doubts.settle_at) == (0, None)
    for at in range(10):
        doubts.add(float(at), Moments(100.0, 100.0**2, 0.0))
    assert 1000 < doubts.units < 10 * 360
    doubts.add(-5.0, Moments(500, 0.0, 0.0))
    assert (doubts.settle_at, repr(doubts)) == (69.0, f"Doubts(11 calls, {doubts.units} units)")
    doubts.settle(54.0)
    doubts.shift(100.0)
    doubts.settle(164.0)
    assert doubts.units < 5 * 360
    doubts.settle(260.0)
    assert doubts.units == 0


@given(st.lists(st.floats(0.0, 1e6), min_size=1))
def test_doubts_settle_at_the_very_instant_that_they_name(times: list[float]) -> None:
    doubts = Doubts()
    for at in times:
        doubts.add(at, Moments(1.0, 0.0, 0.0))
    settle_at = doubts.settle_at
    assert settle_at is not None
    doubts.settle(math.nextafter(settle_at, 0.0))
    assert doubts.units >= 1
    doubts.settle(settle_at)
    assert doubts.units == 0


def in_flight(model: CostModel, count: int) -> None:
    for _ in range(count):
        model.started(InFlightCall(model, 0.0, None, 0))


def test_reservations_are_shared_by_what_is_in_flight() -> None:
    model = CostModel(CENT, "m")
    for _ in range(100):
        model.finished(CENT, 1.0)
    model.fitted(0.0)
    reservations = ServiceReservations()
    assert reservations.with_one_more(model) == 0
    in_flight(model, 10)
    reservations.refused(model, None, 5 * CENT, 45 * CENT, 10)
    assert repr(reservations) == "ServiceReservations(m: 440000000)"
    assert 4.4 * 11 * CENT <= reservations.with_one_more(model) <= 5.5 * 11 * CENT
    reservations.forget()
    assert reservations.with_one_more(model) == 0


@pytest.mark.parametrize(
    ("free", "needed", "others", "each"),
    [
        pytest.param(None, None, 9, 10.0, id="nothing is named: one more did not fit"),
        pytest.param(None, 7, 3, 7.0, id="few in flight: the named one"),
        pytest.param(None, 10, 9, 11.0, id="many in flight: their share"),
        pytest.param(10, None, 9, 11.0, id="what is free is named"),
        pytest.param(10, None, 0, 50.0, id="nothing in flight"),
    ],
)
def test_what_one_call_reserves(free: int | None, needed: int | None, others: int, each: float) -> None:
    model, reservations = CostModel(1), ServiceReservations()
    known = 100 if others else 50
    reservations.refused(model, free, needed, known, others)
    assert reservations.each[model] == pytest.approx(each)


def test_a_balance_in_a_406_is_what_is_free_if_it_lies_far_below() -> None:
    assert is_free(2, 100, 5, 50.0)
    assert not is_free(99, 100, 5, 50.0)
    assert is_free(20, 100, None, 50.0)
    assert not is_free(90, 100, None, 50.0)
