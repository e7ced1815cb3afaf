"""Admission: order, budgets, priorities, cancelled waits, reads of the balance."""

from __future__ import annotations

import itertools
import pickle
import sys
from decimal import Decimal

import anyio
import pytest

import segmind_async as sa
from segmind_async._rate.pacer import PacerState
from segmind_async.emulator import Emulator
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse
from tests.support import client, lost, status, unreachable


def texts(transport: ScriptedTransport) -> list[str]:
    """Return the last message of each request, in order."""
    from pydantic_core import from_json

    return [
        from_json(request.body)["messages"][-1]["content"] for request in transport.requests if request.body
    ]


async def test_first_come_first_served() -> None:
    transport = ScriptedTransport([answer("warm")], latency=1.0)
    async with client(transport, limits=sa.Limits(max_in_flight=2)) as c:
        await c.chat("warm")
        async with anyio.create_task_group() as tasks:
            for n in range(9):
                tasks.start_soon(c.chat, str(n))
                await anyio.sleep(0.4)  # newcomers arrive while others wait, and as slots come free
    assert texts(transport) == ["warm", *map(str, range(9))]


async def test_a_free_slot_goes_to_a_waiting_call_before_a_new_one() -> None:
    transport = ScriptedTransport([answer("warm")], latency=1.0)
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as c:
        await c.chat("warm")
        async with anyio.create_task_group() as tasks:

            async def again_and_again() -> None:
                for n in range(3):
                    await c.chat(f"greedy {n}")

            tasks.start_soon(again_and_again)
            await anyio.sleep(0.1)
            tasks.start_soon(c.chat, "patient")
    assert texts(transport) == ["warm", "greedy 0", "patient", "greedy 1", "greedy 2"]


async def test_a_cheap_new_call_does_not_pass_an_expensive_one_that_waits_for_credits() -> None:
    price = {"gpt-5": Decimal(5), "gpt-5-nano": Decimal("0.01")}
    async with (
        Emulator(balance=200, cost=lambda facts, _chance: price[facts.slug], latency=1.0) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as c,
    ):
        await c.balance()
        for model in price:
            await c.chat_many([sa.ChatRequest("so that costs are known", model=model)] * 30)
        async with anyio.create_task_group() as tasks:
            while c.statistics().waiting == 0:
                tasks.start_soon(lambda: c.chat("expensive", model="gpt-5"))
                await anyio.wait_all_tasks_blocked()
            expensive = len(emulator.calls) - 60
            tasks.start_soon(lambda: c.chat("cheap", model="gpt-5-nano"))
    assert 2 <= expensive <= 10
    assert [record.slug for record in emulator.calls[60:]] == ["gpt-5"] * (expensive + 1) + ["gpt-5-nano"]


async def test_an_interactive_call_waits_behind_at_most_one_bulk_call() -> None:
    transport = ScriptedTransport(latency=1.0)
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as c:
        await c.chat("warm")
        async with c.fan_out((f"bulk {n}" for n in itertools.count()), max_in_flight=1) as outcomes:
            await anext(outcomes)
            await c.chat("urgent")
            order = texts(transport)
    assert order.index("urgent") <= 3


async def test_bulk_calls_are_served_under_a_stream_of_interactive_ones() -> None:
    transport = ScriptedTransport(latency=1.0)
    async with client(transport, limits=sa.Limits(max_in_flight=2)) as c, anyio.create_task_group() as tasks:
        await c.chat("warm")

        async def chatter() -> None:
            while True:
                await c.chat("chatter")

        for _ in range(4):
            tasks.start_soon(chatter)
        outcomes = await c.chat_many([f"bulk {n}" for n in range(3)])
        tasks.cancel_scope.cancel()
    assert [outcome.status.value for outcome in outcomes] == ["ok"] * 3


async def test_two_hundred_calls_exceed_a_budget_by_no_more_than_the_error_of_an_estimate() -> None:
    async with (
        Emulator(cost="0.01", latency=1.0, balance=100) as emulator,
        sa.SegmindClient(emulator.key, emulator.url, limits=sa.Limits(max_in_flight=200)) as c,
        c.budget(max_credits=0.5) as scoped,
    ):
        await c.balance()
        for _ in range(5):
            await c.chat("so that costs are known")
        ok, refused = 0, 0

        async def one() -> None:
            nonlocal ok, refused
            try:
                await scoped.chat("x")
                ok += 1
            except sa.BudgetExceededError as error:
                assert error.max_credits == Decimal("0.5")
                assert error.attempts == 0
                refused += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(one)
        assert ok + refused == 200
        assert 45 <= ok <= 50
        assert (await c.chat("the others are not concerned")).text


