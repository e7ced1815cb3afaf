"""A ledger of another kind takes one file and one line: the client asks one method for it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest

import segmind_async as sa
from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel
from segmind_async._money.ledger import Ledger
from segmind_async._money.protocol import Hold, LedgerProtocol, Price
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.testing._ledger import UnlimitedLedger
from tests.support import lost, status


def opened(ledger: UnlimitedLedger, transport: ScriptedTransport, **settings: Any) -> sa.SegmindClient:
    class OnThisLedger(sa.SegmindClient):
        def _new_ledger(self, floor: int) -> LedgerProtocol:
            return ledger

    return OnThisLedger("k", transport=transport, **settings)


def methods(ledger: UnlimitedLedger) -> list[str]:
    return [call.method for call in ledger.calls]


async def test_a_client_runs_on_a_second_ledger() -> None:
    ledger = UnlimitedLedger()
    async with opened(ledger, ScriptedTransport(latency=1.0)) as client:
        outcomes = await client.chat_many([str(n) for n in range(20)])
        # The budget is exceeded: this ledger does not mind.
        assert (await client.budget(max_credits=0).chat("x")).cost == Decimal("0.001")
        assert (await client.agent(budget=0).run("x")).cost == Decimal("0.001")
        assert client.statistics().spent == Decimal("0.022")
        assert (client.statistics().held, client.statistics().in_flight) == (0, 0)
    assert all(outcome.status is sa.Status.OK for outcome in outcomes)
    assert methods(ledger).count("reserve") == methods(ledger).count("settle") == 22
    assert repr(ledger) == "UnlimitedLedger(0 in flight, 44 calls)"


async def test_each_end_of_an_attempt_is_told_to_the_ledger_by_its_own_method() -> None:
    ledger = UnlimitedLedger()
    replies: list[Reply] = [
        answer("warm"),
        lost(),
        status(429),
        status(406, "Insufficient credits"),
        answer("at last"),
    ]
    async with opened(ledger, ScriptedTransport(replies)) as client:
        await client.chat("warm")
        ledger.calls.clear()
        await client.chat("x")
        await client.balance()
    ends = [method for method in methods(ledger) if method != "reserve"]
    assert ends == ["doubt", "release", "refuse", "settle", "observe"]
    assert ledger.in_flight == 0


async def test_a_cancelled_attempt_ends_in_doubt_if_it_was_sent() -> None:
    ledger = UnlimitedLedger()
    async with opened(ledger, ScriptedTransport(latency=30.0)) as client:
        with anyio.move_on_after(1):
            await client.chat("x")
    assert methods(ledger) == ["reserve", "doubt"]


def grant(ledger: LedgerProtocol) -> Hold:
    got = ledger.reserve(Budget(ledger.root), CostModel(100), None, 1.0)
    assert isinstance(got, Hold)
    return got


@pytest.mark.parametrize("make", [Ledger, UnlimitedLedger])
def test_every_ledger_counts_holds_and_named_costs_and_believes_a_lower_balance(make: type[Ledger]) -> None:
    ledger: LedgerProtocol = make(5)
    assert (ledger.root.floor, ledger.balance, ledger.doubts_settle_at) == (5, None, None)
    ledger.observe(10_000, 0.0, 0.0)
    ends: list[Callable[[Hold], object]] = [
        lambda hold: ledger.settle(hold, Price(70), 9_930, 2.0),
        ledger.release,
        lambda hold: ledger.refuse(hold, 9_930, 50, 2.0),
        lambda hold: ledger.doubt(hold, 2.0),
    ]
    for end in ends:
        hold = grant(ledger)
        assert ledger.in_flight == 1
        end(hold)
        ledger.forget_reservations()
        assert ledger.in_flight == 0
    ledger.inherit_doubt(5, 1.0)
    ledger.forget_others()
    ledger.spent_elsewhere(5)
    ledger.shift(10.0)
    books = ledger.statistics(20.0)
    assert (books.in_flight, books.balance, books.held, books.spent) == (0, 9_930, 0, 70)
