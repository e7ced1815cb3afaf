"""Quantiles of durations."""

from __future__ import annotations

import math
import random

import pytest

from segmind_async._sending.histogram import Histogram


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
