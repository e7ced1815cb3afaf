"""How many rows a file has, counted without parsing them: gigabytes in seconds."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .file_format import Format, format_of
from .jsonl import is_array, read_array
from .parquet import parquet_rows
from .text import AS_FOUND, TextOptions, is_wide, open_text

_CHUNK = 1024 * 1024


def count_rows(
    path: Path,
    form: Format | None,
    stop: threading.Event,
    tell: Callable[[int], None] = lambda _: None,
    text: TextOptions = AS_FOUND,
) -> int | None:
    """Return the number of rows, to be shown until the last row is read; None if *stop* is set before.

    Lines are counted: blank lines of JSON lines count too much. *tell* is called, in this thread, with how
    many have been counted so far. Raises what opening the file raises.
    """
    form = form or format_of(path)
    if form is Format.PARQUET:
        return parquet_rows(path)
    if form is Format.JSONL and is_array(path, text):
        return len(read_array(path, text))
    lines, last, quoted = 0, b"\n", False
    for chunk in _chunks(path, text):
        if stop.is_set():
            return None
        last = chunk[-1:]
        if form is Format.CSV:
            # A line break between quotes belongs to a field.
            pieces = chunk.split(b'"')
            lines += sum(piece.count(b"\n") for piece in pieces[quoted::2])
            quoted ^= len(pieces) % 2 == 0
        else:
            lines += chunk.count(b"\n")
        tell(max(0, lines - 1))
    lines += last != b"\n"
    return max(0, lines - 1) if form is Format.CSV else lines


def _chunks(path: Path, text: TextOptions) -> Iterator[bytes]:
    """Yield a file in chunks, in which line breaks and quotes are single bytes."""
    if is_wide(path, text):
        with open_text(path, text) as decoded:
            while characters := decoded.read(_CHUNK):
                yield characters.encode("utf-8", "surrogatepass")
        return
    with path.open("rb") as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        source = gzip.GzipFile(fileobj=file) if packed else file
        while chunk := source.read(_CHUNK):
            yield chunk
