"""The uploaded file of a batch: its lines are looked at, and its rows are read one at a time, in threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio.to_thread

from ..._jobs.formats.file_format import Format
from ..._jobs.formats.jsonl import open_jsonl
from ..._jobs.rows import Row, open_rows
from ...errors import SegmindError
from ...models import ChatRequest
from .._errors import GatewayError
from .batch import Problem
from .check import LineCheck
from .rows import read_request

_START = 1024
"""Bytes within which the first row begins."""

_BOM = b"\xef\xbb\xbf"


def checked(path: Path, endpoint: str) -> LineCheck:
    """Look at all lines of a file. Blocks."""
    check = LineCheck(endpoint)
    with path.open("rb") as file:
        start = file.read(_START).removeprefix(_BOM).lstrip()
    if start and not start.startswith(b"{"):
        # Neither packed nor an array, which `open_jsonl` would read as well: the bounds are those of lines.
        message = "The file does not begin with a JSON object: it must be JSON lines, in UTF-8, not packed"
        check.problems.append(Problem("invalid_json_line", message, 1))
        return check
    with open_jsonl(path) as found:
        check.all(found)
    return check


async def rows_of(path: Path, endpoint: str) -> AsyncGenerator[Row, None]:
    """Yield the rows of a file that was checked; one whose body has a bad field has no request."""

    def make(columns: Mapping[str, object]) -> ChatRequest:
        try:
            return read_request(endpoint, columns)
        except (GatewayError, SegmindError) as error:
            raise ValueError(error.message) from error

    with open_rows(path, make, form=Format.JSONL) as rows:
        # One at a time: a row may hold images of many megabytes.
        while (row := await anyio.to_thread.run_sync(next, rows, None)) is not None:
            yield row