async def test_budgets_nest_and_closing_one_leaves_its_parent_open() -> None:
    transport = ScriptedTransport()
    async with client(transport) as c:
        async with c.budget(max_credits=1) as outer:
            async with outer.budget(max_credits=0.0006) as inner:
                assert (await inner.chat("x")).text == "echo: x"
                with pytest.raises(sa.BudgetExceededError) as caught:
                    await inner.chat("y")
                assert caught.value.spent == Decimal("0.001")
            with pytest.raises(sa.ClientClosedError):
                await inner.chat("z")
            assert (await outer.chat("z")).text == "echo: z"
        assert not transport.closed
        with pytest.raises(sa.ClientClosedError):
            outer.budget(max_credits=1)
        assert (await c.with_options(model="gpt-5").chat("w")).model == "gpt-5"
        derived = c.with_options(retry=sa.RetryPolicy(retries=0))
        await derived.aclose()
        assert (await c.chat("still open")).text == "echo: still open"
    assert transport.closed


async def test_an_error_identifies_the_budget_that_was_exceeded() -> None:
    """Two budgets with equal limits and equal spending differ by their ids alone."""
    async with client() as c:
        exceeded = []
        for _ in range(2):
            scoped = c.budget(max_credits=0)
            for _ in range(2):
                with pytest.raises(sa.BudgetExceededError) as caught:
                    await scoped.chat("x")
                exceeded.append(pickle.loads(pickle.dumps(caught.value)))
            with pytest.raises(sa.BudgetExceededError) as caught:
                await scoped.budget(max_credits=1).chat("x")
            exceeded.append(caught.value)
    assert len({(error.max_credits, error.spent, error.needed) for error in exceeded}) == 1
    ids = [error.budget_id for error in exceeded]
    assert len(set(ids[:3])) == len(set(ids[3:])) == 1
    assert ids[0] != ids[3]
    assert all(ids)


async def test_a_scope_shares_the_budget_around_it_unless_it_asks_for_its_own() -> None:
    async with client() as c:
        admission = c._service.admission
        assert admission.scope(admission.root, max_in_flight=1).budget is admission.root.budget
        own = admission.scope(admission.root, own_budget=True).budget
        assert (own.line, own.cap) == ((own, admission.root.budget), None)


async def test_an_exhausted_budget_does_not_starve_the_others() -> None:
    transport = ScriptedTransport(latency=1.0)
    async with client(transport, limits=sa.Limits(max_in_flight=4)) as c:
        await c.chat("warm")
        async with anyio.create_task_group() as tasks, c.budget(max_credits=0.003) as poor:
            await poor.chat("spends some")

            async def waits(n: int) -> None:
                with pytest.raises(sa.BudgetExceededError):
                    for _ in range(3):
                        await poor.chat(f"poor {n}")

            for n in range(10):
                tasks.start_soon(waits, n)
            before = anyio.current_time()
            for n in range(5):
                await c.chat(f"rich {n}")
            assert (
                anyio.current_time() - before <= 10
            )  # their own calls, and those of the other budget before them


async def test_max_in_flight_of_a_scope_bounds_its_calls() -> None:
    most = 0

    class Counting(ScriptedTransport):
        now = 0

        async def send(self, request: WireRequest, time_left: float) -> Reply:
            nonlocal most
            self.now += 1
            most = max(most, self.now)
            try:
                return await super().send(request, time_left)
            finally:
                self.now -= 1

    async with client(Counting(latency=1.0)) as c, c.budget(max_in_flight=3) as scoped:
        await c.balance()
        await scoped.chat_many([str(n) for n in range(20)])
    assert most == 3


async def test_a_floor_of_a_scope_blocks_that_scope_alone() -> None:
    async with (
        Emulator(balance=1, cost="0.01") as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as c,
        c.budget(floor=0.9) as careful,
    ):
        with pytest.raises(sa.InsufficientCreditsError) as caught:
            while True:
                await careful.chat("x")
        assert caught.value.floor == Decimal("0.9")
        assert caught.value.attempts == 0
        assert emulator.state.account.balance >= Decimal("0.9")
        assert (await c.chat("x")).text == "echo: x"


async def test_statistics_count_calls_in_flight_and_waiting_and_credits_held() -> None:
    async with client(ScriptedTransport(latency=1.0), limits=sa.Limits(max_in_flight=2)) as c:
        await c.chat("warm")
        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(c.chat, str(n))
            await anyio.sleep(0.5)
            seen = c.statistics()
    assert (seen.in_flight, seen.waiting, seen.limit, seen.limit_reason) == (2, 3, 2, "max_in_flight")
    assert seen.held >= Decimal("0.002")
    assert seen.balance == 5
    assert seen.spent == Decimal("0.001")
    assert seen.estimate == Decimal("0.001")
    assert (seen.requests_per_minute, seen.pace_reason, seen.closed_for) == (None, "no limit met", 0)


async def test_statistics_show_a_closed_gate() -> None:
    transport = ScriptedTransport([answer("warm"), status(429, retry_after="20")])
    async with client(transport) as c, anyio.create_task_group() as tasks:
        await c.chat("warm")
        tasks.start_soon(c.chat, "x")
        await anyio.sleep(5)
        seen = c.statistics()
        assert seen.closed_for == pytest.approx(15, abs=0.1)
        assert "Admission(0 in flight, 1 waiting" in repr(c)
    assert c.statistics().closed_for == 0


