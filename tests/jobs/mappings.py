"""Rows of a job, read from mappings in memory or from the bytes of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import Columns, MakeRequest
from segmind_async._jobs.rows import Row, _rows, open_rows


@contextmanager
def open_mappings(
    mappings: Iterable[Columns], make: MakeRequest, limit: int | None = None
) -> Iterator[Iterator[Row]]:
    """Read rows from mappings, as `open_rows` does from a file."""
    yield _rows(enumerate(mappings, 1), make, limit, "row")


def read(path: Path, content: bytes, make: Any = own_request, **options: Any) -> list[Row]:
    """Write *content* to *path* and read its rows."""
    path.write_bytes(content)
    with open_rows(path, make, **options) as found:
        return list(found)
