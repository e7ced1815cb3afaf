"""One value a second for any number of readers: made once, and only while somebody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

INTERVAL = 1.0
"""Seconds between two values."""


class FeedFull(Exception):  # noqa: N818  # it is a refusal, not a fault
    """So many readers are there that no other is admitted."""


class Feed(Generic[T]):
    """Values of *produce* for at most *most* readers; a slow one misses values, and holds nobody up."""

    def __init__(self, produce: Callable[[], T], most: int) -> None:
        self._produce = produce
        self._most = most
        self._readers = 0
        self._number = 0
        """Of the latest value."""
        self._latest: T | None = None
        self._changed = asyncio.Event()
        """Set, and replaced, when there is a newer value."""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def readers(self) -> int:
        """How many read now."""
        return self._readers

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count a reader within a `with` block; raises FeedFull if there are too many."""
        if self._readers >= self._most:
            raise FeedFull
        self._readers += 1
        try:
            if self._timer is None:
                self._tick()
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._stop()

    async def newer(self, seen: int) -> tuple[int, T] | None:
        """Wait for a value with a number above *seen* (0: any), and return both; None once it is closed."""
        while self._number <= seen and not self._closed:
            await self._changed.wait()
        if self._closed:
            return None
        assert self._latest is not None
        return self._number, self._latest

    def close(self) -> None:
        """Let all readers end. Idempotent."""
        self._closed = True
        self._stop()
        self._changed.set()

    def _tick(self) -> None:
        if self._closed:
            return
        # Before the value is made: should that fail, the next one is made nevertheless.
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        self._latest = self._produce()
        self._number += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
