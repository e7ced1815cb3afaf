"""Finished rows of a journal, looked up by key on a connection of their own.

The rows are copied once into an indexed temporary table, so a look-up waits for no commit of the writer
thread. The table is a temporary file: many rows take disk, and no more memory than the cache. Raw answers
are read from the journal itself, which may wait for one commit.

The n-th row of one id and one request has the n-th record of these, in whatever order they stand. Answers of
rows that have changed since are found too, should a row become again what it was.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread

from ..row_keys import key_of
from .bulk_insert import put
from .checksums import answer_checksum, row_checksum
from .journal_error import damaged, translated
from .record import COLUMNS, Record

_CACHE = 16 * 1024
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

_MOST_ANSWERS = 4 * 1024 * 1024
"""Bytes of answers that are read together, but for the last of them: 2048 of the usual length."""

_TABLES = f"""
PRAGMA temp.journal_mode = MEMORY;
PRAGMA temp.cache_size = -{_CACHE};
CREATE TEMP TABLE finished ({", ".join(_COPIED)}, replaced, PRIMARY KEY (key, digest)) WITHOUT ROWID;
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, count INTEGER NOT NULL, digest BLOB) WITHOUT ROWID;
CREATE TEMP TABLE alike (name TEXT, digest BLOB, place INTEGER, key TEXT, PRIMARY KEY (name, digest, place))
WITHOUT ROWID;
"""

# Sorted, because the index is built several times as fast from keys that arrive in order.
_COPY = (
    f"INSERT OR REPLACE INTO finished SELECT {', '.join(_COPIED)}, replaced FROM rows "  # noqa: S608  # names alone
    "WHERE number > ? AND (NOT replaced OR (status = 'ok' AND number IN (SELECT number FROM answers))) "
    "ORDER BY key, digest, number"
)
# Rows that share an id: the keys of all but the first begin with `id#`, and `$` is the character after `#`.
_OTHERS = "FROM finished WHERE key >= 'id#' AND key < 'id$'"
_NAME = "'id ' || substr(key, instr(key, ' ') + 1)"
_COPY_ALIKE = (
    "INSERT INTO alike SELECT name, digest, "  # noqa: S608  # of this module
    "row_number() OVER (PARTITION BY name, digest ORDER BY length(key), key), key FROM ("
    f"SELECT {_NAME} AS name, digest, key {_OTHERS} UNION ALL "
    f"SELECT key, digest, key FROM finished WHERE key IN (SELECT {_NAME} {_OTHERS}))"
)
_FIND = f"SELECT replaced, {', '.join(_COPIED)} FROM finished WHERE key IN"  # noqa: S608  # names alone
_WHOLE = (
    f"{', '.join(f'rows.{name}' for name in COLUMNS)}, rows.replaced, rows.checksum, raw, answers.checksum"
)
_STANDS = "NOT (rows.replaced AND raw IS NULL AND rows.status = 'ok')"
"""False of a row whose answer was found damaged, and taken out, since it was copied."""
_FIND_KEPT = (
    f"SELECT kept.key, {', '.join(f'rows.{name}' for name in _COPIED)} "  # noqa: S608  # names alone
    "FROM kept JOIN rows USING (number) WHERE kept.key IN"
)
_LENGTH = "SELECT total(length(raw)) FROM answers WHERE number IN"
_LENGTHS = "SELECT number, length(raw) FROM answers WHERE number IN"
_READ = (
    f"SELECT {_WHOLE} FROM rows LEFT JOIN answers USING (number) "  # noqa: S608  # names alone
    f"WHERE {_STANDS} AND number IN"
)
_ADD = "INSERT OR IGNORE INTO seen VALUES"
_COUNT = "INSERT INTO seen VALUES"
_COUNTED = "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING key, count, digest"


class Asked(NamedTuple):
    """A row of the input, to be looked up."""

    name: str
    """Its namespace (`id` or `request`) and a value, with a space between."""
    digest: bytes
    """Of its request."""


class Found(NamedTuple):
    """What the journal holds of a row, as of the last `refresh`; records without their answers."""

    key: str
    """The key of a new record of the row."""
    record: Record | None
    """The latest record of its request, under this key or that of another row of its id."""
    other: Record | None
    """The latest record under its key, if that is of another request: a new one replaces it."""
    occurrence: int
    """How many rows of this name were looked up in this pass, this one included."""
    returns: bool = False
    """Whether its record was replaced, by one of another request."""


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
        self._any_alike = False
        """Whether rows of the journal share an id."""
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

    async def look_up(self, rows: Sequence[Asked], *, shared: bool = False) -> list[Found]:
        """Return what is known of the next *rows* of this pass.

        The second row of a name gets a key of its own, unless rows of one name share one (*shared*).
        """
        return await anyio.to_thread.run_sync(self._look_up, rows, shared) if rows else []

    async def look_up_kept(self, sources: Sequence[bytes]) -> list[Record | None]:
        """Return the records that the next rows of this pass keep by their sources."""
        return await anyio.to_thread.run_sync(self._look_up_kept, sources)

    async def read(self, numbers: Sequence[int]) -> dict[int, Record | None]:
        """Return whole records, answers included, of as many of the first *numbers* as few megabytes hold.

        At least one; None for a record whose answer was found damaged, and taken out, since it was copied.
        """
        return await anyio.to_thread.run_sync(self._read, numbers) if numbers else {}

    def _look_up_kept(self, sources: Sequence[bytes]) -> list[Record | None]:
        with self._lock, translated(self._path):
            names = [source.hex().upper() for source in sources]
            places = [count for count, _ in self._count([Asked(name, b"") for name in names])]
            keys = [f"{name}#{place}" for name, place in zip(names, places, strict=True)]
            found = {key: Record(*row) for key, *row in self._select(_FIND_KEPT, keys)}
        return [found.get(key) for key in keys]

    def _read(self, numbers: Sequence[int]) -> dict[int, Record | None]:
        with self._lock, translated(self._path):
            first = self._few_of(numbers)
            found = [self._record(row) for row in self._select(_READ, first)]
        read: dict[int, Record | None] = dict.fromkeys(first)
        read.update((record.number, record) for record in found if record.number is not None)
        return read

    def _few_of(self, numbers: Sequence[int]) -> Sequence[int]:
        """Return the first *numbers*, with as many answers as may be in memory at once."""
        (whole,) = self._select(_LENGTH, numbers).fetchone()
        if whole <= _MOST_ANSWERS:
            return numbers
        lengths = dict(self._select(_LENGTHS, numbers))
        sums = accumulate((lengths.get(number, 0) for number in numbers), initial=0)
        return [number for number, before in zip(numbers, sums, strict=False) if before < _MOST_ANSWERS]

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
                self._database.execute("DELETE FROM alike")
                self._any_alike = self._database.execute(_COPY_ALIKE).rowcount > 0
            finally:
                self._database.execute("COMMIT")
            self._last = last

    def _begin_pass(self) -> None:
        with self._lock, translated(self._path):
            self._database.execute("DELETE FROM seen")

    def _look_up(self, rows: Sequence[Asked], shared: bool) -> list[Found]:
        with self._lock, translated(self._path):
            counted = self._count(rows)
            keys = [
                asked.name if shared else key_of(asked.name, occurrence)
                for asked, (occurrence, _) in zip(rows, counted, strict=True)
            ]
            places = [1] * len(rows) if shared else self._places(rows, counted)
            matches = keys if shared else list(map(self._match, rows, keys, places))
            records = self._records({*keys, *matches})
        return [
            _found(asked, key, occurrence, place, records.get(match, {}), records.get(key, {}))
            for asked, key, match, place, (occurrence, _) in zip(
                rows, keys, matches, places, counted, strict=True
            )
        ]

    def _places(self, rows: Sequence[Asked], counted: Sequence[tuple[int, bytes]]) -> list[int]:
        """Return for each row how many of its name and its request came so far in this pass, with it."""
        places = [1] * len(rows)
        later = [at for at, (occurrence, _) in enumerate(counted) if occurrence > 1]
        # The first row of a name is not counted here: most names have no other.
        pairs = [Asked(f"pair {rows[at].digest.hex()} {rows[at].name}", b"") for at in later]
        for at, (count, _) in zip(later, self._count(pairs) if pairs else [], strict=True):
            places[at] = count + (counted[at][1] == rows[at].digest)
        return places

    def _match(self, asked: Asked, key: str, place: int) -> str:
        """Return the key of the record of a row, if there is one: not its own if rows were reordered."""
        if asked.name.startswith("request "):
            return key
        if self._any_alike:
            query = "SELECT key FROM alike WHERE name = ? AND digest = ? AND place = ?"
            found = self._database.execute(query, (asked.name, asked.digest, place)).fetchone()
            if found is not None:
                return str(found[0])
        return asked.name if place == 1 else ""

    def _count(self, rows: Sequence[Asked]) -> list[tuple[int, bytes]]:
        """Count each name once more; return the counts, and the digest of the first row of each name."""
        if self._are_new(rows):
            return [(1, digest) for _, digest in rows]
        counts: dict[str, list[tuple[int, bytes]]] = {}
        # The order of what RETURNING gives is not defined.
        for name, count, first in put(self._database, _COUNT, [(name, 1, at) for name, at in rows], _COUNTED):
            counts.setdefault(name, []).append((count, first))
        for each in counts.values():
            each.sort(reverse=True)
        return [counts[name].pop() for name, _ in rows]

    def _are_new(self, rows: Sequence[Asked]) -> bool:
        """Return whether no name of *rows* came before; if so, count them. Takes a third of a full count."""
        marks = ",".join(["(?, 1, ?)"] * len(rows))
        self._database.execute("BEGIN")
        values = [value for row in rows for value in row]
        added = self._database.execute(f"{_ADD} {marks}", values).rowcount
        self._database.execute("COMMIT" if added == len(rows) else "ROLLBACK")
        return added == len(rows)

    def _records(self, keys: Collection[str]) -> dict[str, dict[bytes, tuple[Record, bool]]]:
        """Return the records under *keys* by their digests, and whether each was replaced."""
        records: dict[str, dict[bytes, tuple[Record, bool]]] = {}
        for replaced, *row in self._select(_FIND, [*keys]):
            record = Record(*row)
            records.setdefault(record.key, {})[record.digest] = record, bool(replaced)
        return records

    def _select(self, query: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """Select what is among *values*."""
        return self._database.execute(f"{query} ({','.join('?' * len(values))})", values)

    def _record(self, row: Sequence[Any]) -> Record:
        """Return the record of a row that has its answer; raises JournalError if one of them is damaged."""
        *columns, replaced, whole, raw, of_answer = row
        number = columns[COLUMNS.index("number")]
        # One that was replaced since the last `refresh` still stands for what was known then.
        same = whole == row_checksum(tuple(columns), raw is not None, replaced)
        if not same or (raw is not None and of_answer != answer_checksum(number, raw)):
            raise damaged(self._path, f"in row {number}, since the job began")
        return Record(*[*columns, raw])


def _found(
    asked: Asked,
    key: str,
    occurrence: int,
    place: int,
    matching: Mapping[bytes, tuple[Record, bool]],
    own: Mapping[bytes, tuple[Record, bool]],
) -> Found:
    """Return what is known of a row by the records under the key that matches it, and under its own."""
    record, replaced = matching.get(asked.digest, (None, False))
    if record is not None and not replaced:
        return Found(key, record, None, occurrence)
    others = [one for one, gone in own.values() if not gone and one.digest != asked.digest]
    other = max(others, key=lambda one: one.number or 0, default=None)
    if record is None and asked.digest in own:
        # That of an equal row, which stood elsewhere when it was sent.
        key = key_of(asked.name, occurrence, place)
    return Found(key, record, other, occurrence, replaced)
