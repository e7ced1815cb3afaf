"""An event loop whose time jumps to the next timer as soon as nothing is left to do: an hour takes no time.

Sockets are real and threads are real; only waiting costs nothing. While a thread works for the loop, time
stands still: anyio's worker threads are known by the tokens of their limiter, executors by their futures,
the journals' writer threads by their count of unfinished requests.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from segmind_async._jobs.journal.commit_thread import WriterThread

T = TypeVar("T")

RESOLUTION = 1e-6
"""Seconds of one tick. Time is counted in ticks, so that sums of waits do not collect rounding errors."""

EMPTY_POLLS = 42
"""Polls in a row without any event after which time jumps: the kernel may deliver loopback data late.
Where the loop has no socket, nothing can be late: threads wake it by its own pipe at once."""

REAL_STEP = 0.05
"""Seconds of real time after which the loop asks again whether a thread still works for it."""

writers: weakref.WeakSet[WriterThread] = weakref.WeakSet()
"""The writer threads that may resolve a future of a loop; the tests' configuration keeps it."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop with a clock of its own that starts at 0."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector(self._is_awaiting_thread)
        self._executor_futures: weakref.WeakSet[asyncio.Future[Any]] = weakref.WeakSet()
        super().__init__(self._clock)
        # Only a task can ask for it; the selector asks outside of any.
        self._thread_limiter = self.run_until_complete(_thread_limiter())

    def time(self) -> float:
        return self._clock.ticks * RESOLUTION

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # typeshed leaves *args to a TypeVarTuple
        future = super().run_in_executor(executor, func, *args)
        self._executor_futures.add(future)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the threads have ended, however long: they end in real time, and *timeout* is virtual."""
        await super().shutdown_default_executor()

    def _is_awaiting_thread(self) -> bool:
        return (
            any(not future.done() for future in [*self._executor_futures])
            or self._thread_limiter.borrowed_tokens > 0
            or any(writer.unfinished for writer in [*writers])
        )


async def _thread_limiter() -> anyio.CapacityLimiter:
    return anyio.to_thread.current_default_thread_limiter()


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; when there is nothing to poll for and no thread at work, moves the clock instead of waiting."""

    def __init__(self, is_awaiting_thread: Callable[[], bool]) -> None:
        super().__init__()
        self.ticks = 0
        self._is_awaiting_thread = is_awaiting_thread
        self._empty_polls = 0
        self._waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Without a timer only a socket or a thread can wake the loop.
            return super().select(None)
        # Asked before the poll: a thread that has finished by then has already woken the loop.
        must_wait = timeout > 0 and self._is_awaiting_thread()
        step = min(timeout, REAL_STEP) if must_wait else 0.0
        events = super().select(step)
        if events or timeout <= 0:
            self._empty_polls, self._waited = 0, 0.0
        elif must_wait:
            # A timer may still be due before the thread has finished: then it has been waited for in full.
            self._waited += step
            if self._waited >= timeout:
                self._jump(timeout)
        elif self._empty_polls < EMPTY_POLLS and len(self.get_map()) > 1:
            self._empty_polls += 1
        else:
            self._jump(timeout)
        return events

    def _jump(self, timeout: float) -> None:
        self._empty_polls, self._waited = 0, 0.0
        self.ticks += max(1, round(timeout / RESOLUTION))
