"""What a fan-out promises about rows, order, memory, failures and its end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_core import from_json

import segmind_async as sa
from segmind_async._sending.fan_out import FanOut
from segmind_async._sending.options import FanOutOptions
from segmind_async.emulator import Emulator, faults
from segmind_async.testing import RecordingHooks, Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse
from tests.support import KEY, always, client, lost, status


def text_of(request: WireRequest) -> str:
    return str(from_json(request.body or b"")["messages"][-1]["content"])


def numbered(count: int) -> Iterator[str]:
    return (str(number) for number in range(count))


def by_text(request: WireRequest) -> Reply:
    """Answer `400` with that status, and so on; all else is echoed."""
    if request.body is None:
        return WireResponse(200, {}, b'{"credits": 5, "free-credits": 0}')
    text = text_of(request)
    return status(int(text)) if text in {"400", "401", "403", "404"} else answer(text)


class Uneven(ScriptedTransport):
    """The later a row, the sooner its answer."""

    async def send(self, request: WireRequest, time_left: float) -> Reply:
        if request.body is not None:
            await anyio.sleep(10 / (1 + int(text_of(request))))
        return await super().send(request, time_left)


async def test_each_row_ends_in_exactly_one_outcome() -> None:
    async with client() as c, c.fan_out(numbered(500)) as outcomes:
        seen = Counter([outcome.index async for outcome in outcomes])
    assert seen == Counter(range(500))
    report = outcomes.report
    assert (report.ok, report.rows, report.attempts, report.stop_reason) == (500, 500, 500, None)
    assert report.spent == Decimal("0.5")


async def test_outcomes_come_as_they_complete() -> None:
    async with client(Uneven()) as c:
        await c.balance()
        async with c.fan_out(numbered(5)) as outcomes:
            assert [outcome.index async for outcome in outcomes] == [4, 3, 2, 1, 0]


async def test_while_the_balance_is_unknown_calls_start_one_by_one_and_double() -> None:
    transport = ScriptedTransport(latency=1)
    async with client(transport) as c, c.fan_out(itertools.repeat("x")) as outcomes:
        await anyio.sleep(0.5)
        assert len(transport.requests) == 1
        async for outcome in outcomes:
            if outcome.index == 0:
                break


async def test_ordered_outcomes_come_in_order_of_input() -> None:
    async with client(Uneven()) as c, c.fan_out(numbered(200), ordered=True) as outcomes:
        assert [outcome.index async for outcome in outcomes] == list(range(200))


@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
async def test_rows_are_never_read_further_ahead_than_in_flight_and_buffer(ordered: bool) -> None:
    read = taken = furthest = 0

    def rows() -> Iterator[str]:
        nonlocal read, furthest
        for text in numbered(300):
            read += 1
            furthest = max(furthest, read - taken)
            yield text

    async with client(Uneven()) as c:
        async with c.fan_out(rows(), max_in_flight=8, buffer=5, ordered=ordered) as outcomes:
            async for _ in outcomes:
                taken += 1
    assert furthest <= 8 + 5 + 1


async def test_a_slow_consumer_stops_the_sending() -> None:
    transport = ScriptedTransport()
    async with (
        client(transport) as c,
        c.fan_out(itertools.repeat("endless"), max_in_flight=4, buffer=2) as outcomes,
    ):
        await anext(outcomes)
        await anyio.sleep(1000)
        assert len(transport.requests) <= 4 + 2 + 1


async def test_an_endless_input_can_be_left() -> None:
    transport = ScriptedTransport(latency=1)
    async with client(transport) as c:
        async with c.fan_out(itertools.repeat("endless"), max_in_flight=4) as outcomes:
            async for outcome in outcomes:
                if outcome.index >= 20:
                    break
        assert c.statistics().in_flight == 0
        report = outcomes.report
        assert report.cancelled <= 4
        assert report.stop_reason is sa.StopReason.CONSUMER_LEFT
        assert (await c.chat("works")).text == "echo: works"


async def test_async_iterables_are_rows_too_and_are_closed() -> None:
    closed = False

    async def rows() -> AsyncIterator[str]:
        nonlocal closed
        try:
            for number in itertools.count():
                await anyio.sleep(0.1)
                yield str(number)
        finally:
            closed = True

    async with client() as c:
        async with c.fan_out(rows()) as outcomes:
            async for outcome in outcomes:
                if outcome.index == 10:
                    break
    assert closed


async def test_one_failure_never_touches_another_row() -> None:
    async with client(ScriptedTransport(otherwise=by_text)) as c:
        got = await c.chat_many(["a", "400", "b"])
    assert [outcome.status.value for outcome in got] == ["ok", "failed", "ok"]
    assert isinstance(got[1].error, sa.BadRequestError)
    assert got[0].text == "a"
    assert got[1].text is None


async def test_a_row_that_cannot_be_sent_fails_alone() -> None:
    rows = [
        sa.ChatRequest("a", id="x"),
        sa.ChatRequest([], id="y"),
        None,
        5,
        sa.ChatRequest("b", model="no/slug"),
    ]
    async with client() as c:
        got = await c.chat_many(rows)  # type: ignore[arg-type]  # wrong on purpose
    assert [outcome.status.value for outcome in got] == ["ok", "failed", "failed", "failed", "failed"]
    assert [outcome.id for outcome in got[:2]] == ["x", "y"]
    assert all(isinstance(outcome.error, sa.InvalidRequestError) for outcome in got[1:])


async def test_fail_fast_leaves_the_other_rows_unsent() -> None:
    rows = itertools.chain(["400"], numbered(1000))
    async with client(ScriptedTransport(otherwise=by_text)) as c:
        async with c.fan_out(rows, fail_fast=True, max_in_flight=4) as outcomes:
            got = [outcome async for outcome in outcomes]
    assert len(got) < 50
    report = outcomes.report
    assert report.failed == 1
    assert report.stop_reason is sa.StopReason.MAX_FAILURES
    assert "max_failures=1" in str(report.stop_message)
    assert report.rows == len(got)


async def test_max_failures_counts_failed_rows() -> None:
    async with client(ScriptedTransport(otherwise=by_text)) as c:
        async with c.fan_out(itertools.repeat("400"), max_failures=7, max_in_flight=1) as outcomes:
            got = [outcome async for outcome in outcomes]
    assert len(got) == 7


@pytest.mark.parametrize("code", ["401", "403", "404"])
async def test_a_refusal_that_all_rows_would_meet_stops_the_fan_out(code: str) -> None:
    transport = ScriptedTransport(otherwise=by_text, latency=1.0)
    rows = itertools.chain([code], numbered(10_000))
    async with client(transport, limits=sa.Limits(requests_per_minute=60)) as c:
        async with c.fan_out(rows, max_in_flight=16) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
    assert got["failed"] == 1
    assert got["unsent"] >= 1
    assert len(transport.requests) <= 17
    assert outcomes.report.stop_reason is sa.StopReason.REFUSED
    assert code in str(outcomes.report.stop_message)


async def test_an_unknown_model_of_one_row_fails_that_row_alone() -> None:
    rows: list[sa.ChatRequest | str] = [sa.ChatRequest("404", model="gone"), "a", "b"]
    async with client(ScriptedTransport(otherwise=by_text)) as c:
        got = await c.chat_many(rows)
    assert [outcome.status.value for outcome in got] == ["failed", "ok", "ok"]


async def test_an_error_of_the_input_comes_after_the_outcomes_already_earned() -> None:
    def rows() -> Iterator[str]:
        yield from numbered(10)
        raise ValueError("line 11 is odd")

    earned = []
    async with client(ScriptedTransport(latency=1)) as c:
        with pytest.raises(ValueError, match="line 11 is odd"):
            async with c.fan_out(rows()) as outcomes:
                async for outcome in outcomes:
                    earned.append(outcome.index)
    assert sorted(earned) == list(range(10))


async def test_an_error_of_the_consumer_is_raised_unchanged() -> None:
    async with client() as c:
        with pytest.raises(LookupError):
            async with c.fan_out(itertools.repeat("x")) as outcomes:
                async for _ in outcomes:
                    raise LookupError
        assert c.statistics().in_flight == 0


async def test_cancelling_the_consumer_cancels_all_and_passes_through() -> None:
    async with client(ScriptedTransport(latency=1)) as c:

        async def consume() -> None:
            async with c.fan_out(itertools.repeat("x")) as outcomes:
                async for _ in outcomes:
                    pass

        task = asyncio.get_running_loop().create_task(consume())
        await anyio.sleep(3.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        statistics = c.statistics()
        assert (statistics.in_flight, statistics.waiting) == (0, 0)


async def test_cancelling_one_wait_for_an_outcome_loses_none() -> None:
    async with (
        client(ScriptedTransport(latency=1)) as c,
        c.fan_out(numbered(20), max_in_flight=2) as outcomes,
    ):
        seen: list[int] = []
        while len(seen) < 20:
            with anyio.move_on_after(0.3):
                seen.append((await anext(outcomes)).index)
    assert sorted(seen) == list(range(20))


async def test_no_row_has_a_task_of_its_own() -> None:
    most = 0

    def reply(request: WireRequest) -> Reply:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        return answer("x")

    async with client(ScriptedTransport(otherwise=reply)) as c:
        async with c.fan_out(numbered(2000), max_in_flight=8) as outcomes:
            async for _ in outcomes:
                pass
    assert most <= 8 + 2


async def test_few_rows_bring_few_workers() -> None:
    before = len(asyncio.all_tasks())
    async with client(ScriptedTransport(latency=1)) as c, c.fan_out(["a", "b"]) as outcomes:
        await anyio.sleep(0.5)
        assert len(asyncio.all_tasks()) - before <= 3
        assert len([outcome async for outcome in outcomes]) == 2


@pytest.mark.slow
async def test_memory_does_not_grow_with_rows() -> None:
    def alive() -> int:
        gc.collect()
        return len(gc.get_objects())

    sizes = []
    async with client(ScriptedTransport(keep=False)) as c:
        for rows in (2_000, 8_000):
            async with c.fan_out(numbered(rows)) as outcomes:
                async for _ in outcomes:
                    pass
            sizes.append(alive())
    assert sizes[1] - sizes[0] < 500


_HUNDRED_THOUSAND = """
import asyncio, resource
from segmind_async import SegmindClient
from segmind_async.testing import ScriptedTransport

