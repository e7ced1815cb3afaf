"""Text files read line by line, compressed with gzip or not; shared by CSV and JSON lines.

A line that cannot be read is an error of its own; the lines after it are still read.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeAlias

MAX_LINE = 64 * 1024 * 1024
"""Characters of one line. 400 000 tokens are about 2 MB, an image up to 27 MB."""

Found: TypeAlias = Iterator[tuple[int, "dict[str, object] | str"]]
"""Line of a row, from 1, and its columns; or a message why it cannot be read."""

_GZIP_MARK = b"\x1f\x8b"
_UTF16_MARKS = frozenset({b"\xff\xfe", b"\xfe\xff"})

_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Errors of a packed file that was truncated or altered."""


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file by its first bytes: gzip or plain, UTF-16 with a byte order mark, else UTF-8.

    A byte that is not UTF-8 is read as U+FFFD, so that it affects its own row only.
    """
    with ExitStack() as stack:
        binary: io.BufferedReader | gzip.GzipFile = stack.enter_context(path.open("rb"))
        if _start_of(binary) == _GZIP_MARK:
            binary = stack.enter_context(gzip.GzipFile(fileobj=binary))
        encoding = "utf-16" if _start_of(binary) in _UTF16_MARKS else "utf-8-sig"
        text = io.TextIOWrapper(binary, encoding=encoding, errors="replace", newline="")
        yield stack.enter_context(text)


def _start_of(file: io.BufferedReader | gzip.GzipFile) -> bytes:
    try:
        return file.peek(2)[:2]
    except _DAMAGE:
        return b""  # reported with the first row


class BadLineError(ValueError):
    """A line that cannot be read; those after it may be readable."""


class Lines:
    """The lines of a file, none longer than MAX_LINE, and their count so far."""

    def __init__(self, file: IO[str]) -> None:
        self.count = 0
        self.taken = 0
        """Characters of the current row; its reader sets it to 0 when a row begins."""
        self._file = file
        self._damaged = False

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._damaged:
            raise StopIteration
        text = self._read()
        if not text:
            raise StopIteration
        self.count += 1
        if _is_truncated(text):
            while _is_truncated(self._read()):
                pass
            raise BadLineError(f"longer than {MAX_LINE} characters")
        self.taken += len(text)
        if self.taken > MAX_LINE:
            self._damaged = True
            raise BadLineError(f"a quote is open for {MAX_LINE} characters; where it ends cannot be told")
        # NUL is no part of a text, and many programs that read the output end there.
        return text.replace("\0", "\ufffd")

    def _read(self) -> str:
        try:
            return self._file.readline(MAX_LINE)
        except _DAMAGE as error:
            self._damaged = True
            self.count += 1
            raise BadLineError(f"the packed file is damaged from here on ({error})") from error


def _is_truncated(text: str) -> bool:
    return len(text) == MAX_LINE and not text.endswith(("\n", "\r"))
