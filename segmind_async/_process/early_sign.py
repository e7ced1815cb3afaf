"""A word on the terminal while the packages of the command are imported, which takes some tenths of a second.

Importing this module shows it, in a process that was started as the command only; `clear` removes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from .early_interrupt import is_command

LIVE = frozenset({"run", "classify", "demo"})
"""The commands that go on to show a live view."""

_SIGN = "starting …"


def is_wanted(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Return whether a process is one of the commands with a live view, and not asked for its help."""
    return is_command(argv, original) and not LIVE.isdisjoint(argv[1:2]) and {"-h", "--help"}.isdisjoint(argv)


def show(stream: TextIO | None) -> None:
    """Show the sign on a terminal that can remove it."""
    global _shown  # noqa: PLW0603  # a process has one terminal
    if stream is None or sys.platform == "win32" or not stream.isatty():
        return
    try:
        stream.write(_SIGN)
        stream.flush()
    except (OSError, UnicodeError):  # gone, or without the character
        return
    _shown = stream


def clear() -> None:
    """Remove the sign if it is shown."""
    global _shown
    if _shown is None:
        return
    stream, _shown = _shown, None
    try:
        stream.write("\r\x1b[K")
        stream.flush()
    except OSError:
        return


_shown: TextIO | None = None

if is_wanted(sys.argv, sys.orig_argv):
    show(sys.stderr)
