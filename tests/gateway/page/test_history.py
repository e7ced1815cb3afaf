"""Calls by minute, and the cost of an hour."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async.gateway._page.history import MINUTES, History, Minute

COST = Decimal("0.5")


def test_calls_are_counted_in_the_minute_in_which_they_end() -> None:
    history = History(1000.0)
    history.add(1059.9, COST, failed=False)
    history.add(1060.0, None, failed=True)
    history.add(1185.0, COST, failed=False)
    history.add(1186.0, COST, failed=False)
    assert history.minutes(1190.0) == (
        Minute(1, 0, COST),
        Minute(0, 1, Decimal(0)),
        Minute(),
        Minute(2, 0, 2 * COST),
    )
    assert history.uptime(1190.0) == 190


@pytest.mark.parametrize("later", [3600.0, 1e9])
def test_what_is_an_hour_old_is_forgotten(later: float) -> None:
    history = History(0.0)
    history.add(1.0, COST, failed=False)
    assert history.minutes(3599.0)[0] == Minute(1, 0, COST)
    assert history.minutes(later) == (Minute(),) * MINUTES
    history.add(later, COST, failed=False)
    assert history.minutes(later)[-1] == Minute(1, 0, COST)


def test_the_cost_per_hour_is_that_of_the_last_ten_minutes() -> None:
    history = History(0.0)
    history.add(1.0, COST, failed=False)
    assert history.cost_per_hour(9.0) is None
    assert history.cost_per_hour(36.0) == 50
    assert history.cost_per_hour(360.0) == 5
    assert history.cost_per_hour(599.0) == COST * 3600 / 599
    assert history.cost_per_hour(600.0) == 0
    history.add(660.0, COST, failed=True)
    # Nine whole minutes and half of one.
    assert history.cost_per_hour(690.0) == COST * 3600 / 570
