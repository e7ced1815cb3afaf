"""Puts the files of a job aside, for a new one that begins in their place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from .journal_error import JournalError
from .lock import Lock


def put_aside(journal: Path, output: Path) -> tuple[Path, Path | None]:
    """Rename *journal* and *output*, a file or a folder, to names with a number, and return these.

    None for no output, or a folder without files.
    Raises JournalError if the journal is in use.
    """
    journal = journal.resolve()
    lock = Lock(journal.with_name(journal.name + ".lock"))
    owner = lock.take()
    if owner is not None:
        raise JournalError(f"{owner} is working on {str(journal)!r}; wait for it, or name another journal")
    try:
        with closing(sqlite3.connect(journal, timeout=30)) as database:
            # What a crash has left beside the file belongs into it: under another name it would be lost.
            database.execute("PRAGMA journal_mode = DELETE")
        number = next(
            n for n in count(1) if not any(_numbered(path, n).exists() for path in (journal, output))
        )
        results = output.replace(_numbered(output, number)) if _has_results(output) else None
        return journal.replace(_numbered(journal, number)), results
    finally:
        lock.release()


def _has_results(output: Path) -> bool:
    return output.is_file() or any(path.is_file() for path in output.rglob("*"))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
