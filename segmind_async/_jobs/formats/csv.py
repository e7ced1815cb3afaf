"""CSV with a header (RFC 4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConfigurationError
from .columns import checked_names
from .text import MAX_LINE, BadLineError, Found, Lines, open_text


@contextmanager
def open_csv(path: Path) -> Iterator[Found]:
    """Read CSV with a header; a quote out of place is a bad row, not part of the text.

    Raises ConfigurationError for a header that cannot be read, or that names a column twice.
    """
    csv.field_size_limit(MAX_LINE)
    with open_text(path) as file:
        lines = Lines(file)
        # Not strict, it would read all rows up to the next quote as one text, which would be paid for.
        reader = csv.reader(lines, strict=True)
        try:
            header = checked_names(next(filter(None, reader), []), repr(str(path)))
        except (BadLineError, csv.Error) as error:
            raise ConfigurationError(f"the header of {str(path)!r} cannot be read: {error}") from error
        yield _rows(reader, header, lines)


def _rows(reader: Iterator[list[str]], header: list[str], lines: Lines) -> Found:
    while True:
        lines.taken, begins = 0, lines.count + 1
        try:
            fields = next(reader, None)
        except (BadLineError, csv.Error) as error:
            yield begins, str(error) if isinstance(error, BadLineError) else f"not CSV: {error}"
        else:
            if fields is None:
                return
            if fields:
                yield begins, _columns(header, fields)


def _columns(header: list[str], fields: list[str]) -> dict[str, object] | str:
    """Name the fields; those that a short row lacks are None. Spreadsheets append empty unnamed fields."""
    extra = len(fields) - len(header)
    if extra > 0 and any(fields[len(header) :]):
        return f"{extra} fields more than the header names"
    columns: dict[str, object] = {name: None for name in header if name}
    columns.update((name, field) for name, field in zip(header, fields, strict=False) if name)
    return columns
