"""An index of what all journals of a folder have answered: each row is read into it once.

One SQLite file beside the journals. Without it a shard would look for its rows in every other journal, which
have no index of their own. It can be deleted at any time: it is made anew from the journals.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .._jobs.journal.journal import has_tables
from .._jobs.journal.journal_error import translated
from .._jobs.journal.reader import JournalReader
from .._jobs.journal.record import Record
from .._jobs.report.shards import SUFFIX
from ..models import Status

NAME = "answers.index"

_TIMEOUT = 600.0
"""Seconds to wait for another shard that writes: it may have to make the index of many rows."""

_CACHE = 32 * 1024
"""KiB of memory for pages."""

_TABLES = """
CREATE TABLE IF NOT EXISTS journals (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, last INTEGER NOT NULL, whole INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answers (
    digest BLOB PRIMARY KEY, journal INTEGER NOT NULL, number INTEGER NOT NULL, ok INTEGER NOT NULL
) WITHOUT ROWID;
"""
# last: number of the last record that was read; whole: 1 if nothing was written to it since.

_BEGIN = "INSERT INTO journals (name, last, whole) VALUES (?, 0, 0) ON CONFLICT DO UPDATE SET whole = 0"
_KNOW = "INSERT OR IGNORE INTO journals (name, last, whole) VALUES (?, 0, 0)"
_READ_UP_TO = "SELECT id, last FROM journals WHERE name = ?"
# An answer counts more than a failure, and a newer record of a journal more than what it replaces.
_ADD = (
    "INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET journal = excluded.journal, number = excluded.number, ok = excluded.ok "
    "WHERE excluded.ok > ok OR excluded.journal = journal"
)
_FIND = "SELECT name, number FROM answers JOIN journals ON journals.id = journal WHERE digest IN"


class AnswerIndex:
    """The index of the journals in *folder*, open. Its methods wait for those of other processes.

    Raises JournalError for a journal, or an index, that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        # Each shard uses it in one thread after the other.
        self._database = sqlite3.connect(
            self._path, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            with translated(self._path):
                self._database.execute(f"PRAGMA cache_size = -{_CACHE}")
                self._database.executescript(_TABLES)
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"AnswerIndex({str(self._path)!r})"

    def __enter__(self) -> AnswerIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def begin(self, journal: Path) -> None:
        """Note that rows will be written to *journal*: until `finish`, `refresh` looks into it each time."""
        with self._writing():
            self._database.execute(_BEGIN, (journal.name,))

    def finish(self, journal: Path) -> None:
        """Read *journal*, to which nothing is written any more."""
        self._read(journal.name)
        with self._writing():
            self._database.execute("UPDATE journals SET whole = 1 WHERE name = ?", (journal.name,))

    def refresh(self) -> int:
        """Read what journals hold beyond what was read of them before; return how many rows that was."""
        with self._writing():
            # Each shard lists them all, and with paths it would take ten times as long.
            names = {name for name in os.listdir(self._folder) if name.endswith(SUFFIX)}  # noqa: PTH208  # as said
            whole = dict(self._database.execute("SELECT name, whole FROM journals WHERE last > 0"))
            if not whole.keys() <= names:
                # One was deleted: others may hold answers that stand here as those of that one.
                self._forget()
                whole = {}
        finished = {name for name, ended in whole.items() if ended}
        return sum(self._read(name) for name in sorted(names - finished))

    def find(self, digests: Sequence[bytes]) -> list[Record]:
        """Return a record, its answer included, of each request with one of these digests that has one.

        Of several records one with an answer is taken.
        """
        found = self._find(digests)
        if found is None:
            # A journal is not what it was, such as one that was restored.
            with self._writing():
                self._forget()
            self.refresh()
            found = self._find(digests)
        return found or []

    def _find(self, digests: Sequence[bytes]) -> list[Record] | None:
        """Return the records; None if one does not stand where it should."""
        numbers: dict[str, list[int]] = {}
        with translated(self._path):
            marks = f"({','.join('?' * len(digests))})"
            for name, number in self._database.execute(f"{_FIND} {marks}", digests):
                numbers.setdefault(name, []).append(number)
        records: list[Record] = []
        for name, own in numbers.items():
            with JournalReader(self._folder / name) as reader:
                records += reader.records(own)
        there = {record.digest for record in records}
        expected = sum(map(len, numbers.values()))
        return records if len(there.intersection(digests)) == expected else None

    def _read(self, name: str) -> int:
        """Add what a journal has beyond what was read of it; return the number of rows."""
        path = self._folder / name
        if not has_tables(path):
            return 0  # it is just being made
        with self._writing(), JournalReader(path) as reader:
            self._database.execute(_KNOW, (name,))
            place, last = self._database.execute(_READ_UP_TO, (name,)).fetchone()
            newest = reader.last()
            if newest == last:
                return 0
            for number, digest, status in reader.digests(last, newest):
                self._database.execute(_ADD, (digest, place, number, status == Status.OK))
            self._database.execute("UPDATE journals SET last = ? WHERE id = ?", (newest, place))
            return int(newest - last)

    def _forget(self) -> None:
        self._database.execute("DELETE FROM answers")
        self._database.execute("DELETE FROM journals")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
