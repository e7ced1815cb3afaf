"""Output files, written atomically."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeAlias, cast

from ...errors import ConfigurationError
from ..openers import no_link
from .columns import Columns, ColumnType, as_json
from .file_format import Format, OutputFormat, format_of, is_tab_separated
from .parquet import arrow, parquet_writer

Put: TypeAlias = Callable[[Mapping[str, object]], None]
"""Writes one row; columns it lacks are empty."""

RESULT_COLUMNS: Columns = {
    "id": ColumnType.TEXT,
    "index": ColumnType.COUNT,
    "status": ColumnType.TEXT,
    "text": ColumnType.TEXT,
    "label": ColumnType.TEXT,
    "truth": ColumnType.TEXT,
    "parsed": ColumnType.JSON,
    "tool_calls": ColumnType.JSON,
    "error": ColumnType.TEXT,
    "attempts": ColumnType.COUNT,
    "cost": ColumnType.AMOUNT,
    "usage": {"input_tokens": ColumnType.COUNT, "output_tokens": ColumnType.COUNT},
    "elapsed": ColumnType.NUMBER,
}
"""Columns of the results of a job; in its output those of the input stand before them."""


BATCH_COLUMNS: Columns = {
    "id": ColumnType.TEXT,
    "custom_id": ColumnType.TEXT,
    "response": ColumnType.JSON,
    "error": ColumnType.JSON,
}
"""Columns of a line of OpenAI's Batch API."""


def written_format(path: Path, form: OutputFormat | None) -> Format:
    """Return the format of the file for results of *form*; None: what the name of *path* says."""
    if form is None:
        return format_of(path)
    return Format.JSONL if form is OutputFormat.OPENAI_BATCH else Format(form.value)


_PART = ".part"
"""Stands behind the name of a file while it is written."""

_LONGEST_NAME = 255 - len(_PART)
"""Bytes: file systems take 255."""


def check_output(path: Path, form: OutputFormat | None = None) -> None:
    """Raise ConfigurationError for an output that cannot be written, before anything is paid for.

    Also if a library that its format needs is not installed.
    """
    if path.exists() and not path.is_file():
        # A device or a pipe would be replaced by a file.
        raise ConfigurationError(f"output={str(path)!r} is not a plain file; name another one")
    if (length := len(os.fsencode(path.name))) > _LONGEST_NAME:
        raise ConfigurationError(
            f"output={str(path)!r}: its name has {length} bytes, and a file that is written here may have "
            f"{_LONGEST_NAME}; give it, and the file of rows that it mirrors, a shorter one"
        )
    if written_format(path, form) is Format.PARQUET:
        if path.name.lower().endswith(".gz"):
            raise ConfigurationError(f"output={str(path)!r}: Parquet is packed already; leave out .gz")
        arrow()


@contextmanager
def open_output(
    path: Path,
    columns: Columns = RESULT_COLUMNS,
    form: OutputFormat | None = None,
    *,
    csv_safe: bool = False,
) -> Iterator[Put]:
    """Write rows as JSON lines (also .gz), CSV (also .gz) or Parquet: *form*, or as the name of *path* says.

    With *csv_safe* a spreadsheet takes no text of a CSV file for a formula: see `_inert`.
    *path* appears when the block has ended, on the disk and complete; if it ends with an error, whatever
    stood there before stays. Memory holds one row, with Parquet one row group.
    """
    check_output(path, form)
    part = path.with_name(path.name + _PART)
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(open(part, "wb", opener=no_link))
            stack.callback(sync, file)
            if path.name.lower().endswith(".gz"):
                # Without a time inside, the same rows are the same bytes.
                packed = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
                file = cast("IO[bytes]", packed)
            writer = _WRITERS[written_format(path, form)]
            if writer is _csv_writer:
                delimiter = "\t" if is_tab_separated(path) else ","
                writer = partial(_csv_writer, delimiter=delimiter, spelt=_inert if csv_safe else _as_it_is)
            yield stack.enter_context(writer(file, columns))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync(file: IO[bytes]) -> None:
    """Have on the disk what was written."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the folder, so that the new name survives a loss of power."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _jsonl_writer(file: IO[bytes], columns: Columns) -> Iterator[Put]:
    def put(row: Mapping[str, object]) -> None:
        file.write(as_json({name: row.get(name) for name in columns}) + b"\n")

    yield put


def _as_it_is(cell: object) -> object:
    return cell


@contextmanager
def _csv_writer(
    file: IO[bytes], columns: Columns, delimiter: str = ",", spelt: Callable[[object], object] = _as_it_is
) -> Iterator[Put]:
    """Write CSV with a header. Parts of a column are its JSON text; None is an empty field.

    By default a text that begins with `=` or `@` stays as it is, though a spreadsheet would take it for a
    formula: a mark before it would be read back as part of the answer, and programs are what these files are
    for. *spelt* makes another cell of each.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    # With any other end of line than this, older Pythons leave a lone \r unquoted, and cannot read it back.
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(map(spelt, columns))

    def put(row: Mapping[str, object]) -> None:
        writer.writerow([spelt(_cell(column_type, row.get(name))) for name, column_type in columns.items()])

    yield put
    text.detach()


def _cell(column_type: ColumnType | Mapping[str, ColumnType], value: object) -> object:
    if column_type is ColumnType.ANY and isinstance(value, str):
        return value
    as_text = column_type in (ColumnType.JSON, ColumnType.ANY) or not isinstance(column_type, ColumnType)
    return as_json(value).decode() if as_text and value is not None else value


_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")  # full-width signs are what is meant
"""The first character of what spreadsheets may take for a formula (OWASP, CSV Injection, 2026-08)."""

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _inert(cell: object) -> object:
    """Return a cell that a spreadsheet shows as it is: an apostrophe stands before what may be a formula.

    Numbers stay, also those that are texts.
    """
    if isinstance(cell, str) and _FORMULA.match(cell) and not _PLAIN_NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


_WRITERS: Mapping[Format, Callable[[IO[bytes], Columns], AbstractContextManager[Put]]] = {
    Format.JSONL: _jsonl_writer,
    Format.CSV: _csv_writer,
    Format.PARQUET: parquet_writer,
}
