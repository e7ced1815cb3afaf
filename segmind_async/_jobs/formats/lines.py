"""JSON lines and CSV, read as they are found in the wild. What cannot be read is a text that says why."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from pydantic_core import from_json

from ...errors import ConfigurationError
from .kinds import checked_names

MAX_LINE = 64 * 1024 * 1024
"""Characters of one line. 400 000 tokens are about 2 MB, an image up to 27 MB."""

Found: TypeAlias = Iterator[tuple[int, "dict[str, object] | str"]]
"""Where a row begins, from 1, and its columns; or why it has none."""

_GZIP_MARK = b"\x1f\x8b"
_UTF16_MARKS = frozenset({b"\xff\xfe", b"\xfe\xff"})

_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a packed file raises when it was cut or altered."""


@contextmanager
def open_jsonl(path: Path) -> Iterator[Found]:
    """Read one JSON object from each line that is not blank."""
    with _open_text(path) as file:
        yield _jsonl_rows(_Lines(file))


@contextmanager
def open_csv(path: Path) -> Iterator[Found]:
    """Read CSV with a header (RFC 4180): a quote out of place is a bad row, not part of the text.

    Raises ConfigurationError for a header that cannot be read, or that names a column twice.
    """
    csv.field_size_limit(MAX_LINE)
    with _open_text(path) as file:
        lines = _Lines(file)
        # Lenient reading would take all rows up to the next quote for one text, and have it paid for.
        reader = csv.reader(lines, strict=True)
        try:
            header = checked_names(next(filter(None, reader), []), repr(str(path)))
        except (_BadLineError, csv.Error) as error:
            raise ConfigurationError(f"the header of {str(path)!r} cannot be read: {error}") from error
        yield _csv_rows(reader, header, lines)


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text by what it is, packed or not: UTF-8, or UTF-16 if it says so as spreadsheets do."""
    with ExitStack() as stack:
        binary: io.BufferedReader | gzip.GzipFile = stack.enter_context(path.open("rb"))
        if _start_of(binary) == _GZIP_MARK:
            binary = stack.enter_context(gzip.GzipFile(fileobj=binary))
        encoding = "utf-16" if _start_of(binary) in _UTF16_MARKS else "utf-8-sig"
        # A byte that is no UTF-8 becomes U+FFFD in its own row instead of ending the job.
        text = io.TextIOWrapper(binary, encoding=encoding, errors="replace", newline="")
        yield stack.enter_context(text)


def _start_of(file: io.BufferedReader | gzip.GzipFile) -> bytes:
    try:
        return file.peek(2)[:2]
    except _DAMAGE:
        return b""  # it is told of where the rows are read


class _BadLineError(ValueError):
    """A line that cannot be read; those after it can, if there are any."""


class _Lines:
    """The lines of a file, none longer than MAX_LINE, and how many there have been."""

    def __init__(self, file: IO[str]) -> None:
        self.count = 0
        self.taken = 0
        """Characters of the row under way, counted anew by whoever begins one."""
        self._file = file
        self._damaged = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._damaged:
            raise StopIteration
        text = self._read()
        if not text:
            raise StopIteration
        self.count += 1
        if _is_cut(text):
            while _is_cut(self._read()):
                pass
            raise _BadLineError(f"longer than {MAX_LINE} characters")
        self.taken += len(text)
        if self.taken > MAX_LINE:
            self._damaged = True
            raise _BadLineError(f"a quote is open for {MAX_LINE} characters; where it ends cannot be told")
        # No text that is meant holds one, and much of what reads it later ends there.
        return text.replace("\0", "\ufffd")

    def _read(self) -> str:
        try:
            return self._file.readline(MAX_LINE)
        except _DAMAGE as error:
            self._damaged = True
            self.count += 1
            raise _BadLineError(f"the packed file is damaged from here on ({error})") from error


def _is_cut(text: str) -> bool:
    return len(text) == MAX_LINE and not text.endswith(("\n", "\r"))


def _jsonl_rows(lines: _Lines) -> Found:
    while True:
        lines.taken = 0
        try:
            text = next(lines, None)
        except _BadLineError as error:
            yield lines.count, str(error)
            continue
        if text is None:
            return
        if text.strip():
            yield lines.count, _json_object(text)


def _json_object(text: str) -> dict[str, object] | str:
    try:
        value = from_json(text)
    except ValueError as error:
        return f"no JSON: {error}"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, no object"


def _csv_rows(reader: Iterator[list[str]], header: list[str], lines: _Lines) -> Found:
    while True:
        lines.taken, begins = 0, lines.count + 1
        try:
            fields = next(reader, None)
        except (_BadLineError, csv.Error) as error:
            yield begins, str(error) if isinstance(error, _BadLineError) else f"no CSV: {error}"
        else:
            if fields is None:
                return
            if fields:
                yield begins, _csv_columns(header, fields)


def _csv_columns(header: list[str], fields: list[str]) -> dict[str, object] | str:
    """Name the fields; what a short row lacks is None. Spreadsheets append empty fields without a name."""
    extra = len(fields) - len(header)
    if extra > 0 and any(fields[len(header) :]):
        return f"{extra} fields more than the header names"
    columns: dict[str, object] = {name: None for name in header if name}
    columns.update((name, field) for name, field in zip(header, fields, strict=False) if name)
    return columns
