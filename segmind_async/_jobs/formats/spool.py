"""Copies a stream to a file, because a job reads its input twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO

from ...errors import ConfigurationError
from ..journal.journal_error import JournalError
from ..journal.lock import Lock
from ..openers import private


def spool_of(journal: Path) -> Path:
    """Return the path of the copied stream."""
    return journal.with_name(journal.name + ".input")


def spool(stream: IO[bytes], journal: Path, *, again: bool = True) -> Path:
    """Copy *stream* to a file beside *journal* and return its path: a job reads its rows twice.

    Nothing is read from a terminal, nor without *again*: the copy of an earlier run is used. So it is if the
    stream is empty, as that of a program without a terminal: the copy may be the last one.

    Raises JournalError if the journal is in use, whose rows these would replace, and ConfigurationError if
    there is no copy.
    """
    path = spool_of(journal)
    lock = Lock(journal.with_name(journal.name + ".lock"))
    owner = lock.take()
    if owner is not None:
        raise JournalError(f"{owner} is working on {str(journal)!r}; wait for it, or name another journal")
    try:
        if not stream.isatty() and (again or not path.exists()):
            part = path.with_name(path.name + ".part")
            with open(part, "wb", opener=private) as file:
                shutil.copyfileobj(stream, file)
            if part.stat().st_size or not path.exists():
                part.replace(path)
            else:
                part.unlink()
        elif not path.exists():
            raise ConfigurationError("input='-': nothing is piped in; use it as in `… | segmind-async run -`")
    finally:
        lock.release()
    return path
