"""What is waited for while nothing is sent: the reason, the countdown, and who is told."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import anyio
import pytest

import segmind_async as sa
from segmind_async import Wait, WaitReason
from segmind_async._sending.waits import AtGateway, Pause, Waits, told_by_gateway
from segmind_async.emulator import Emulator
from segmind_async.testing import RecordingHooks, ScriptedTransport, answer
from tests.support import status


def waits() -> tuple[Waits, list[Wait]]:
    told: list[Wait] = []
    return Waits(told.append), told


def test_a_reason_that_goes_on_keeps_its_beginning_until_a_call_is_sent() -> None:
    seen, _ = waits()
    assert seen.now(0.0, queued=True) is None
    seen.block(Pause(WaitReason.PACE, 1.0, 4.0))
    seen.block(Pause(WaitReason.PACE, 3.0, 6.0))
    assert seen.now(4.0, queued=True) == Wait(WaitReason.PACE, 3.0, 2.0)
    assert seen.now(4.0, queued=False) is None
    seen.block(Pause(WaitReason.CREDITS, 5.0, available=-3, needed=20_000_000))
    assert seen.now(6.0, queued=True) == Wait(WaitReason.CREDITS, 1.0, None, Decimal(0), Decimal("0.002"))
    seen.unblock()
    assert seen.now(6.0, queued=True) is None
    assert "0 pauses" in repr(seen)


def test_an_outage_is_shown_before_the_queue_and_the_queue_before_a_retry() -> None:
    seen, _ = waits()
    with seen.pause(Pause(WaitReason.RETRY, 0.0, 9.0)), seen.pause(Pause(WaitReason.RETRY, 0.0, 7.0)):
        assert seen.paused
        assert seen.now(2.0, queued=True) == Wait(WaitReason.RETRY, 2.0, 5.0)
        seen.block(Pause(WaitReason.PACE, 0.0, 3.0))
        assert str(seen.now(2.0, queued=True)) == "the pace allows the next start in 1 s"
        with seen.pause(Pause(WaitReason.OUTAGE, 0.0, 5.0)) as outage:
            outage.until = 6.0
            assert seen.now(2.0, queued=True) == Wait(WaitReason.OUTAGE, 2.0, 4.0)
    assert not seen.paused


def test_each_wait_is_told_once_and_only_while_nothing_is_in_flight() -> None:
    seen, told = waits()
    seen.block(Pause(WaitReason.ASKED, 0.0, 45.0))
    seen.tell(0.0, 3, queued=True)
    assert told == []
    seen.tell(7.0, 0, queued=True)
    seen.tell(8.0, 0, queued=True)
    assert list(map(str, told)) == ["closed for 45 s: the service asked for it, 38 s left"]
    seen.tell(9.0, 1, queued=True)
    seen.tell(9.0, 0, queued=True)
    assert len(told) == 2
    silent = Waits()
    silent.block(Pause(WaitReason.ASKED, 0.0, 45.0))
    silent.tell(0.0, 0, queued=True)


@pytest.mark.parametrize("reason", WaitReason)
def test_every_reason_has_a_sentence(reason: WaitReason) -> None:
    text = str(Wait(reason, 1.0, 2.0, Decimal("0.02"), Decimal("0.03")))
    assert text[0].islower()
    assert "{" not in text


async def test_a_429_that_names_a_time_is_told_to_hook_and_log(caplog: pytest.LogCaptureFixture) -> None:
    hooks = RecordingHooks()
    transport = ScriptedTransport([status(429, retry_after="45"), answer("a")])
    with caplog.at_level(logging.INFO, "segmind_async"):
        async with (
            sa.SegmindClient("k", transport=transport, hooks=[hooks]) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.chat, "a")
            await anyio.sleep(7.5)
            wait = client.statistics().wait
            tasks.cancel_scope.cancel()
    assert str(wait) == "closed for 45 s: the service asked for it, 38 s left"
    [event] = hooks.of(sa.Waiting)
    assert event.wait.reason is WaitReason.ASKED
    [record] = [record for record in caplog.records if record.message == "waiting"]
    assert getattr(record, "text", "").startswith("closed for 45 s")


async def test_a_failed_attempt_is_waited_out_by_name() -> None:
    transport = ScriptedTransport([status(503, retry_after="4"), answer("a")])
    async with sa.SegmindClient("k", transport=transport) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.chat, "a")
        await anyio.sleep(1)
        wait = client.statistics().wait
    assert wait is not None
    assert wait.reason is WaitReason.RETRY


async def test_before_the_first_costs_are_known_calls_wait_for_them() -> None:
    async with (
        Emulator(cost="0.001", latency=5.0, balance="0.002") as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.balance()
        for n in range(9):
            tasks.start_soon(client.chat, str(n))
        await anyio.sleep(1)
        seen = client.statistics()
        tasks.cancel_scope.cancel()
    assert seen.wait is not None
    assert seen.wait.reason is WaitReason.FIRST_COSTS


async def test_a_top_up_is_waited_for_by_name_and_amount() -> None:
    async with (
        Emulator(cost="0.01", latency=0.1, balance="0.035") as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
        anyio.create_task_group() as tasks,
    ):

        async def send() -> None:
            async with client.fan_out(
                map(str, range(9)), on_exhausted="wait", floor=Decimal("0.01")
            ) as outcomes:
                async for _ in outcomes:
                    pass

        tasks.start_soon(send)
        await anyio.sleep(8)
        seen = client.statistics()
        tasks.cancel_scope.cancel()
    assert (seen.in_flight, str(seen.wait)[:20]) == (0, "waiting for a top-up")
    assert seen.wait is not None
    assert seen.wait.available == Decimal("0.005")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({}, AtGateway(0, None)),
        ({"waiting": -1}, AtGateway(0, None)),
        ({"waiting": "3"}, AtGateway(0, None)),
        ({"waiting": 3}, AtGateway(3, None)),
        ({"waiting": 3, "wait": {"reason": "weather"}}, AtGateway(3, None)),
        ({"waiting": 3, "wait": {"reason": ["pace"]}}, AtGateway(3, None)),
        ({"waiting": 3, "wait": "pace"}, AtGateway(3, None)),
        (
            {"waiting": 3, "wait": {"reason": "pace", "left": 1.5}},
            AtGateway(3, Wait(WaitReason.PACE, 0, 1.5)),
        ),
        (
            {"waiting": 3, "wait": {"reason": "pace", "lasted": 1e300, "left": float("nan")}},
            AtGateway(3, Wait(WaitReason.PACE)),
        ),
        (
            {"waiting": 1, "wait": {"reason": "credits", "available": "0.5", "needed": "much"}},
            AtGateway(1, Wait(WaitReason.CREDITS, available=Decimal("0.5"))),
        ),
    ],
)
def test_what_a_gateway_tells_is_read_as_far_as_it_can_be(raw: Any, told: AtGateway) -> None:
    assert told_by_gateway(raw) == told
    str(told.wait)


def test_what_a_gateway_has_told_counts_down_and_is_forgotten() -> None:
    seen, _ = waits()
    figures = sa.Statistics(in_flight=5, waiting=1)
    assert seen.shown_in(figures, 0.0) == figures
    seen.gateway_tells(AtGateway(3, Wait(WaitReason.PACE, 1.0, 4.0)), 10.0)
    there = Wait(WaitReason.PACE, 3.0, 2.0, at_gateway=True)
    assert seen.shown_in(figures, 12.0) == sa.Statistics(in_flight=2, waiting=4, wait=there)
    assert str(there) == "at the gateway: the pace allows the next start in 2 s"
    # A wait here comes before that there; some of the calls may have ended meanwhile.
    with seen.pause(Pause(WaitReason.OUTAGE, 12.0)):
        here = Wait(WaitReason.OUTAGE)
        assert seen.shown_in(sa.Statistics(in_flight=1), 12.0) == sa.Statistics(waiting=1, wait=here)
    assert seen.shown_in(figures, 26.0) == figures
    seen.gateway_tells(AtGateway(3, None), 26.0)
    assert seen.shown_in(sa.Statistics(in_flight=4), 26.0) == sa.Statistics(in_flight=1, waiting=3)
