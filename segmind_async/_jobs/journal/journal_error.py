"""The error of a journal that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConfigurationError


class JournalError(ConfigurationError):
    """The journal cannot be used; the message gives the reason and the remedy."""


class OtherVersionError(JournalError):
    """The journal is of another release."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise JournalError for what SQLite finds wrong with the file; errors of the disk pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        raise damaged(path, "a text in it is none") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # SQLite quotes a damaged name in its message, and that is decoded too.
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> JournalError:
    """Return the error of a damaged journal."""
    return JournalError(f"the journal {str(path)!r} is damaged ({why}); restore it or delete it")
