"""Text files read line by line, compressed with gzip or not; shared by CSV and JSON lines.

A line that cannot be read is an error of its own; the lines after it are still read.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from ...errors import ConfigurationError

MAX_LINE = 64 * 1024 * 1024
"""Characters of one line. 400 000 tokens are about 2 MB, an image up to 27 MB."""

Found: TypeAlias = Iterator[tuple[int, "dict[str, object] | str"]]
"""Line of a row, from 1, and its columns; or a message why it cannot be read."""

_GZIP_MARK = b"\x1f\x8b"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before the mark of UTF-16, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the byte order marks that they begin with."""

_ZEROS: Mapping[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
"""Encodings by which of the first four bytes are zero where a text begins in ASCII (RFC 4627)."""

_WIDE = ("utf-16", "utf-32")

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Errors of a packed file that was truncated or altered."""


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How a text file is read; what is None is found out from its first bytes."""

    encoding: str | None = None
    """None: UTF-16 or UTF-32 by a byte order mark, or by the zeros in its first bytes; else UTF-8."""
    delimiter: str | None = None
    """Of CSV; None: the most frequent of comma, semicolon and tab in the header."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                io.TextIOWrapper(io.BytesIO(), encoding=self.encoding)
            except (LookupError, ValueError):  # not known, no encoding of text, or no name at all
                raise ConfigurationError(
                    f"encoding={self.encoding!r} is not known; write for instance cp1252, latin-1 or utf-8"
                ) from None
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise ConfigurationError(f"delimiter={self.delimiter!r} is not a single character, such as ;")


AS_FOUND = TextOptions()

_ESCAPED = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, as Python reads it with `surrogateescape`."""


@contextmanager
def open_text(path: Path, options: TextOptions = AS_FOUND) -> Iterator[IO[str]]:  # frozen
    """Open a text file, packed with gzip or plain.

    A byte that is not of the encoding stays as a surrogate, or as U+FFFD where another encoding than UTF-8
    is named; `Lines` tells in which row.
    """
    with ExitStack() as stack:
        binary: io.BufferedReader | gzip.GzipFile = stack.enter_context(path.open("rb"))
        if _start_of(binary).startswith(_GZIP_MARK):
            binary = stack.enter_context(gzip.GzipFile(fileobj=binary))
        encoding = _encoding_of(_start_of(binary), options.encoding)
        errors = "surrogateescape" if _is_utf8(encoding) else "replace"
        text = io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline="")
        yield stack.enter_context(text)


def _encoding_of(start: bytes, named: str | None) -> str:
    """Return the encoding of a text by its first four bytes, or that which is *named*.

    Of UTF-16 and UTF-32 the file itself says which bytes come first, whatever is named: their codecs would
    leave a byte order mark in the first cell, and assume the order of this machine where there is none.
    """
    by_mark = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    found = by_mark or _ZEROS.get(tuple(byte == 0 for byte in start))
    if named is None:
        return found or "utf-8-sig"
    if _is_utf8(named):
        return "utf-8-sig"
    family = codecs.lookup(named).name[:6]
    return found if found is not None and family in _WIDE and found.startswith(family) else named


def is_wide(path: Path, options: TextOptions = AS_FOUND) -> bool:
    """Return whether a text has several bytes for each ASCII character."""
    with open_text(path, options) as file:
        return codecs.lookup(_name_of(file)).name.startswith(_WIDE)


def _name_of(file: IO[str]) -> str:
    return str(getattr(file, "encoding", "utf-8"))


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"}


def _start_of(file: io.BufferedReader | gzip.GzipFile) -> bytes:
    try:
        return file.peek(4)[:4]
    except DAMAGE:
        return b""  # reported with the first row


class BadLineError(ValueError):
    """A line that cannot be read; those after it may be readable."""


class Lines:
    """The lines of a file, none longer than MAX_LINE, and their count so far."""

    def __init__(self, file: IO[str]) -> None:
        self.count = 0
        self.taken = 0
        """Characters of the current row."""
        self.problem: str | None = None
        """What in the current row is not of the encoding; None: nothing."""
        self._file = file
        self._damaged = False
        encoding = _name_of(file)
        self._encoding = "UTF-8" if _is_utf8(encoding) else encoding

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
        self._check_encoding(text)
        # NUL is not part of a text, and many programs that read the output end there.
        return text.replace("\0", "\ufffd")

    def begin_row(self) -> None:
        """Note that a row begins."""
        self.taken, self.problem = 0, None

    def _check_encoding(self, text: str) -> None:
        if text.isascii() or self.problem is not None:
            return
        if self._encoding != "UTF-8":
            if "\ufffd" in text:
                self._note_problem(text, text.index("\ufffd"), "what follows is")
        elif (found := _ESCAPED.search(text)) is not None:
            self._note_problem(text, found.start(), f"byte 0x{ord(found.group()) - 0xDC00:02x} is")

    def _note_problem(self, text: str, place: int, what: str) -> None:
        before = text[max(0, place - 12) : place]
        self.problem = (
            f"after {before!r} {what} not {self._encoding}; name the encoding, such as --encoding cp1252"
        )

    def _read(self) -> str:
        try:
            return self._file.readline(MAX_LINE)
        except DAMAGE as error:
            self._damaged = True
            self.count += 1
            raise BadLineError(f"the packed file is damaged from here on ({error})") from error
        except UnicodeError as error:
            self._damaged = True
            self.count += 1
            self.problem = f"it is not {self._encoding} from here on ({error}); name another --encoding"
            raise BadLineError(self.problem) from error


def _is_truncated(text: str) -> bool:
    return len(text) == MAX_LINE and not text.endswith(("\n", "\r"))
