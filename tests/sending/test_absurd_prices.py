"""Costs that no call can have: whatever an answer says it cost, the calls after it are sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
