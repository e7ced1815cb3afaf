"""Reads the rows of a fan-out from any iterable, one when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeAlias

from ..models import Request

Rows: TypeAlias = Iterable[Request] | AsyncIterable[Request]


class Source:
    """Reads rows from any iterable, one at a time, and never two at once."""

    def __init__(self, rows: Rows) -> None:
        if isinstance(rows, AsyncIterable):
            self._rows: AsyncIterator[Request] | Iterator[Request] = aiter(rows)
        else:
            self._rows = iter(rows)
        self.plain = not isinstance(self._rows, AsyncIterator)
        """Whether a row is there without waiting for it: then `pull_nowait` reads, else `pull`."""
        self._lock = asyncio.Lock()
        self._count = 0
        self._done = False

    def pull_nowait(self) -> tuple[int, Request] | None:
        """Return the next row with its index, None after the last; raises what the iterable raises."""
        assert isinstance(self._rows, Iterator)
        if not self._done:
            for row in self._rows:
                self._count += 1
                return self._count - 1, row
            self._done = True
        return None

    async def pull(self) -> tuple[int, Request] | None:
        """Do the same, and wait for it."""
        assert isinstance(self._rows, AsyncIterator)
        async with self._lock:
            if self._done:
                return None
            self._done = True  # also if it raises or is cancelled: a generator goes on after neither
            try:
                row = await anext(self._rows)
            except StopAsyncIteration:
                return None
            self._done = False
        self._count += 1
        return self._count - 1, row

    async def aclose(self) -> None:
        """Close an async generator, so that its own clean-up runs now and not at some later time."""
        if isinstance(self._rows, AsyncGenerator):
            await self._rows.aclose()
