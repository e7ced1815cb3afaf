"""The small ones: prices, histogram, media, window."""

from __future__ import annotations

import math
import random

import pytest

from segmind_async._core.histogram import Histogram
from segmind_async._core.prices import first_guess, is_listed, mean_seconds
from segmind_async._core.window import Window


def test_an_unknown_model_is_taken_for_the_dearest() -> None:
    assert first_guess("unheard-of") == first_guess("gemini-3.1-pro") > first_guess("gpt-5.4-mini") > 0


def test_an_unknown_model_is_taken_for_the_slowest() -> None:
    assert (
        mean_seconds("unheard-of") == mean_seconds("deepseek-reasoner") > mean_seconds("gpt-5.4-mini") == 5.1
    )


def test_list_prices_are_known_of_one_model() -> None:
    assert is_listed("gpt-5.4-mini")
    assert not is_listed("gpt-5")


def test_quantiles_are_off_by_two_percent_at_most() -> None:
    histogram, chance = Histogram(), random.Random(1)
    values = sorted(chance.lognormvariate(0, 2) for _ in range(10_000))
    for value in values:
        histogram.add(value)
    for share in (0.01, 0.5, 0.95, 0.99, 1.0):
        got = histogram.quantile(share)
        assert got is not None
        assert math.isclose(got, values[math.ceil(share * len(values)) - 1], rel_tol=0.021)


def test_buckets_hold_everything_in_ascending_order() -> None:
    histogram = Histogram()
    for value in (5.0, 0.1, 5.0, 80.0):
        histogram.add(value)
    middles, counts = zip(*histogram.buckets(), strict=True)
    assert middles == pytest.approx([0.1, 5.0, 80.0], rel=0.011)
    assert counts == (1, 2, 1)


def test_nothing_has_no_quantile_and_no_duration_is_too_short() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    histogram.add(0.0)
    assert histogram.quantile(0.5) == pytest.approx(1e-4, rel=0.03)


def grow(window: Window, answers: int) -> None:
    for _ in range(answers):
        window.succeeded(window.limit - 1)


def test_a_window_is_cut_to_what_fits_and_grows_only_in_use() -> None:
    window = Window(64)
    grow(window, 1000)
    assert (window.limit, window.reason) == (64, "max_in_flight")
    window.cut(10, 40)
    assert (window.limit, window.reason) == (10, "429 with 40 in flight: 64 cut to 10")
    for _ in range(1000):
        window.succeeded(5)
    assert window.limit == 10
    grow(window, 199)
    assert window.limit == 10
    grow(window, 1)
    assert (window.limit, window.reason) == (11, "200 answers with 10 in flight")


def test_a_request_that_was_overtaken_does_not_cut_deeper_than_what_fits() -> None:
    window = Window(64)
    window.cut(10, 3)
    assert window.limit == 10


def test_a_failure_starts_the_count_anew() -> None:
    window = Window(64)
    window.cut(10, 10)
    grow(window, 199)
    window.failed()
    grow(window, 199)
    assert window.limit == 10


def test_growth_that_went_wrong_is_tried_later_each_time() -> None:
    window = Window(64)
    window.cut(10, 10)
    grow(window, 200)
    window.cut(10, 10)
    grow(window, 399)
    assert window.limit == 10
    grow(window, 1)
    assert window.limit == 11


def test_a_cut_leaves_at_least_one() -> None:
    window = Window(1)
    window.cut(0, 0)
    assert window.limit == 1
    assert repr(window) == "Window(1 of 1, 429 with 0 in flight: 1 cut to 1)"
