"""Async tests run on a loop whose time jumps: an hour of waiting takes milliseconds, over real sockets."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio.to_thread
import looptime
import pytest
from hypothesis import settings

from segmind_async._jobs.journal.writer import WriterThread

T = TypeVar("T")

# The same examples everywhere: a gate that fails by chance teaches people to press the button twice.
settings.register_profile("gate", derandomize=True, deadline=None, database=None, max_examples=60)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("gate")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": looptime.new_event_loop}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own key and address out of the tests."""
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    monkeypatch.delenv("SEGMIND_BASE_URL", raising=False)


@pytest.fixture(autouse=True)
def _time_stands_still_for_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep time from jumping while a thread works: the loop waits for what it knows to come from one."""

    def waited_for(future: asyncio.Future[T]) -> asyncio.Future[T]:
        futures = getattr(asyncio.get_running_loop(), "_LoopTimeEventLoop__sync_futures", None)
        if futures is not None:
            futures.add(future)
        return future

    wrap, ask = asyncio.wrap_future, WriterThread.ask_here
    monkeypatch.setattr(asyncio, "wrap_future", lambda future, **more: waited_for(wrap(future, **more)))
    monkeypatch.setattr(
        WriterThread, "ask_here", lambda self, work, **more: waited_for(ask(self, work, **more))
    )

    async def run_sync(work: Callable[..., T], *args: Any, **_options: Any) -> T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(threads, context.run, work, *args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)
    # Not the loop's own: from Python 3.12 it is given 300 s to end, and these may be over in no time.
    with ThreadPoolExecutor() as threads:
        yield
