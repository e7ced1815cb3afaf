"""Rows of a job, read one at a time from a file or an iterable. An invalid row is a value, not an error.

Does not know how rows are sent.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from pydantic_core import to_json

from .._sending.source import check_rows
from .._text.error_text import message_of
from ..models import ChatRequest, Request
from .formats.csv import open_csv
from .formats.file_format import Format, format_of
from .formats.jsonl import open_jsonl
from .formats.parquet import open_parquet
from .formats.text import AS_FOUND, Found, TextOptions
from .own_request import own_request, with_ids
from .prompt_template import Columns, MakeRequest


@dataclass(slots=True)
class Row:
    """One row of the input, not to be changed: freezing it would double the cost of making it."""

    index: int
    """From 0, blank lines not counted, over all files of a folder."""
    line: int
    """The line at which it begins, from 1; the number of the row where there are no lines."""
    id: str
    """The input's own, else its index."""
    has_id: bool
    """Whether the row is known by its id; else by what it asks."""
    columns: Columns
    request: ChatRequest | None
    """None if the row is invalid."""
    problem: str | None = None
    """Where it is, and why it is invalid."""
    unit: str = "line"
    """What *line* counts, and in which file of a folder."""
    file: str | None = None
    """Name of its file in the folder; None: the input is no folder."""


@contextmanager
def open_rows(
    path: Path,
    make: MakeRequest = own_request,
    limit: int | None = None,
    form: Format | None = None,
    text: TextOptions = AS_FOUND,
) -> Iterator[Iterator[Row]]:
    """Open a file of rows: JSON (lines or one array), CSV or Parquet, by its name unless *form* says which.

    Lines may be compressed with gzip. At most *limit* rows are read. Raises ConfigurationError for a file
    that has no rows at all: no header, two columns of one name, no Parquet.
    """
    form = form or format_of(path)
    with _OPENERS[form](path, text) as found:
        yield _rows(with_ids(found), make, limit, "row" if form is Format.PARQUET else "line")


_OPENERS: Mapping[Format, Callable[[Path, TextOptions], AbstractContextManager[Found]]] = {
    Format.JSONL: open_jsonl,
    Format.CSV: open_csv,
    Format.PARQUET: open_parquet,
}


def rows_made(given: Iterable[Columns], make: MakeRequest) -> Iterator[Row]:
    """Yield the rows of columns that stand in no file; one of which no request can be made says why."""
    return _rows(enumerate(given, 1), make, None, "row")


def _rows(
    found: Iterable[tuple[int, Columns | str]], make: MakeRequest, limit: int | None, unit: str
) -> Iterator[Row]:
    for index, (line, columns) in enumerate(found):
        if limit is not None and index >= limit:
            return
        if isinstance(columns, str):
            problem = f"{unit} {line}: {columns}"
            yield Row(
                index, line, str(index), has_id=False, columns={}, request=None, problem=problem, unit=unit
            )
            continue
        yield _row_of(index, line, columns, make, unit)


def _row_of(index: int, line: int, columns: Columns, make: MakeRequest, unit: str) -> Row:
    """Return a row of columns; one of which no request can be made says why."""
    given = columns.get("id")
    has_id = given is not None and given != ""
    name = str(given) if has_id else str(index)
    try:
        return Row(index, line, _text(name), has_id, columns, _sendable(make(columns)), None, unit)
    except ValueError as error:
        name = ascii(name)[1:-1] if has_id else name
        return Row(index, line, name, has_id, columns, None, f"{unit} {line}: {message_of(error)}", unit)


def _sendable(request: ChatRequest) -> ChatRequest:
    """Return *request*; raises ValueError if it is not JSON, as rows of other formats may not be."""
    if isinstance(request.messages, str):
        _text(request.messages)
    else:
        to_json(request.messages)
    return request


def _text(text: str) -> str:
    """Return *text*; raises ValueError for a lone surrogate, which UTF-8 cannot encode."""
    text.encode()
    return text


JobRow: TypeAlias = Request | Columns | Row
"""A string, a list of messages, a `ChatRequest`, a mapping as a line of a file holds it (`prompt` or
`messages`, and `id`), or a row of a file as `open_rows` reads it."""

JobRows: TypeAlias = Iterable[JobRow] | AsyncIterable[JobRow]


def as_rows(given: JobRows) -> Iterator[Row] | AsyncIterator[Row]:
    """Return the rows of an iterable, numbered, with the ids that requests have.

    Raises InvalidRequestError for anything but rows.
    """
    check_rows(given)
    if isinstance(given, AsyncIterable):
        return _numbered(given)
    return (_row(index, each) for index, each in enumerate(given))


async def _numbered(given: AsyncIterable[JobRow]) -> AsyncIterator[Row]:
    index = 0
    async with closing_rows(given):
        async for each in given:
            yield _row(index, each)
            index += 1


def _row(index: int, given: JobRow) -> Row:
    if isinstance(given, Row):
        return given
    if isinstance(given, Mapping):
        return _row_of(index, index + 1, given, own_request, "row")
    request = given if isinstance(given, ChatRequest) else ChatRequest(given)
    named = request.id is not None
    return Row(index, index + 1, request.id if request.id is not None else str(index), named, {}, request)


_SMALLEST_BATCH, _LARGEST_BATCH = 128, 2048
"""Rows that are read and looked up together: each look-up costs a change to a worker thread."""


_LONGEST_BATCH = 2 * 1024 * 1024
"""Characters of the rows that are read together, but for the last of them: a row may hold images."""


class BatchSize:
    """The number of rows to read next: few while rows are sent, many while all of them are finished."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = _SMALLEST_BATCH

    def adapt(self, *, sent: bool) -> None:
        """Set the next size after a batch of which some rows were *sent*, or none."""
        self.rows = _SMALLEST_BATCH if sent else min(2 * self.rows, _LARGEST_BATCH)


async def batches_of(
    rows: Iterable[Row] | AsyncIterable[Row], size: BatchSize | None = None
) -> AsyncIterator[list[Row]]:
    """Yield rows in batches, fewer of long rows; those of an async iterable one at a time: it may be late."""
    size = size or BatchSize()
    if isinstance(rows, AsyncIterable):
        async with closing_rows(rows):
            async for row in rows:
                yield [row]
        return
    taken = iter(rows)
    while True:
        batch = list[Row]()
        error: Exception | None = None
        try:
            batch.extend(_next_of(taken, size.rows))
        except Exception as raised:  # noqa: BLE001  # of the user's iterable; the rows before it are whole
            error = raised
        if batch:
            yield batch
        if error is not None:
            raise error
        if not batch:
            return


def _next_of(rows: Iterator[Row], most: int) -> Iterator[Row]:
    """Yield the next rows: at most so many, and fewer of long ones."""
    room = _LONGEST_BATCH
    for row in islice(rows, most):
        yield row
        room -= _length(row.columns or (row.request.messages if row.request is not None else None))
        if room < 0:
            return


def _length(value: object) -> int:
    """Return the number of characters of the texts in a value; others take little room."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(map(_length, value)) if isinstance(value, list | tuple) else 0


def closing_rows(rows: AsyncIterable[object]) -> AbstractAsyncContextManager[object]:
    """Return a context that closes *rows* on exit if it is an async generator."""
    return aclosing(rows) if isinstance(rows, AsyncGenerator) else nullcontext()
