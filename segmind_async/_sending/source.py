"""Reads the rows of a fan-out from any iterable, one at a time, when a worker is free."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..models import ChatRequest, Outcome, Request
from .conversation import Answered

Rows: TypeAlias = Iterable[Request] | AsyncIterable[Request]
"""Rows as a user passes them in."""

Keep: TypeAlias = Callable[[Outcome[Any]], Awaitable[None]]
"""Awaited with an outcome before the consumer receives it and before its worker takes another row."""


@dataclass(slots=True)
class PendingRow:
    """A row to send."""

    index: int
    """`Outcome.index`."""
    id: str | None
    """`Outcome.id`."""
    request: ChatRequest
    keep: Keep | None = None
    """None: as `FanOutOptions` says."""
    answered: Answered | None = None
    """Awaited with every answer, if the fan-out parses answers."""


@dataclass(slots=True)
class FinishedRow:
    """A row whose outcome is known: it is delivered in its place, neither sent nor counted."""

    outcome: Outcome[Any]


Pulled: TypeAlias = tuple[int, PendingRow | FinishedRow]
"""A row and its position among those that were read, from 0."""


class Source:
    """Reads rows from any iterable, one at a time, and never two at once."""

    def __init__(self, rows: Rows | AsyncIterable[PendingRow | FinishedRow]) -> None:
        if isinstance(rows, AsyncIterable):
            self._rows: AsyncIterator[Any] | Iterator[Request] = aiter(rows)
        else:
            self._rows = iter(rows)
        self.plain = not isinstance(self._rows, AsyncIterator)
        """Whether rows are read without waiting: then by `pull_nowait`, else by `pull`."""
        self._lock = asyncio.Lock()
        self._count = 0
        self._done = False

    def pull_nowait(self) -> Pulled | None:
        """Return the next row, None after the last; raises what the iterable raises."""
        assert isinstance(self._rows, Iterator)
        if not self._done:
            for row in self._rows:
                return self._pulled(row)
            self._done = True
        return None

    async def pull(self) -> Pulled | None:
        """Wait for the next row and return it, None after the last; raises what the iterable raises."""
        assert isinstance(self._rows, AsyncIterator)
        async with self._lock:
            if self._done:
                return None
            self._done = True  # also if it raises or is cancelled: a generator cannot continue after either
            try:
                row = await anext(self._rows)
            except StopAsyncIteration:
                return None
            self._done = False
        return self._pulled(row)

    def _pulled(self, row: Request | PendingRow | FinishedRow) -> Pulled:
        position = self._count
        self._count += 1
        if isinstance(row, PendingRow | FinishedRow):
            return position, row
        request = row if isinstance(row, ChatRequest) else ChatRequest(row)
        return position, PendingRow(position, request.id, request)

    async def aclose(self) -> None:
        """Close an async generator, so that its cleanup runs now instead of at garbage collection."""
        if isinstance(self._rows, AsyncGenerator):
            await self._rows.aclose()
