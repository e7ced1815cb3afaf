"""Finished rows of a journal, looked up by key on a connection of their own.

The rows are copied once into an indexed temporary table, so a look-up waits for no commit of the writer
thread. The table is a temporary file: many rows take disk, and no more memory than the cache. Raw answers
are read from the journal itself, which may wait for one commit.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread

from ..row_keys import key_of
from .bulk_insert import put
from .checksums import answer_checksum, row_checksum
from .journal_error import damaged, translated
from .record import COLUMNS, Record

_CACHE = 32 * 1024
"""KiB of memory for the temporary tables; what does not fit is written to their file."""

_KEPT = """
CREATE TEMP TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
DELETE FROM kept;
"""
# Rows of one source are alike: any order of them will do that stays the same.
_COPY_KEPT = (
    "INSERT INTO kept SELECT hex(source) || '#' || row_number() OVER (PARTITION BY source ORDER BY number), "
    "number FROM rows WHERE number <= ? AND NOT replaced AND source IS NOT NULL"
)

_COPIED = COLUMNS[: COLUMNS.index("number") + 1]
"""Columns of `rows` that say whether a row is to be sent again, and count it in a report or an estimate."""

_TABLES = f"""
PRAGMA temp.journal_mode = MEMORY;
PRAGMA temp.cache_size = -{_CACHE};
CREATE TEMP TABLE finished ({", ".join(_COPIED)}, PRIMARY KEY (key)) WITHOUT ROWID;
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""

# Sorted, because the index is built several times as fast from keys that arrive in order.
_COPY = (
    f"INSERT OR REPLACE INTO finished SELECT {', '.join(_COPIED)} FROM rows "  # noqa: S608  # names alone
    "WHERE number > ? AND NOT replaced ORDER BY key, number"
)
_FIND = f"SELECT {', '.join(_COPIED)} FROM finished WHERE key IN"  # noqa: S608  # names alone
_WHOLE = (
    f"{', '.join(f'rows.{name}' for name in COLUMNS)}, rows.replaced, rows.checksum, raw, answers.checksum"
)
_STANDS = "NOT (rows.replaced AND raw IS NULL AND rows.status = 'ok')"
"""False of a row whose answer was found damaged, and taken out, since it was copied."""
_FIND_KEPT = (
    f"SELECT kept.key, {_WHOLE} "  # noqa: S608  # names alone
    f"FROM kept JOIN rows USING (number) LEFT JOIN answers USING (number) WHERE {_STANDS} AND kept.key IN"
)
_FIND_WITH_ANSWER = (
    f"SELECT {_WHOLE} "  # noqa: S608  # names alone
    "FROM finished JOIN rows USING (number) LEFT JOIN answers USING (number) "
    f"WHERE {_STANDS} AND finished.key IN"
)
_ADD = "INSERT OR IGNORE INTO seen VALUES"
_COUNT = "INSERT INTO seen VALUES"
_COUNTED = "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING key, count"


class Found(NamedTuple):
    """A row of the input, and what the journal holds of it."""

    key: str
    """Identifies the row over all runs."""
    record: Record | None
    """The latest record of that key; None if there was none at the last `refresh`."""
    occurrence: int
    """How many rows of this name were looked up in this pass, this one included."""


