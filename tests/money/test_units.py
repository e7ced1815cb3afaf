"""Credits as whole units."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.units import ceil_units, credits_of, floor_units, to_decimal


@pytest.mark.parametrize(
    ("credits", "floor", "ceil"),
    [
        pytest.param("0", 0, 0, id="nothing"),
        pytest.param("1", 10**10, 10**10, id="one"),
        pytest.param("0.0000000001", 1, 1, id="the least unit"),
        pytest.param("0.00000000019", 1, 2, id="finer than a unit"),
        pytest.param("1e-40", 0, 1, id="next to nothing"),
        pytest.param(
            "999999999999999.0000000001", 9999999999999990000000001, 9999999999999990000000001, id="a lot"
        ),
    ],
)
def test_balances_round_down_and_costs_up(credits: str, floor: int, ceil: int) -> None:
    assert floor_units(Decimal(credits)) == floor
    assert ceil_units(Decimal(credits)) == ceil


@given(st.integers(0, 10**25))
def test_units_to_credits_and_back_is_exact(units: int) -> None:
    amount = credits_of(units)
    assert floor_units(amount) == ceil_units(amount) == units
    assert "E" not in str(amount) or units < 10**4


@pytest.mark.parametrize(("units", "text"), [(10**12, "100"), (15 * 10**9, "1.5"), (0, "0")])
def test_amounts_read_as_people_write_them(units: int, text: str) -> None:
    assert str(credits_of(units)) == text


def test_a_float_is_taken_by_its_written_form() -> None:
    assert to_decimal(0.1) == Decimal("0.1")
    assert to_decimal(Decimal("0.30")) == Decimal("0.30")
