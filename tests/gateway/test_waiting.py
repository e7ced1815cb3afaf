"""Calls that wait at a gateway are shown as waiting by the program that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from segmind_async import Limits, SegmindClient
from segmind_async._jobs import run
from segmind_async._sending.service import ask_gateway
from segmind_async._text.wait_reasons import WaitReason
from segmind_async.emulator import Emulator
from segmind_async.gateway._waiting import client_in
from segmind_async.jobs import JobProgress
from tests.gateway.support import asked, world

ROWS = [f"question {number}" for number in range(16)]


async def test_a_job_shows_what_waits_at_the_gateway_and_why(tmp_path: Path) -> None:
    seen: list[JobProgress] = []
    async with (
        world(client={"limits": Limits(max_in_flight=2)}, latency=20) as w,
        SegmindClient("any-key", w.gateway.url, limits=Limits(max_in_flight=8)) as worker,
        SegmindClient("any-key", w.gateway.url) as other,
    ):
        await w.client.balance()
        await worker.balance()
        await other.balance()
        async with worker.run_job(ROWS, journal=tmp_path / "job", progress=seen.append) as outcomes:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other.chat, "another program's")
                await anyio.sleep(12)
                now = worker.statistics()
                progress = seen[-1]
                assert other.statistics().in_flight == 1
                tasks.cancel_scope.cancel()
            found = [one async for one in outcomes]
        assert len(found) == len(ROWS)
        # The other slot is another program's.
        assert (now.in_flight, now.waiting, now.limit) == (1, 7, 8)
        assert (progress.in_flight, progress.waiting) == (1, 7)
        wait = progress.statistics.wait
        assert wait is not None
        assert wait.at_gateway
        assert wait.reason is WaitReason.SLOT
        assert str(wait) == "at the gateway: as many calls are in flight as the limit allows"
        told = await w.get(f"/waiting/{worker._service.admission.name}")
        assert await told.json() == {"waiting": 0, "wait": None}


async def test_what_was_told_is_shown_for_a_while_only() -> None:
    async with (
        world(client={"limits": Limits(max_in_flight=1)}, latency=100) as w,
        SegmindClient("any-key", w.gateway.url) as worker,
    ):
        await w.client.balance()
        await worker.balance()
        async with anyio.create_task_group() as tasks:
            for text in ("first", "second"):
                tasks.start_soon(worker.chat, text)
            await anyio.sleep(1)
            await ask_gateway(worker._service)
            assert worker.statistics().in_flight == 1
            await anyio.sleep(14)
            assert worker.statistics().in_flight == 1
            await anyio.sleep(2)
            assert worker.statistics().in_flight == 2


async def test_nobody_but_a_gateway_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[object] = []

    async def ask(service: object) -> None:
        questions.append(service)

    monkeypatch.setattr(run, "ask_gateway", ask)
    async with Emulator(latency=20) as emulator, SegmindClient(emulator.key, emulator.url) as client:
        async with client.run_job(["hello"], journal=tmp_path / "job") as outcomes:
            assert len([one async for one in outcomes]) == 1
        assert not questions
    async with world(latency=20) as w, SegmindClient("any-key", w.gateway.url) as worker:
        await worker.balance()
        async with worker.run_job(["hello"], journal=tmp_path / "another") as outcomes:
            assert len([one async for one in outcomes]) == 1
        assert questions


async def test_a_server_that_does_not_know_the_question_tells_nothing() -> None:
    async with Emulator() as emulator, SegmindClient(emulator.key, emulator.url) as client:
        await ask_gateway(client._service)
        assert client._service.admission.waits.at_gateway(9, 0.0) == 0


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "ä", "a/b"])
async def test_an_id_that_is_none_is_not_counted(name: Any) -> None:
    assert client_in({"x-segmind-client": name}) is None
    async with world() as w:
        response = await w.post("/gpt-5.4-mini", asked(), headers={"x-segmind-client": name})
        assert response.status == 200
