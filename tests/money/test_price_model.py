"""What falls of the balance teach: the price of tokens, and external spend."""

from __future__ import annotations

import random

import pytest

from segmind_async._money.external_spend import ExternalSpend
from segmind_async._money.price_model import PriceModel


@pytest.mark.parametrize(
    ("input_price", "output_price"), [(1.0, 1.0), (3.0, 3.0), (0.01, 0.01), (70.0, 90.0), (2.0, 8.0)]
)
def test_both_prices_are_found_through_noise(input_price: float, output_price: float) -> None:
    chance, price_model = random.Random(1), PriceModel()
    for _ in range(300):
        u = [1e6 * chance.lognormvariate(0, 0.8) for _ in range(16)]
        v = [1e6 * chance.lognormvariate(0, 0.8) for _ in range(16)]
        fall = input_price * sum(u) + output_price * sum(v) + chance.gauss(0, 1e6 * input_price)
        price_model.learn(int(fall), sum(u), sum(v), 16)
    assert price_model.price(1e6, 0) == pytest.approx(input_price * 1e6, rel=0.2)
    assert price_model.price(0, 1e6) == pytest.approx(output_price * 1e6, rel=0.2)


def test_one_call_alone_sets_the_level_and_leaves_the_ratio() -> None:
    price_model = PriceModel()
    assert price_model.price(100, 200) == 300
    price_model.learn(900, 100, 200, 1)
    assert price_model.price(100, 200) == pytest.approx(900, rel=0.15)
    assert price_model.price(100, 0) == pytest.approx(price_model.price(0, 100), rel=0.1)
    assert repr(price_model).startswith("PriceModel(input × 2.")


def test_calls_without_tokens_change_nothing() -> None:
    price_model = PriceModel()
    price_model.learn(900, 0, 0, 1)
    assert price_model.price(100, 200) == 300


def test_free_calls_cost_nothing() -> None:
    price_model = PriceModel()
    for _ in range(50):
        price_model.learn(0, 1e6, 1e6, 16)
    assert price_model.price(1e6, 1e6) < 2e4


def test_external_spend_is_expected_to_go_on_at_its_rate() -> None:
    external = ExternalSpend()
    for tenth in range(100):
        external.add(10, 100, tenth / 10)
    assert external.until(10.0, 2.0) == pytest.approx(200, rel=0.1)
    assert external.until(20.0, 2.0) < 100  # no further falls lower the rate
    assert repr(external) == "ExternalSpend(11 points, 1000 unexplained)"


def test_noise_is_no_external_spend() -> None:
    external = ExternalSpend()
    for tenth in range(100):
        external.add(50 if tenth % 2 else -50, 100, tenth / 10)
    assert external.until(10.0, 2.0) == 0


def test_too_few_points_give_no_rate() -> None:
    external = ExternalSpend()
    assert external.until(10.0, 2.0) == 0
    external.add(10, 10, 0)
    assert external.until(10.0, 2.0) == 0


def test_points_far_apart_are_kept() -> None:
    external = ExternalSpend()
    for minute in range(20):
        external.add(60, 60, minute * 60.0)
    assert external.until(19 * 60.0, 60) == pytest.approx(60, rel=0.2)


def test_a_loop_with_another_clock() -> None:
    external = ExternalSpend()
    for tenth in range(100):
        external.add(10, 100, 1000 + tenth / 10)
    external.shift(-1000)
    assert external.until(10.0, 2.0) == pytest.approx(200, rel=0.1)
