"""Rows of a job as a program gives them: requests in any iterable."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Required, TypeAlias

from .._sending.options import JobSending
from ..models import ChatRequest, Request
from .options import JobOptions
from .progress_reporter import Progress
from .row_keys import closing
from .rows import Row

JobRows: TypeAlias = Iterable[Request | Row] | AsyncIterable[Request | Row]
"""Strings, lists of messages, `ChatRequest`s, or rows of a file as `open_rows` reads them."""


class JobSettings(JobSending, total=False):
    """What `SegmindClient.run_job` can be told; its docstring says what each does."""

    journal: Required[str | Path]
    options: JobOptions | None
    settings: Mapping[str, object] | None
    progress: Progress | None


def as_rows(given: JobRows) -> Iterator[Row] | AsyncIterator[Row]:
    """Number what is given, and take the ids that it names."""
    if isinstance(given, AsyncIterable):
        return _numbered(given)
    return (_row(index, each) for index, each in enumerate(given))


async def _numbered(given: AsyncIterable[Request | Row]) -> AsyncIterator[Row]:
    index = 0
    async with closing(given):
        async for each in given:
            yield _row(index, each)
            index += 1


def _row(index: int, given: Request | Row) -> Row:
    if isinstance(given, Row):
        return given
    request = given if isinstance(given, ChatRequest) else ChatRequest(given)
    named = request.id is not None
    return Row(index, index + 1, request.id if request.id is not None else str(index), named, {}, request)