async def main():
    async with SegmindClient("k", transport=ScriptedTransport(keep=False)) as client:
        async def run(rows):
            tasks = count = 0
            async with client.fan_out(str(n) for n in range(rows)) as outcomes:
                async for outcome in outcomes:
                    count += 1
                    if outcome.index % 500 == 0:
                        tasks = max(tasks, len(asyncio.all_tasks()))
            return count, tasks
        await run(1000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count, tasks = await run(100_000)
        print(count, tasks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in KiB, as Linux does")
def test_a_hundred_thousand_rows_take_no_more_memory_than_a_thousand() -> None:
    told = subprocess.check_output([sys.executable, "-c", _HUNDRED_THOUSAND], text=True)
    count, tasks, grown = map(int, told.split())
    assert count == 100_000
    assert tasks <= 66  # one for each slot, and the consumer's own
    assert grown < 20 * 1024


async def test_no_wait_is_left_when_the_money_runs_out() -> None:
    """The account pays for about 50 calls above the floor; no call is sent that it cannot pay."""
    balance = Decimal(1)

    def reply(request: WireRequest) -> Reply:
        nonlocal balance
        if request.body is None:
            return WireResponse(200, {}, f'{{"credits": {balance}, "free-credits": 0}}'.encode())
        balance -= Decimal("0.01")
        return answer("x", cost="0.01", balance=str(balance))

    async with client(ScriptedTransport(otherwise=reply, latency=1)) as c:
        async with c.fan_out(itertools.repeat("x"), floor=Decimal("0.5")) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
    assert Decimal("0.5") <= balance <= Decimal("0.51")
    assert got["ok"] in {49, 50}
    assert got["unsent"] >= 1
    assert got["failed"] == 0
    assert outcomes.report.stop_reason is sa.StopReason.CREDITS


async def test_raise_raises_after_the_outcomes() -> None:
    async with client(ScriptedTransport(otherwise=by_text)) as c:
        earned = 0
        with pytest.raises(sa.InsufficientCreditsError):
            async with c.fan_out(itertools.repeat("x"), floor=6, on_exhausted="raise") as outcomes:
                async for outcome in outcomes:
                    earned += outcome.status is sa.Status.OK
        assert earned == 0


async def test_wait_continues_after_a_top_up() -> None:
    balance = Decimal("0.001")

    def reply(request: WireRequest) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, f'{{"credits": {balance}, "free-credits": 0}}'.encode())
        return answer("x", balance=str(balance))

    async def top_up() -> None:
        nonlocal balance
        await anyio.sleep(600)
        balance = Decimal(10)

    async with client(ScriptedTransport(otherwise=reply)) as c, anyio.create_task_group() as tasks:
        tasks.start_soon(top_up)
        began = anyio.current_time()
        async with c.fan_out(numbered(20), floor=1, on_exhausted="wait") as outcomes:
            got = [outcome.status.value async for outcome in outcomes]
        assert got == ["ok"] * 20
        assert 600 <= anyio.current_time() - began <= 600 + 61


async def test_after_a_stop_a_row_between_two_attempts_is_not_sent_again() -> None:
    transport = ScriptedTransport([status(503, retry_after="5")])
    async with client(transport) as c, c.fan_out(["x"]) as outcomes:
        await anyio.sleep(1)
        outcomes.stop("enough")
        got = [outcome.status.value async for outcome in outcomes]
    assert (got, len(transport.requests)) == (["unsent"], 1)


async def test_the_first_stop_decides_reason_and_message() -> None:
    async with client() as c, c.fan_out(itertools.repeat("x"), max_in_flight=2) as outcomes:
        outcomes.stop("enough")
        outcomes.stop("the disk is full", sa.StopReason.DISK)
        async for _ in outcomes:
            pass
    report = outcomes.report
    assert (report.stop_reason, report.stop_message) == (sa.StopReason.STOPPED, "enough")


async def test_a_fan_out_within_a_budget_stops_when_it_is_used_up() -> None:
    async with client() as c, c.budget(max_credits=Decimal("0.02")) as scoped:
        async with scoped.fan_out(itertools.repeat("x")) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
    assert 15 <= got["ok"] <= 20
    assert outcomes.report.spent <= Decimal("0.02")


async def test_two_fan_outs_share_the_slots() -> None:
    most = now = 0

    class Counting(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            nonlocal most, now
            now += 1
            most = max(most, now)
            try:
                return await super().send(request, time_left)
            finally:
                now -= 1

    async with client(Counting(latency=1), limits=sa.Limits(max_in_flight=10)) as c:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(c.chat_many, ["x"] * 30)
    assert most == 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"on_exhausted": "panic"}, "on_exhausted='panic'", id="on_exhausted"),
        pytest.param({"floor": -1}, "floor=-1", id="floor"),
        pytest.param({"floor": float("nan")}, "floor=nan", id="floor-nan"),
        pytest.param({"max_in_flight": 0}, "max_in_flight=0", id="max_in_flight"),
        pytest.param({"max_failures": 0}, "max_failures=0", id="max_failures"),
        pytest.param({"buffer": -1}, "buffer=-1", id="buffer"),
        pytest.param({"max_credits": "5"}, "max_credits='5'", id="max_credits"),
        pytest.param({"priority": "urgent"}, "priority='urgent'", id="priority"),
    ],
)
async def test_settings_that_cannot_work_are_refused_by_name(options, says) -> None:
    async with client() as c:
        with pytest.raises(sa.ConfigurationError, match=says):
            c.fan_out(["x"], **options)


