"""Spending and pace in virtual time against the emulator's service state: a few of the measured runs."""

from __future__ import annotations

import pytest

from benchmarks import flow

# Credits that the service's own estimates withhold, or that cannot be attributed, may stay unspent.
_MAY_STRAND = {
    "server reserves double": 3.0,
    "readings 2 s late": 5.0,
    "no cost header": 5.0,
    "no cost header, no usage": 8.0,
    "spread 1.2, tied": 14.0,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", flow.MONEY, ids=lambda family: family.name)
def test_credits_are_spent_down_to_the_floor_and_not_below(family: flow.Family) -> None:
    result = flow.one((family, "ours", 3))
    assert result.own_406 <= (5 if family.reserve > 1 else 0)
    assert not result.broken
    assert result.stranded <= _MAY_STRAND.get(family.name, 1.6 * result.p99)
    # Virtual time: the makespan shows how full the slots were kept.
    assert result.makespan <= (2.8 if family.sigma > 1 else 1.6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["R 5 unknown", "R 60 known", "R 60 unknown", "R 60, refused ones count", "C 10 unknown"]
)
def test_the_rate_is_learnt_and_kept(name: str) -> None:
    family = next(family for family in flow.RATE if family.name == name)
    result = flow.one((family, "ours", 3))
    assert result.rate >= (0.95 if family.known else 0.88)
    # At five a minute the first burst alone is a twentieth of all calls of an hour.
    assert result.refused <= (0 if family.known else 0.12)
    assert result.refused_late <= (0 if family.known else 0.05)


def test_simpler_rules_break_the_floor() -> None:
    """The measurement can fail: the same run with other rules in the place of the ledger."""
    family = next(family for family in flow.MONEY if family.name == "spread 0.8, tied")
    assert flow.one((family, "stop under the floor", 3)).broken
    assert flow.one((family, "hold the mean", 3)).broken
