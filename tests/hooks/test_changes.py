"""The hook that says what moved, and why."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

import segmind_async as sa
from segmind_async.emulator import Emulator
from segmind_async.testing import RecordingHooks, ScriptedTransport, answer
from tests.support import status


async def test_changes_of_limit_pace_gate_and_estimate_are_reported_with_reasons() -> None:
    hooks = RecordingHooks()
    async with (
        Emulator(cost="0.01", latency=1.0, requests_per_minute=30, balance=100) as emulator,
        sa.SegmindClient(emulator.key, emulator.url, hooks=[hooks]) as client,
    ):
        await client.chat_many([str(n) for n in range(100)])
        statistics = client.statistics()
    told = {change.what: change for change in hooks.of(sa.Change)}
    assert told.keys() == {"estimate", "pace", "gate"}
    assert (told["estimate"].before, told["estimate"].after) == (Decimal("0.000543"), Decimal("0.01"))
    assert (told["estimate"].model, told["estimate"].reason) == ("gpt-5.4-mini", "the last 1 calls")
    pace = next(change for change in hooks.of(sa.Change) if change.what == "pace")
    assert pace.before is None
    assert pace.after == pytest.approx(30, abs=2)
    assert statistics.requests_per_minute == pytest.approx(30, abs=2)
    assert "starts within 60 s" in pace.reason
    gate = told["gate"]
    assert gate.before == 0
    assert isinstance(gate.after, float)
    assert 0 < gate.after <= 60
    assert statistics.estimate_reason == "the last 100 calls"


async def test_a_change_of_the_concurrency_limit_is_reported() -> None:
    hooks = RecordingHooks()
    async with (
        Emulator(latency=2.0, max_in_flight=10, balance=100) as emulator,
        sa.SegmindClient(emulator.key, emulator.url, hooks=[hooks]) as client,
    ):
        await client.chat_many([str(n) for n in range(300)])
        assert 8 <= client.statistics().limit <= 12
        assert client.statistics().requests_per_minute is None
    first = next(change for change in hooks.of(sa.Change) if change.what == "limit")
    assert first.before == 64
    assert "in flight: 64 lowered to" in first.reason


@pytest.mark.parametrize(
    ("what", "limits", "replies"),
    [
        ("slot", sa.Limits(max_in_flight=1), [answer("warm")]),
        ("pace", sa.Limits(requests_per_minute=3), [answer("warm")]),
        ("asked", sa.Limits(), [answer("warm"), status(429, retry_after="30")]),
    ],
)
async def test_what_the_next_call_is_waiting_for(
    what: str, limits: sa.Limits, replies: list[sa.SegmindError]
) -> None:
    transport = ScriptedTransport(replies, latency=5.0)  # type: ignore[arg-type]  # replies of either kind
    async with (
        sa.SegmindClient("k", transport=transport, limits=limits) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.chat("warm")
        assert client.statistics().wait is None
        for n in range(3):
            tasks.start_soon(client.chat, str(n))
            await anyio.sleep(0.1)
        await anyio.sleep(5.5)
        seen = client.statistics()
        tasks.cancel_scope.cancel()
    assert seen.wait is not None
    assert (seen.wait.reason, seen.waiting > 0) == (what, True)


async def test_waiting_for_its_own_budget() -> None:
    async with (
        sa.SegmindClient("k", transport=ScriptedTransport(latency=5.0)) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.chat("warm")
        scoped = client.budget(max_in_flight=1)
        for n in range(3):
            tasks.start_soon(scoped.chat, str(n))
        await anyio.sleep(1)
        wait = client.statistics().wait
        assert wait is not None
        assert wait.reason is sa.WaitReason.SCOPE_SLOT


async def test_waiting_for_credits() -> None:
    limits = sa.Limits(max_in_flight=200)
    async with (
        Emulator(cost="0.01", latency=1.0, balance="0.8") as emulator,
        sa.SegmindClient(emulator.key, emulator.url, limits=limits) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.chat_many(["so that costs are known"] * 30)
        for n in range(80):
            tasks.start_soon(client.chat, str(n))
        await anyio.sleep(0.5)
        seen = client.statistics()
        tasks.cancel_scope.cancel()
    assert seen.wait is not None
    assert (seen.wait.reason, seen.wait.left) == (sa.WaitReason.CREDITS, None)
    assert seen.wait.available is not None
    assert str(seen.wait).endswith("credits left above the floor")
    # Money for 50 calls; one in 31 may be of a kind not seen yet, 60 times dearer.
    assert 12 <= seen.in_flight <= 50 * 31 / (31 + 60)