class FinishedRows:
    """Finished rows as of the last `refresh`, and the names that were looked up since `begin_pass`.

    Made by `open`. Its methods work in a thread; only one of them runs at a time.
    """

    def __init__(self, path: Path, kept: int = 0) -> None:
        # The connection writes only to its temporary tables, but a file opened read-only allows no WAL.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        self._database = sqlite3.connect(
            uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._path = path
        self._lock = threading.Lock()
        self.kept: int = kept
        """Number of the last record that stays although settings have changed since."""
        self._last = 0
        """Number of the last record that was copied."""
        try:
            self._database.executescript(_TABLES)
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"FinishedRows(last={self._last})"

    @classmethod
    async def open(cls, path: Path, kept: int = 0) -> FinishedRows:
        """Open the journal *path*, which must exist, and copy its finished rows: 1.5 s of CPU a million.

        Records up to the number *kept* are also looked up by their source.
        """
        finished = cls(path, kept)
        try:
            await finished.refresh()
        except BaseException:
            finished.close()
            raise
        return finished

    def close(self) -> None:
        """Delete the temporary tables and close the file, after the look-up in progress. Idempotent."""
        with self._lock, translated(self._path):
            self._database.close()

    async def refresh(self) -> None:
        """Copy the rows that were committed since the last time."""
        await anyio.to_thread.run_sync(self._refresh)

    async def begin_pass(self) -> None:
        """Forget which names were looked up: the input is read from its beginning."""
        await anyio.to_thread.run_sync(self._begin_pass)

    async def look_up(
        self, names: Sequence[str], *, shared: bool = False, answers: bool = False
    ) -> list[Found]:
        """Return what is known of the next rows of this pass, by name.

        A name is its namespace (`id` or `request`) and a value, with a space between. The second row of a
        name gets a key of its own, unless rows of one name share one (*shared*). Without *answers* records
        have only the columns that were copied.
        """
        return await anyio.to_thread.run_sync(self._look_up, names, shared, answers) if names else []

    async def look_up_kept(self, sources: Sequence[bytes]) -> list[Record | None]:
        """Return the records, answers included, that the next rows of this pass keep by their sources."""
        return await anyio.to_thread.run_sync(self._look_up_kept, sources)

    def _look_up_kept(self, sources: Sequence[bytes]) -> list[Record | None]:
        with self._lock, translated(self._path):
            names = [source.hex().upper() for source in sources]
            keys = [f"{name}#{place}" for name, place in zip(names, self._count(names), strict=True)]
            query = f"{_FIND_KEPT} ({','.join('?' * len(keys))})"
            found = {key: self._record(row) for key, *row in self._database.execute(query, keys)}
        return [found.get(key) for key in keys]

    def _refresh(self) -> None:
        with self._lock, translated(self._path):
            if self.kept:
                self._database.executescript(_KEPT)
            self._database.execute("BEGIN")
            try:
                if self.kept:
                    self._database.execute(_COPY_KEPT, (self.kept,))
                (last,) = self._database.execute("SELECT coalesce(max(number), 0) FROM rows").fetchone()
                self._database.execute(_COPY, (self._last,))
            finally:
                self._database.execute("COMMIT")
            self._last = last

    def _begin_pass(self) -> None:
        with self._lock, translated(self._path):
            self._database.execute("DELETE FROM seen")

    def _look_up(self, names: Sequence[str], shared: bool, answers: bool) -> list[Found]:
        with self._lock, translated(self._path):
            occurrences = self._count(names)
            keys = names if shared else list(map(key_of, names, occurrences))
            records = {record.key: record for record in self._records(keys, answers)}
        return [
            Found(key, records.get(key), occurrence)
            for key, occurrence in zip(keys, occurrences, strict=True)
        ]

    def _count(self, names: Sequence[str]) -> list[int]:
        """Count each of *names* once more and return the counts."""
        if self._are_new(names):
            return [1] * len(names)
        counts: dict[str, list[int]] = {}
        # The order of what RETURNING gives is not defined.
        for name, count in put(self._database, _COUNT, [(name, 1) for name in names], _COUNTED):
            counts.setdefault(name, []).append(count)
        for each in counts.values():
            each.sort(reverse=True)
        return [counts[name].pop() for name in names]

    def _are_new(self, names: Sequence[str]) -> bool:
        """Return whether none of *names* came before; if so, count them. Takes a third of a full count."""
        marks = ",".join(["(?, 1)"] * len(names))
        self._database.execute("BEGIN")
        added = self._database.execute(f"{_ADD} {marks}", names).rowcount
        self._database.execute("COMMIT" if added == len(names) else "ROLLBACK")
        return added == len(names)

    def _records(self, keys: Sequence[str], answers: bool) -> list[Record]:
        marks = f"({','.join('?' * len(keys))})"
        if answers:
            return [self._record(row) for row in self._database.execute(f"{_FIND_WITH_ANSWER} {marks}", keys)]
        return [Record(*row) for row in self._database.execute(f"{_FIND} {marks}", keys)]

    def _record(self, row: Sequence[Any]) -> Record:
        """Return the record of a row that has its answer; raises JournalError if one of them is damaged."""
        *columns, replaced, whole, raw, of_answer = row
        number = columns[COLUMNS.index("number")]
        # One that was replaced since the last `refresh` still stands for what was known then.
        same = whole == row_checksum(tuple(columns), raw is not None, replaced)
        if not same or (raw is not None and of_answer != answer_checksum(number, raw)):
            raise damaged(self._path, f"in row {number}, since the job began")
        return Record(*[*columns, raw])