async def test_the_balance_can_be_read() -> None:
    transport = ScriptedTransport(
        [
            status(503),
            unreachable(),
            WireResponse(200, {}, b'{"credits": 1.5, "free-credits": 0.25}'),
            WireResponse(200, {}, b'{"credits": 2}'),
            status(404, "No credits found for this user"),
        ]
    )
    async with client(transport) as c:
        assert await c.balance() == sa.Balance(Decimal("1.5"), Decimal("0.25"))
        assert c.statistics().balance == Decimal("1.75")
        assert (await c.balance()).total == 2
        assert (await c.balance()).total == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (status(401, "bad key"), sa.AuthenticationError),
        (status(404, "no such page"), sa.NotFoundError),
        (WireResponse(200, {}, b"<html>"), sa.InvalidResponseError),
        (WireResponse(200, {}, b'{"credits": "much"}'), sa.InvalidResponseError),
        (WireResponse(200, {}, b'{"credits": -1}'), sa.InvalidResponseError),
    ],
)
async def test_a_balance_that_cannot_be_read_is_an_error(reply: Reply, error: type[sa.SegmindError]) -> None:
    transport = ScriptedTransport(otherwise=lambda _request: reply)
    async with client(transport) as c:
        with pytest.raises(error):
            await c.balance()
        assert c.statistics().balance is None


async def test_a_read_of_the_balance_waits_for_the_gate_and_can_be_cancelled() -> None:
    transport = ScriptedTransport([answer("warm"), status(429, retry_after="20")])
    async with client(transport) as c, anyio.create_task_group() as tasks:
        await c.chat("warm")
        tasks.start_soon(c.chat, "x")
        await anyio.sleep(1)
        with anyio.move_on_after(1) as gave_up:
            await c.balance()
        assert gave_up.cancelled_caught
        before = anyio.current_time()
        assert (await c.balance()).total == 5
        assert anyio.current_time() - before >= 17
    assert c.statistics().in_flight == 0


async def test_a_read_of_the_balance_cancelled_in_transit_leaves_nothing() -> None:
    async with client(ScriptedTransport(latency=30.0)) as c:
        with anyio.move_on_after(1):
            await c.balance()
        assert (await c.balance()).total == 5


async def test_a_call_possibly_paid_twice_is_reported() -> None:
    transport = ScriptedTransport([answer("warm"), lost(), answer("again")])
    async with client(transport) as c:
        await c.chat("warm")
        async with c.fan_out(["x"]) as outcomes:
            (outcome,) = [outcome async for outcome in outcomes]
    assert outcome.completion is not None
    assert outcome.completion.in_doubt == 1
    assert (outcomes.report.maybe_paid_twice, outcomes.report.attempts) == (1, 2)


async def test_a_call_cancelled_as_it_is_granted_leaves_the_slot_to_the_next() -> None:
    async with client(ScriptedTransport(latency=1.0), limits=sa.Limits(max_in_flight=1)) as c:
        await c.chat("warm")
        async with anyio.create_task_group() as tasks:
            scopes = []

            async def one(n: int) -> None:
                with anyio.CancelScope() as scope:
                    scopes.append(scope)
                    await c.chat(str(n))
                # The call that has ended cancels the one that was just granted its slot.
                if n == 0:
                    scopes[1].cancel()

            for n in range(3):
                tasks.start_soon(one, n)
        assert c.statistics().in_flight == 0
        assert (await c.chat("next")).text == "echo: next"


async def test_a_restart_takes_over_pace_and_credits_in_doubt() -> None:
    async with client(limits=sa.Limits(requests_per_minute=5)) as c:
        admission = c._service.admission
        account = admission.accounts.first
        admission.resume(account, PacerState((10.0, 11.0, 12.0, 13.0, 14.0), None), 4 * 10**10, elapsed=5.0)
        before = anyio.current_time()
        await c.balance()
        assert anyio.current_time() - before >= 60 - 14 - 5
        assert c.statistics().held == 4
        assert admission.state(account)[1:] == (0, 4 * 10**10)
        await anyio.sleep(60)
        await c.balance()
        assert c.statistics().held == 0


@pytest.mark.slow
async def test_the_work_of_a_lease_does_not_grow_with_the_queue() -> None:
    """Work is counted in calls of Python functions: time on a shared machine says nothing."""

    async def work(waiting: int) -> float:
        transport = ScriptedTransport(latency=1.0, keep=False)
        async with (
            client(transport, limits=sa.Limits(max_in_flight=4)) as c,
            anyio.create_task_group() as tasks,
        ):
            await c.chat("warm")
            for n in range(waiting):
                tasks.start_soon(c.chat, str(n))
            await anyio.sleep(2.5)
            count, ended = 0, c.statistics().waiting

            def profile(_frame: object, event: str, _argument: object) -> None:
                nonlocal count
                count += event == "call"

            sys.setprofile(profile)
            await anyio.sleep(20)
            sys.setprofile(None)
            ended -= c.statistics().waiting
            tasks.cancel_scope.cancel()
        assert ended >= 70
        return count / ended

    few, many, more = await work(100), await work(1000), await work(2000)
    assert many < 1.2 * few
    assert more < 1.2 * many
