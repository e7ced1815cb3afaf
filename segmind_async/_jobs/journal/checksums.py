"""Checksums of what a journal holds, and the search for entries that are damaged.

Each entry of each table has one as its last column, over exactly the values that are read again. SQLite has
none of its own: a bit that flips in a text or a number is a different text or number.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from .journal_error import damaged
from .record import COLUMNS


def checksum(*values: object) -> int:
    """Return a CRC-32 of *values* and their types, as SQLite returns them; a text may be a bytearray.

    A CRC finds every damage within 32 adjacent bits, and others but for one in 2³².
    """
    whole = 0
    for value in values:
        if isinstance(value, str):
            data, kind = value.encode("utf-8", "surrogatepass"), b"t"
        elif isinstance(value, bytearray):
            data, kind = bytes(value), b"t"
        elif isinstance(value, bytes):
            data, kind = value, b"b"
        else:
            # A column of reals stores an integer as a real.
            number = int(value) if isinstance(value, float) and value.is_integer() else value
            data, kind = repr(number).encode(), b"n"
        whole = crc32(data, crc32(b"%b%d:" % (kind, len(data)), whole))
    return whole


def answer_checksum(number: int, raw: object) -> int:
    """Return the checksum of an answer, which the number of its row begins; -1 for what is no answer."""
    return crc32(raw, number) if isinstance(raw, bytes) else -1


def row_checksum(row: tuple[object, ...], has_answer: bool, replaced: object) -> int:
    """Return the checksum of a row: the columns of a record, and whether it has an answer.

    Inverted for a replaced one, so that replacing a row needs no other column of it. Made by one `repr` and
    not value by value, because a job that goes on checks all of its rows.
    """
    found = _of_stored((*map(_as_stored, row), has_answer))
    return ~found if replaced == 1 else found if replaced == 0 else -1 << 40


def _of_stored(row: tuple[object, ...]) -> int:
    return crc32(repr(row).encode())


def _as_stored(value: object) -> object:
    if isinstance(value, str):
        return bytearray(value, "utf-8", "surrogatepass")
    # A column of reals stores an integer as a real.
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Damage:
    """What was found damaged and taken out of a journal."""

    keys: tuple[str, ...] = ()
    """Rows that are asked again: the keys of their damaged answers and drafts."""
    unknown: int = 0
    """Rows of which not even the key is certain, and what they have cost: they are asked again too."""

    @property
    def rows(self) -> int:
        """Return how many rows are asked again."""
        return len(self.keys) + self.unknown


_ROWS = (
    f"SELECT {', '.join(COLUMNS)}, replaced, rows.checksum, answers.checksum, raw "  # noqa: S608  # names alone
    "FROM rows LEFT JOIN answers USING (number)"
)
_WIDTH = len(COLUMNS)
_NUMBER, _KEY = COLUMNS.index("number"), COLUMNS.index("key")

_PLAIN_TABLES = {"drafts": "rowid", "submissions": "request", "samples": "number", "meta": "name"}
"""Tables of which an entry's checksum is that of its other columns, with the name that finds an entry."""


def take_out_damage(database: sqlite3.Connection, path: Path) -> Damage:
    """Delete damaged entries, so that their rows are asked again, and return what they were.

    What a row has cost still counts if only its answer is damaged. Raises JournalError if a setting is
    damaged: nothing could be said of any row. Commits nothing. Takes 6 s of CPU for a million rows.
    """
    factory = database.text_factory
    # Bytes that are not text are found here, and not by an error in the middle of a query.
    database.text_factory = bytearray
    try:
        keys, unknown = _take_out_rows(database)
        keys += _take_out_plain(database, path)
    finally:
        database.text_factory = factory
    return Damage(tuple(keys), unknown)


def _take_out_rows(database: sqlite3.Connection) -> tuple[list[str], int]:
    broken: list[int] = []
    unanswered: list[tuple[int, str]] = []
    for *row, replaced, whole, answer_whole, raw in database.execute(_ROWS):
        has_answer = raw is not None
        number = row[_NUMBER]
        # At first as SQLite gives it: only a row with an integer among its reals differs from that.
        plain = _of_stored((*row, has_answer))
        same = replaced == 0 and whole == plain
        if same or whole == row_checksum(tuple(row), has_answer, replaced):
            if has_answer and answer_whole != answer_checksum(number, raw):
                unanswered.append((number, row[_KEY].decode()))
        elif not has_answer and whole == row_checksum(tuple(row), has_answer=True, replaced=replaced):
            unanswered.append((number, row[_KEY].decode()))
        else:
            broken.append(number)
    for number, _ in unanswered:
        database.execute(
            "UPDATE rows SET replaced = 1, checksum = ? WHERE number = ?",
            (_without_answer(database, number), number),
        )
        database.execute("DELETE FROM answers WHERE number = ?", (number,))
    for number in broken:
        database.execute("DELETE FROM rows WHERE number = ?", (number,))
        database.execute("DELETE FROM answers WHERE number = ?", (number,))
    database.execute("DELETE FROM answers WHERE number NOT IN (SELECT number FROM rows)")
    return [key for _, key in unanswered], len(broken)


def _without_answer(database: sqlite3.Connection, number: int) -> int:
    query = f"SELECT {', '.join(COLUMNS)} FROM rows WHERE number = ?"  # noqa: S608  # names alone
    return row_checksum(database.execute(query, (number,)).fetchone(), has_answer=False, replaced=1)


def _take_out_plain(database: sqlite3.Connection, path: Path) -> list[str]:
    keys = []
    for table, name in _PLAIN_TABLES.items():
        query = f"SELECT {name}, * FROM {table}"  # noqa: S608  # names of this module
        broken = [
            (place, values) for place, *values, whole in database.execute(query) if whole != checksum(*values)
        ]
        for place, values in broken:
            if table == "meta" and _is_vital(place):
                raise damaged(path, "a setting of the job")
            if table == "drafts":
                keys.append(bytes(values[0]).decode("utf-8", "replace"))
            # As bytes: a name that is not text any more is found by no text.
            where, match = (bytes(place), "CAST(? AS TEXT)") if isinstance(place, bytearray) else (place, "?")
            database.execute(f"DELETE FROM {table} WHERE {name} = {match}", (where,))  # noqa: S608  # as above
    return keys


def _is_vital(name: bytearray) -> bool:
    """Return whether a fact, of which the name may be damaged too, is not one that a job can do without."""
    return bytes(name) not in {b"state", b"owner"}
