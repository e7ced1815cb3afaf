"""CSV with a header (RFC 4180), also with semicolons or tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from ...errors import ConfigurationError
from .columns import checked_names
from .file_format import is_tab_separated
from .text import AS_FOUND, MAX_LINE, BadLineError, Found, Lines, TextOptions, open_text

_DELIMITERS = (",", ";", "\t")


@contextmanager
def open_csv(path: Path, options: TextOptions = AS_FOUND) -> Iterator[Found]:
    """Read CSV with a header; a quote out of place is a bad row, not part of the text.

    Raises ConfigurationError for a header that cannot be read, or that names a column twice.
    """
    csv.field_size_limit(MAX_LINE)
    with open_text(path, options) as file:
        lines = Lines(file)
        try:
            first = next(filter(str.strip, lines), "")
            delimiter = options.delimiter or _delimiter_of(path, first)
            # Not strict, it would read all rows up to the next quote as one text, which would be paid for.
            reader = csv.reader(chain([first], lines), strict=True, delimiter=delimiter)
            header = checked_names(next(filter(None, reader), []), repr(str(path)))
        except (BadLineError, csv.Error) as error:
            raise ConfigurationError(f"the header of {str(path)!r} cannot be read: {error}") from error
        if lines.problem is not None:
            raise ConfigurationError(f"the header of {str(path)!r} cannot be read: {lines.problem}")
        yield _rows(reader, header, lines)


def _delimiter_of(path: Path, header: str) -> str:
    """Return the delimiter of a table: of `.tsv` the tab, else what is most frequent in the *header*."""
    if is_tab_separated(path):
        return "\t"
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _rows(reader: Iterator[list[str]], header: list[str], lines: Lines) -> Found:
    while True:
        lines.begin_row()
        begins = lines.count + 1
        try:
            fields = next(reader, None)
        except (BadLineError, csv.Error) as error:
            yield begins, str(error) if isinstance(error, BadLineError) else f"not CSV: {error}"
        else:
            if fields is None:
                return
            if fields:
                yield begins, lines.problem or _columns(header, fields)


def _columns(header: list[str], fields: list[str]) -> dict[str, object] | str:
    """Name the fields; those that a short row lacks are None. Spreadsheets append empty unnamed fields."""
    extra = len(fields) - len(header)
    if extra > 0 and any(fields[len(header) :]):
        return f"{extra} fields more than the header names"
    columns: dict[str, object] = {name: None for name in header if name}
    columns.update((name, field) for name, field in zip(header, fields, strict=False) if name)
    return columns