async def test_misuse_is_reported() -> None:
    async with client() as c:
        outcomes = c.fan_out(["x"])
        with pytest.raises(RuntimeError, match="async with"):
            await anext(outcomes)
        async with outcomes:
            assert len([outcome async for outcome in outcomes]) == 1
        with pytest.raises(RuntimeError, match="once"):
            async with outcomes:
                pass


def down_until(when: float) -> Callable[[WireRequest], Reply]:
    return lambda request: by_text(request) if anyio.current_time() >= when else status(503)


@pytest.mark.slow
async def test_in_an_outage_rows_wait_and_one_at_a_time_probes() -> None:
    transport = ScriptedTransport(latency=0.1)
    hooks = RecordingHooks()
    async with sa.SegmindClient("k", transport=transport, hooks=[hooks]) as c:
        await c.chat_many(numbered(200))
        fell_at = anyio.current_time()
        transport._otherwise = down_until(fell_at + 300)
        sent = len(transport.requests)
        async with c.fan_out(f"row {n}" for n in range(500)) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
            assert anyio.current_time() < fell_at + 300 + 61 + 20
    # The first rows fail before anybody can know that it is an outage.
    assert got["ok"] >= 480
    assert got["failed"] <= 20
    assert len(transport.requests) - sent - got["ok"] < 250
    assert [(c.what, c.before, c.after) for c in hooks.of(sa.Change) if c.what == "outage"] == [
        ("outage", 0, 1),
        ("outage", 1, 0),
    ]


