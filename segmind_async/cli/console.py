"""Output of the commands: messages to stderr, results to stdout, control characters escaped.

A terminal that was closed, or a reader that has seen enough, ends no command: what is written to it is lost.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from contextlib import suppress
from textwrap import wrap
from typing import IO

from .._text.escaping import plain

_GONE = {errno.EPIPE, errno.EIO}
"""Errors of a pipe without a reader, or of a terminal that was closed."""

_DIGIT_GROUPS = re.compile(r"(?<=\d) (?=\d{3}(?:\D|$))")


def say(text: str, *, wraps: bool = True) -> None:
    """Print a message to stderr; stdout is for results only.

    On a terminal it is broken between words, unless *wraps* is false: for a command that may be copied.
    """
    try:
        print(_wrapped(plain(text)) if wraps else plain(text), file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def _wrapped(text: str) -> str:
    if not sys.stderr.isatty():
        return text
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # closed meanwhile, or no file
        return text
    if width < 1:
        return text
    # A number such as 12 000 stays in one piece.
    whole = _DIGIT_GROUPS.sub("\xa0", text)
    lines = [
        part
        for line in whole.splitlines()
        for part in wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return "\n".join(lines).replace("\xa0", " ")


def show_json(value: object) -> None:
    """Print a result as JSON; amounts are strings, so that no digit is lost."""
    try:
        print(json.dumps(value, default=str, ensure_ascii=True, indent=2), flush=True)
    except OSError as error:
        if not is_gone(error):
            raise
        drop(sys.stdout)


def is_gone(error: OSError) -> bool:
    """Return whether nobody can read any more what could not be written."""
    return error.errno in _GONE


def drop(stream: IO[str]) -> None:
    """Let what is still to be written go nowhere: the interpreter flushes it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):  # a stream that is not a file
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
