"""Standard streams that were closed before the process began, or that cannot hold every character."""

from __future__ import annotations

import io
import os
import sys


def open_missing() -> None:
    """Open the null device in place of each standard stream that is closed, as by `2>&-`.

    Else the next file that is opened, such as a journal, would get its number and what is printed; and
    uvloop aborts the process. Call it before anything else opens a file.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        # The lowest number that is free, and so the one that is missing.
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
        setattr(sys, name, stream)


def escape_unencodable() -> None:
    """Let standard output escape what its encoding lacks: an answer that is paid must not end in an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
