"""Rows of a job made of mappings in memory, as a file would give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from segmind_async._jobs.rows import Columns, MakeRequest, Row, _rows


@contextmanager
def open_mappings(
    mappings: Iterable[Columns], make: MakeRequest, limit: int | None = None
) -> Iterator[Iterator[Row]]:
    """Read rows from mappings, as `open_rows` does from a file."""
    yield _rows(enumerate(mappings, 1), make, limit, "row")
