"""How the admission spends, in virtual time against the emulator's world: a few of the runs that are measured."""

from __future__ import annotations

import pytest

from benchmarks import flow

# What the service's own estimate withholds, or cannot be told apart, is no fault of the guard.
_WITHHELD = {"server reserves double": 3.0, "no cost header, no usage": 8.0, "spread 1.2, tied": 14.0}


@pytest.mark.parametrize("family", flow.MONEY, ids=lambda family: family.name)
def test_the_money_is_spent_down_to_the_floor_and_not_further(family: flow.Family) -> None:
    result = flow.one((family, "ours", 3))
    assert result.own_406 <= (5 if family.reserve > 1 else 0)
    assert not result.broken
    assert result.stranded <= _WITHHELD.get(family.name, 1.6 * result.p99)
    # Virtual time: this is no stopwatch, but how full the slots were kept.
    assert result.makespan <= (2.8 if family.sigma > 1 else 1.6)


@pytest.mark.parametrize(
    "name", ["R 5 unknown", "R 60 known", "R 60 unknown", "R 60, refused ones count", "C 10 unknown"]
)
def test_the_rate_is_found_and_held(name: str) -> None:
    family = next(family for family in flow.RATE if family.name == name)
    result = flow.one((family, "ours", 3))
    assert result.rate >= (0.95 if family.known else 0.88)
    assert result.refused <= (0 if family.known else 0.06)


def test_the_rules_in_use_today_break_the_floor() -> None:
    """What is measured can fail: the same run without the guard."""
    family = next(family for family in flow.MONEY if family.name == "spread 0.8, tied")
    assert flow.one((family, "stop under the floor", 3)).broken
    assert flow.one((family, "hold the mean", 3)).broken