async def test_an_outage_without_end_stops_the_fan_out() -> None:
    transport = ScriptedTransport(otherwise=always(status(503)), latency=0.1)
    async with client(transport) as c:
        before = anyio.current_time()
        async with c.fan_out(numbered(10_000), max_outage=120) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
        assert 120 <= anyio.current_time() - before <= 240
        assert c.statistics().outage is not None
    assert got["failed"] <= 100
    assert got["unsent"] >= 1
    assert outcomes.report.stop_reason is sa.StopReason.OUTAGE
    assert "max_outage=120" in str(outcomes.report.stop_message)


async def test_without_max_outage_rows_fail_without_waiting() -> None:
    transport = ScriptedTransport(otherwise=always(status(503)))
    async with client(transport, retry=sa.RetryPolicy(retries=0)) as c:
        outcomes = c.fan_out(numbered(300), max_outage=0)
        async with outcomes:
            got = [outcome.status.value async for outcome in outcomes]
    assert got == ["failed"] * 300


@pytest.mark.parametrize("at_once", [1, 4, 16, 64])
async def test_rows_in_flight_wait_when_the_retry_budget_is_empty(at_once: int) -> None:
    transport = ScriptedTransport(latency=0.1)
    async with client(transport, limits=sa.Limits(max_in_flight=at_once)) as c:
        while c._service.retry_budget.take():
            pass  # flickering errors have used it up
        transport._otherwise = down_until(anyio.current_time() + 60)
        async with c.fan_out(numbered(200)) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
    assert got == {"ok": 200}


