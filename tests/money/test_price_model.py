"""What the balance tells beyond named costs: a factor on list prices, and others who spend."""

from __future__ import annotations

import random

import pytest

from segmind_async._money.external_spend import ExternalSpend
from segmind_async._money.lognormal import NO_MOMENTS
from segmind_async._money.price_model import PriceModel


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.01, 70.0])
def test_a_price_model_finds_its_factor_through_noise(factor: float) -> None:
    chance, prices = random.Random(1), PriceModel()
    for _ in range(300):
        listed = 1e6 * chance.lognormvariate(0, 0.8)
        prices.learn(int(factor * listed * chance.lognormvariate(0, 0.1)), listed)
    assert prices.price(1e6) == pytest.approx(factor * 1e6, rel=0.15)


def test_one_call_alone_sets_the_level() -> None:
    prices = PriceModel()
    assert prices.price(300) == 300
    prices.learn(900, 300)
    assert prices.price(300) == pytest.approx(900, rel=0.15)
    assert repr(prices).startswith("PriceModel(list price × 2.9")


def test_calls_without_tokens_teach_nothing() -> None:
    prices = PriceModel()
    prices.learn(900, 0)
    assert prices.price(300) == 300


def test_free_calls_cost_nothing() -> None:
    prices = PriceModel()
    for _ in range(50):
        prices.learn(0, 2e6)
    assert prices.price(2e6) < 1e4


def test_others_are_expected_to_go_on_as_they_did() -> None:
    external = ExternalSpend()
    for tenth in range(200):
        external.add(10, 100, tenth / 10)
    ahead = external.until(20.0, 2.0)
    assert ahead.mean == pytest.approx(200, rel=0.25)
    assert ahead.variance < 60**2
    assert external.until(20.1, 4.0).mean == 2 * ahead.mean
    assert external.until(40.0, 2.0).mean == 0  # silence speaks too
    assert repr(external) == "ExternalSpend(19 steps, 2000 unexplained)"


def test_bursts_are_expected_to_come_in_bursts() -> None:
    steady, bursts = ExternalSpend(), ExternalSpend()
    for second in range(60):
        steady.add(10, 20, float(second))
        bursts.add(80 if second % 8 == 0 else 0, 20, float(second))
    assert bursts.until(60.0, 4.0).variance > 50 * steady.until(60.0, 4.0).variance
    assert bursts.until(60.0, 4.0).third > 0


def test_noise_is_nobody() -> None:
    external = ExternalSpend()
    for tenth in range(100):
        external.add(50 if tenth % 2 else -50, 100, tenth / 10)
    assert external.until(10.0, 2.0) == NO_MOMENTS
    assert external.silent


def test_too_little_says_nothing() -> None:
    external = ExternalSpend()
    assert external.until(10.0, 2.0) == NO_MOMENTS
    external.shift(5)
    external.add(10, 10, 0)
    assert external.until(10.0, 2.0) == NO_MOMENTS


def test_what_is_long_past_is_forgotten() -> None:
    external = ExternalSpend()
    for second in range(10):
        external.add(10, 10, float(second))
    for second in range(10, 100):
        external.add(0, 10, float(second))
    assert external.until(100.0, 2.0) == NO_MOMENTS


def test_a_loop_with_another_clock() -> None:
    external, same = ExternalSpend(), ExternalSpend()
    for tenth in range(200):
        external.add(10, 100, 1000 + tenth / 10)
        same.add(10, 100, tenth / 10)
    external.shift(-1000)
    assert external.until(20.0, 2.0) == same.until(20.0, 2.0)
