"""Ctrl-C while the packages of the command are imported: a word and an exit code, no traceback.

The import takes some tenths of a second and begins with this package, before any function of the command
runs. So this is the first module that the package imports, and importing it installs the handler, but in a
process that was started as the command only: signals of other programs are theirs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import PurePath
from types import FrameType
from typing import NoReturn

COMMAND = "segmind-async"
_PACKAGE = "segmind_async"

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells report it."""


def is_command(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Return whether a process is the command, from `sys.argv` and `sys.orig_argv` during the import."""
    if not argv:
        return False
    if argv[0] == "-m":  # as long as the module is looked for
        return f"-m{_PACKAGE}" in "".join(original)
    return PurePath(argv[0]).stem.removesuffix("-script") == COMMAND


def _end(_: int, __: FrameType | None) -> NoReturn:
    # Nothing was begun that would have to be ended. An exception would be printed by whoever imports this.
    # On a terminal the line holds `^C` by now.
    os.write(2, b"\ninterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(INTERRUPTED)


def install() -> None:
    """End the process at Ctrl-C without a traceback, until `give_back`."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def give_back() -> bool:
    """Let Ctrl-C raise KeyboardInterrupt again, from where it is handled; return whether it did not."""
    ours = signal.getsignal(signal.SIGINT) is _end
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return ours


if is_command(sys.argv, sys.orig_argv):
    install()