async def test_an_empty_retry_budget_fails_a_row_while_the_service_works_for_others() -> None:
    def broken_for_one(request: WireRequest) -> Reply:
        return status(503) if b"word 7" in (request.body or b"") else by_text(request)

    transport = ScriptedTransport(otherwise=broken_for_one, latency=0.1)
    async with client(transport, limits=sa.Limits(max_in_flight=2)) as c:
        while c._service.retry_budget.take():
            pass
        async with c.fan_out(f"word {n}" for n in range(9)) as outcomes:
            got = Counter([outcome.status.value async for outcome in outcomes])
    assert got == {"ok": 8, "failed": 1}


@pytest.mark.slow
async def test_an_outage_does_not_pay_a_row_more_often_than_allowed() -> None:
    transport = ScriptedTransport(otherwise=always(lost()), latency=0.1)
    async with client(transport) as c:
        async with c.fan_out(numbered(200), max_outage=100) as outcomes:
            async for outcome in outcomes:
                assert outcome.attempts <= 2
    assert outcomes.report.failed + outcomes.report.unsent == outcomes.report.rows


async def test_a_top_up_is_seen_although_the_balance_fell_before_it() -> None:
    async with Emulator(balance="1.0", cost="0.1") as emulator, sa.SegmindClient(KEY, emulator.url) as c:
        refused = faults.Answer(406, b'{"error": "Insufficient credits"}')
        emulator.script(refused, refused)

        async def others() -> None:
            await anyio.sleep(100)
            emulator.state.spend("0.8")
            await anyio.sleep(600)
            emulator.state.top_up("0.7")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others)
            async with c.fan_out(["row"], on_exhausted="wait") as outcomes:
                assert [outcome.status async for outcome in outcomes] == ["ok"]
        assert 700 <= anyio.current_time() < 800


async def test_what_others_had_reserved_comes_back_without_a_rise() -> None:
    async with Emulator(balance="1.0", cost="0.1") as emulator, sa.SegmindClient(KEY, emulator.url) as c:
        refused = faults.Answer(406, b'{"error": "Insufficient credits"}')
        emulator.script(refused, refused)
        async with c.fan_out(["row"], on_exhausted="wait") as outcomes:
            assert [outcome.status async for outcome in outcomes] == ["ok"]
        assert 600 < anyio.current_time() < 3600


async def test_rows_that_can_be_read_either_way_are_waited_for() -> None:
    class Either:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Either:
            return self

        async def __anext__(self) -> str:
            await anyio.sleep(1)
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return "row"

        def __iter__(self) -> Either:
            return self

        def __next__(self) -> str:
            raise AssertionError("this would block the loop")

    async with client() as c:
        assert [o.status.value for o in await c.chat_many(Either())] == ["ok"] * 3


class Ended(BaseException):
    pass


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Ended])
def test_what_ends_the_program_comes_as_it_is_and_not_in_a_group(kind: type[BaseException]) -> None:
    def rows() -> Iterator[str]:
        yield "a"
        raise kind

    async def main() -> None:
        async with client() as c, c.fan_out(rows()) as outcomes:
            with pytest.raises(kind):
                async for _ in outcomes:
                    pass

    anyio.run(main)


