"""What the rest of a job is said to cost, before its first answers and after them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async._jobs.cost_estimate import Interval, Moments, Terms
from segmind_async._jobs.outlook import Outlook, guessed, measured
from segmind_async._jobs.own_request import own_request
from tests.jobs.mappings import open_mappings

CREDIT = 10**10
TERMS = Terms("gpt-5.4-mini", 64, None)


def test_a_guess_is_the_published_mean_and_may_err_by_as_much_downwards_as_upwards() -> None:
    with open_mappings([{"prompt": "a"}, {"nothing": "b"}] * 100, own_request) as rows:
        got = guessed(rows, 1000, TERMS)
    assert got is not None
    assert got.expected == Decimal("0.543")
    low, high = got.expected_between
    assert low == Decimal("0.067875")
    assert 8 <= high / got.expected < Decimal("8.1")
    assert got.by == 0


@pytest.mark.parametrize("rows", [pytest.param([], id="empty"), pytest.param([{"x": 1}], id="none-valid")])
def test_of_rows_that_cannot_be_sent_nothing_is_guessed(rows: list[dict[str, object]]) -> None:
    with open_mappings(rows, own_request) as opened:
        assert guessed(opened, 10, TERMS) is None


def test_nothing_is_guessed_of_no_rows() -> None:
    with open_mappings([{"prompt": "a"}], own_request) as rows:
        assert guessed(rows, 0, TERMS) is None


def test_costs_of_earlier_runs_count_like_those_of_this_one() -> None:
    costs, other = Moments(), Moments()
    for cost in (1, 2, 3) * 4:
        costs.add(cost * CREDIT)
    other.add_all(12, 24.0 * CREDIT, 4 * 14.0 * CREDIT**2)
    assert measured(costs, 100) == measured(other, 100)
    got = measured(costs, 100)
    assert got is not None
    assert (got.expected, got.by) == (200, 12)
    low, high = got.expected_between
    assert 140 < low < 160
    assert 240 < high < 260
    assert measured(costs, 0) is None


@pytest.mark.parametrize(
    ("credits", "rows"),
    [
        pytest.param("-1", 0, id="below-the-floor"),
        pytest.param("0", 0, id="nothing"),
        pytest.param("0.9", 1, id="rounded-down"),
        pytest.param("5", 10, id="all"),
        pytest.param("50", 10, id="more-than-all"),
    ],
)
def test_how_many_rows_the_money_lasts_for(credits: str, rows: int) -> None:
    outlook = Outlook(10, 0.5 * CREDIT, Interval(0.4 * CREDIT, 0.6 * CREDIT))
    assert outlook.lasts_for(Decimal(credits)) == rows


def test_rows_that_cost_nothing_need_no_credits() -> None:
    assert Outlook(10, 0.0, Interval(0.0, 0.0)).lasts_for(Decimal(0)) == 10
    assert Outlook(10, 0.0, Interval(0.0, 0.0)).lasts_for(Decimal(-1)) == 0
