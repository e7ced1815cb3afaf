"""Costs that no call can have: whatever an answer says it cost, the calls after it are sent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segmind_async as sa
from segmind_async.testing import ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse
from tests.support import client

CALLS = 400
REAL = 0.002

PRICES: dict[str, Callable[[int], float]] = {
    "a million once": lambda number: 1_000_000 if number == 50 else REAL,
    "5000 once": lambda number: 5000 if number == 50 else REAL,
    "5000 at first": lambda number: 5000 if number == 0 else REAL,
    "a hundred of 1000": lambda number: 1000 if 100 <= number < 200 else REAL,
    "a hundred of 1000 at first": lambda number: 1000 if number < 100 else REAL,
}


@pytest.mark.parametrize("named", PRICES)
@pytest.mark.parametrize("with_balance", [True, False], ids=["with balances", "without balances"])
async def test_absurd_prices_end_nothing(named: str, with_balance: bool) -> None:
    sent = 0
    left = 100.0

    def reply(request: WireRequest) -> WireResponse:
        nonlocal sent, left
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": %f}' % left)
        price, sent, left = PRICES[named](sent), sent + 1, left - REAL
        return answer("yes", cost=f"{price:f}", balance=f"{left:f}" if with_balance else None)

    async with client(ScriptedTransport(otherwise=reply)) as opened:
        async with opened.fan_out([f"row {number}" for number in range(CALLS)]) as outcomes:
            ended = [outcome.status.value async for outcome in outcomes]
        assert ended == ["ok"] * CALLS
        assert opened.statistics().estimate < 0.05


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    at=st.integers(0, 39),
    absurd=st.decimals(50, 9_999, places=2),
    costs=st.lists(st.floats(0.0002, 0.01), min_size=40, max_size=40),
    reported=st.booleans(),
)
def test_where_no_balance_ever_comes_one_answer_ends_no_budget(
    at: int, absurd: Decimal, costs: list[float], reported: bool
) -> None:
    """As everywhere: what is booked is what calls cost, give or take the one that nobody knows."""
    sent = 0

    def reply(request: WireRequest) -> WireResponse:
        nonlocal sent
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 20}') if reported else WireResponse(500, {}, b"{}")
        price = absurd if sent == at else costs[sent]
        sent += 1
        return answer("yes", cost=f"{price:f}", balance=None)

    async def main() -> list[sa.ChatCompletion]:
        async with (
            client(ScriptedTransport(otherwise=reply)) as opened,
            opened.budget(max_credits=2) as scoped,
        ):
            return [await scoped.chat(f"row {number}") for number in range(len(costs))]

    answers = anyio.run(main)
    spent = sum(one.cost for one in answers if one.cost is not None)
    assert float(spent) <= sum(costs) + max(0.001, *costs)  # the first call is booked as the published mean


async def test_an_absurd_cost_is_not_in_the_journal_that_later_runs_count(tmp_path: Path) -> None:
    prices = iter(["0.002", "5000", "0.002"])

    def reply(request: WireRequest) -> WireResponse:
        if request.body is None:
            return WireResponse(500, {}, b"{}")
        return answer("yes", cost=next(prices), balance=None)

    for rows in (["a", "b"], ["a", "b", "c"]):
        async with client(ScriptedTransport(otherwise=reply)) as opened:
            async with opened.run_job(rows, journal=tmp_path / "j", max_credits=1) as run:
                assert [one.status.value async for one in run] == ["ok"] * len(rows)


async def test_costs_that_stay_that_dear_are_believed() -> None:
    def reply(request: WireRequest) -> WireResponse:
        return (
            WireResponse(500, {}, b"{}") if request.body is None else answer("yes", cost="60", balance=None)
        )

    async with client(ScriptedTransport(otherwise=reply)) as opened, opened.budget(max_credits=500) as scoped:
        found = [(await scoped.chat("hi")).cost for _ in range(3)]
        assert found[0] is not None
        assert found[0] < 1
        assert found[1:] == [60, 60]