@pytest.mark.parametrize(
    "rows",
    ["one string", b"bytes", {"prompt": "x"}, sa.ChatRequest("x"), 5, None],
    ids=lambda rows: type(rows).__name__,
)
async def test_what_are_no_rows_is_refused_before_anything_is_sent(rows: Any, tmp_path: Path) -> None:
    transport = ScriptedTransport()
    async with client(transport) as c:
        with pytest.raises(
            sa.InvalidRequestError, match=f"the rows are a {type(rows).__name__}, .*; give a list"
        ):
            c.fan_out(rows)
        with pytest.raises(sa.InvalidRequestError, match="the rows are a"):
            await c.chat_many(rows)
        with pytest.raises(sa.InvalidRequestError, match="the rows are a"):
            c.run_job(rows, journal=tmp_path / "j")
    assert not transport.requests


def affordable(count: int) -> ScriptedTransport:
    """Answers of half a credit each, for an account that can pay *count* of them."""
    left = count

    def reply(request: WireRequest) -> Reply:
        nonlocal left
        if request.body is not None:
            left -= 1
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": %.1f, "free-credits": 0}' % (left / 2))
        return answer("fine", cost="0.5", balance=str(left / 2))

    return ScriptedTransport(otherwise=reply)


@pytest.mark.parametrize("kind", [list, tuple, dict.fromkeys], ids=["list", "tuple", "dict-keys"])
async def test_there_is_one_outcome_for_each_request_also_without_credits(kind: Any) -> None:
    asked = [f"row {n}" for n in range(9)]
    rows = kind(asked)
    rows = rows.keys() if isinstance(rows, dict) else rows
    async with client(affordable(3), limits=sa.Limits(1, first_cost=0.5)) as c:
        outcomes = await c.chat_many(rows)
    assert [(outcome.index, outcome.id) for outcome in outcomes] == [(n, str(n)) for n in range(9)]
    assert [str(outcome.status) for outcome in outcomes] == ["ok"] * 3 + ["unsent"] * 6
    assert all(outcome.error is not None and "credits" in str(outcome.error) for outcome in outcomes[3:])


async def test_outcomes_that_were_not_sent_have_the_ids_of_their_requests() -> None:
    rows = [sa.ChatRequest("x", id=f"r{n}") for n in range(4)]
    async with client(affordable(1), limits=sa.Limits(1, first_cost=0.5)) as c:
        outcomes = await c.chat_many(rows)
        assert [outcome.id for outcome in outcomes] == ["r0", "r1", "r2", "r3"]
        assert len(await c.chat_many(iter(rows))) < 4, "of an iterator only the rows that were read"


async def test_without_credits_the_error_holds_the_answers_that_were_paid() -> None:
    async with client(affordable(2), limits=sa.Limits(1, first_cost=0.5)) as c:
        with pytest.raises(sa.InsufficientCreditsError) as caught:
            await c.chat_many(["x"] * 5, on_exhausted="raise")
    assert (caught.value.answers, caught.value.details.cost) == (("fine", "fine"), Decimal(1))


async def test_the_total_is_known_at_once_where_the_input_has_a_length() -> None:
    async def slowly() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async with client() as c:
        for rows, first in ((["a", "b"], 2), (iter("ab"), None), (slowly(), None)):
            async with c.fan_out(rows) as outcomes:
                assert outcomes.report.total == first
                ids = [outcome.id async for outcome in outcomes]
                assert outcomes.report.total == 2
            assert sorted(ids) == ["0", "1"]


async def test_rows_that_are_sent_another_way_count_with_what_they_took() -> None:
    transport = ScriptedTransport(otherwise=by_text)
    async with client(transport) as opened:

        async def send(request: sa.ChatRequest) -> sa.ChatCompletion[Any]:
            return await opened.chat(sa.ChatRequest(f"{request.messages}", model="gpt-5"))

        options = FanOutOptions.checked(
            workers=2, ordered=True, on_exhausted="stop", max_failures=None, max_outage=600
        )
        fan_out = FanOut[Any](
            opened._service, replace(options, send=send), opened._options, ["1", "400", "2"]
        )
        async with fan_out as outcomes:
            found = [outcome async for outcome in outcomes]
    assert [outcome.status for outcome in found] == ["ok", "failed", "ok"]
    assert {request.path for request in transport.requests if request.body} == {"/gpt-5"}
    report = fan_out.report
    assert (report.ok, report.failed, report.attempts) == (2, 1, 3)
    assert report.spent == sum(outcome.cost or 0 for outcome in found) > 0
    assert report.latency_p50 is not None
