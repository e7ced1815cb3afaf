"""Tasks that may outlive their request: none is left, and none that failed is complained about."""

from __future__ import annotations

import anyio
import pytest

from segmind_async.gateway._background_tasks import BackgroundTasks


async def test_what_still_runs_is_cancelled_and_has_ended_when_they_are_closed() -> None:
    ended: list[float] = []

    async def long() -> None:
        try:
            await anyio.sleep(3600)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            ended.append(anyio.current_time())

    tasks = BackgroundTasks()
    task = tasks.begin(long())
    await anyio.sleep(1)
    await tasks.aclose()
    assert task.cancelled()
    assert ended == [pytest.approx(2, abs=0.1)]
    await tasks.aclose()
