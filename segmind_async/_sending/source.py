"""Reads the rows of a fan-out from any iterable, one at a time, when a worker is free."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InvalidRequestError
from ..models import ChatRequest, Outcome, Request
from .conversation import Answered

Rows: TypeAlias = Iterable[Request] | AsyncIterable[Request]
"""Rows as a user passes them in."""

Keep: TypeAlias = Callable[[Outcome[Any]], Awaitable[Outcome[Any]]]
"""Awaited with an outcome before its worker takes another row; returns the one that the consumer receives."""


@dataclass(slots=True)
class PendingRow:
    """A row to send."""

    index: int
    """`Outcome.index`."""
    id: str
    """`Outcome.id`."""
    request: ChatRequest
    keep: Keep | None = None
    """None: as `FanOutOptions` says, and the outcome as it is."""
    answered: Answered | None = None
    """Awaited with every answer, if the fan-out parses answers."""


@dataclass(slots=True)
class FinishedRow:
    """A row whose outcome is known: it is delivered in its place, neither sent nor counted."""

    outcome: Outcome[Any]


Pulled: TypeAlias = tuple[int, PendingRow | FinishedRow]
"""A row and its position among those that were read, from 0."""


def check_rows(rows: object) -> None:
    """Check that *rows* are rows; raises InvalidRequestError for one text, one conversation, or no iterable.

    A text is an iterable of letters, and a dict of its keys: each would be sent, and paid.
    """
    if isinstance(rows, AsyncIterable):
        return
    if isinstance(rows, str | bytes | bytearray | Mapping | ChatRequest) or not isinstance(rows, Iterable):
        raise InvalidRequestError(
            f"the rows are a {type(rows).__name__}, {reprlib.repr(rows)}; give a list of strings, "
            "conversations or ChatRequests, also for a single one"
        )


def size_of(rows: object) -> int | None:
    """Return how many rows there are; None for what has no length."""
    return len(rows) if isinstance(rows, Sized) else None


class Source:
    """Reads rows from any iterable, one at a time, and never two at once."""

    def __init__(self, rows: Rows | AsyncIterable[PendingRow | FinishedRow]) -> None:
        """Raise InvalidRequestError for anything but rows."""
        check_rows(rows)
        self.total = size_of(rows)
        """Rows in all: from the start if the input has a length, else when it has been read to its end."""
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
            self._end()
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
                self._end()
                return None
            self._done = False
        return self._pulled(row)

    def _pulled(self, row: Request | PendingRow | FinishedRow) -> Pulled:
        position = self._count
        self._count += 1
        if isinstance(row, PendingRow | FinishedRow):
            return position, row
        request = row if isinstance(row, ChatRequest) else ChatRequest(row)
        name = str(position) if request.id is None else request.id
        return position, PendingRow(position, name, request)

    def _end(self) -> None:
        self._done, self.total = True, self._count

    async def aclose(self) -> None:
        """Close an async generator, so that its cleanup runs now instead of at garbage collection."""
        if isinstance(self._rows, AsyncGenerator):
            await self._rows.aclose()
