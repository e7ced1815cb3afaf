"""An index of what all journals of a folder have answered: each row is read into it once.

One SQLite file beside the journals. Without it a shard would look for its rows in every other journal, which
have no index of their own. It holds nothing that the journals do not, and is made anew from them if it is
deleted while nothing runs, or damaged.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from .._jobs.journal.journal import has_tables
from .._jobs.journal.journal_error import JournalError, OtherVersionError
from .._jobs.journal.reader import JournalReader
from .._jobs.journal.record import Record
from .._jobs.report.shards import SUFFIX
from ..models import Status

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

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
_DROP = (
    "DELETE FROM answers WHERE digest = ? "
    "AND journal = (SELECT id FROM journals WHERE name = ?) AND number = ?"
)
_FIND = "SELECT name, number, digest FROM answers JOIN journals ON journals.id = journal WHERE digest IN"


class _DamagedIndexError(JournalError):
    """The index is damaged, or no index of this release."""


class AnswerIndex:
    """The index of the journals in *folder*, open. Its methods wait for those of other processes.

    A journal that cannot be read is passed over with a warning, and an index that is damaged or foreign is
    made anew. Raises OtherVersionError for a journal of another release, of which all answers would be paid
    for again; JournalError if an index is damaged that was just made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        try:
            self._open()
        except _DamagedIndexError:
            self._remove()
            self._open()

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
        self._healed(lambda: self._write(_BEGIN, journal.name))

    def finish(self, journal: Path) -> None:
        """Read *journal*, to which nothing is written any more."""
        self._healed(lambda: self._read(journal.name))
        self._healed(lambda: self._write("UPDATE journals SET whole = 1 WHERE name = ?", journal.name))

    def refresh(self) -> int:
        """Read what journals hold beyond what was read of them before; return how many rows that was."""
        return self._healed(self._refresh)

    def find(self, digests: Sequence[bytes]) -> list[Record]:
        """Return a record, its answer included, of each request with one of these digests that has one.

        Of several records one with an answer is taken. One that is damaged is none, and no longer known.
        """
        return self._healed(lambda: self._find(digests))

    def _healed(self, work: Callable[[], T]) -> T:
        """Return the result of *work*; if the index is damaged, make it anew and do the work again."""
        try:
            return work()
        except _DamagedIndexError as error:
            _LOG.warning("the index of the journals is made anew: %s", error)
            self.close()
            self._remove()
            self._open()
            self._refresh()
            return work()

    def _open(self) -> None:
        # Each shard uses it in one thread after the other.
        self._database = sqlite3.connect(
            self._path, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            with self._translated():
                self._file = self._path.stat()
                self._database.execute(f"PRAGMA cache_size = -{_CACHE}")
                self._database.executescript(_TABLES)
                self._check()
        except BaseException:
            self._database.close()
            raise

    def _check(self) -> None:
        """Raise _DamagedIndexError for a file of other tables, or one that was cut."""
        # In a transaction, so that nobody is writing to it.
        self._database.execute("BEGIN")
        same = _tables_of(self._database) == _own_tables()
        (page,) = self._database.execute("PRAGMA page_size").fetchone()
        # SQLite fills a page that was cut with zeros, and finds nothing wrong with it.
        cut = self._path.stat().st_size % page
        self._database.execute("COMMIT")
        if cut or not same:
            raise _DamagedIndexError(f"{str(self._path)!r} is cut, or has other tables")

    def _remove(self) -> None:
        """Delete the damaged file, unless another process has already put a new one in its place.

        Who still has the old one open loses what it adds there: the journals have it.
        """
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), self._file):
                # With what a crash has left to be rolled back: that would spoil the new file.
                self._path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
                self._path.unlink()

    def _refresh(self) -> int:
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

    def _find(self, digests: Sequence[bytes]) -> list[Record]:
        found = self._look_up(digests)
        if found.moved:
            # A journal is not what it was, such as one that was restored: others may hold the same answers.
            with self._writing():
                self._forget()
            self._refresh()
            found = self._look_up(digests)
        if found.damaged:
            # Else nobody would find them where they are answered again.
            with self._writing():
                self._database.executemany(_DROP, found.damaged)
        return found.records

    def _look_up(self, digests: Sequence[bytes]) -> _Found:
        places: dict[str, dict[int, bytes]] = {}
        with self._translated():
            marks = f"({','.join('?' * len(digests))})"
            for name, number, digest in self._database.execute(f"{_FIND} {marks}", digests):
                places.setdefault(name, {})[number] = digest
        found = _Found()
        for name, own in places.items():
            read = self._records(name, [*own])
            for number, digest in own.items():
                record = read.get(number)
                if record is not None and record.digest == digest:
                    found.records.append(record)
                elif number in read and record is None:
                    found.damaged.append((digest, name, number))
                else:
                    found.moved = True
        return found

    def _records(self, name: str, numbers: Sequence[int]) -> Mapping[int, Record | None]:
        """Return records of a journal by their numbers; none if it cannot be read."""

        def read() -> dict[int, Record | None]:
            with JournalReader(self._folder / name) as reader:
                return reader.records(numbers)

        return _passing_over(read, {})

    def _read(self, name: str) -> int:
        """Add what a journal has beyond what was read of it; return the number of rows."""
        path = self._folder / name

        def read() -> int:
            if not path.is_file() or not has_tables(path):
                return 0  # it is just being made
            with JournalReader(path) as reader, self._writing():
                return self._add(name, reader)

        return _passing_over(read, 0)

    def _add(self, name: str, reader: JournalReader) -> int:
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

    def _write(self, statement: str, name: str) -> None:
        with self._writing():
            self._database.execute(statement, (name,))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):  # of a damaged file
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise _DamagedIndexError for what SQLite finds wrong with the index; errors of the disk pass."""
        try:
            yield
        except sqlite3.OperationalError as error:
            # Moved: another process has made the index anew.
            moved = error.sqlite_errorcode == sqlite3.SQLITE_READONLY_DBMOVED
            if not moved and "decode" not in str(error):
                raise
            raise _DamagedIndexError(f"{str(self._path)!r} is damaged ({error})") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise _DamagedIndexError(f"{str(self._path)!r} is damaged ({error})") from error


@dataclass(slots=True)
class _Found:
    """What the index, and the journals that it names, have of some requests."""

    records: list[Record] = field(default_factory=list)
    damaged: list[tuple[bytes, str, int]] = field(default_factory=list)
    """Digests, journals and numbers of records that are damaged."""
    moved: bool = False
    """Whether one does not stand where it should."""


def _passing_over(read: Callable[[], T], otherwise: T) -> T:
    """Return what *read* gives, or *otherwise* for a journal that cannot be read."""
    try:
        return read()
    except (OtherVersionError, _DamagedIndexError):
        raise
    except JournalError as error:
        _LOG.warning("a journal is passed over: %s", error)
        return otherwise


@cache
def _own_tables() -> list[tuple[str]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(_TABLES)
        return _tables_of(fresh)


def _tables_of(database: sqlite3.Connection) -> list[tuple[str]]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
    return database.execute(query).fetchall()
