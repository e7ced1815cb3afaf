"""Stretches of the input: rows that follow one another, and what became of them.

A stretch of which every row has ended is noted in the journal with a fingerprint of what its rows ask. A
later run passes over it as a whole, as long as all of the input before it is the same too.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from ..report.tally import INVALID_ROW, Tally
from .record import Record

LENGTH = 64
"""Rows of a stretch; they are read together, and so ahead. Journals depend on it: with another length goes
another `tables.VERSION`."""


class Noted(NamedTuple):
    """A stretch that an earlier run has noted."""

    first: int
    """Index of its first row."""
    fingerprint: bytes
    """What its rows ask, and by what names."""
    tally: Tally

    @property
    def asked(self) -> int:
        """Rows that were asked, whatever became of them."""
        return self.tally.counts.total() - self.tally.errors[INVALID_ROW]

    @property
    def failed(self) -> int:
        """Rows that were asked and have failed."""
        return self.tally.errors.total() - self.tally.errors[INVALID_ROW]


@dataclass(slots=True)
class Stretch:
    """Rows that follow one another, while they are looked at one by one."""

    first: int
    fingerprint: bytes | None
    """As in `Noted`; None if it cannot be told, and then the stretch is not noted."""
    left: int
    """Rows of it that have not ended."""
    tally: Tally = field(default_factory=Tally)
    numbers: list[int | None] = field(default_factory=lambda: [None] * LENGTH)
    """Of each row's record, in order; None for a row that has none."""
    taken: list[str] = field(default_factory=list)
    """Keys of rows that cannot be used, and so have no record: the next row of such a name has another."""
    moved: list[tuple[int, int]] = field(default_factory=list)
    """Index and number of records whose row stood elsewhere when it was read last."""

    @property
    def is_finished(self) -> bool:
        """Whether all its rows have ended, and it can be told from others."""
        return not self.left and self.fingerprint is not None

    def end(self, index: int, record: Record) -> None:
        """Book a row whose record is in the journal."""
        if self.fingerprint is None:
            return
        self.tally.book(record)
        self.numbers[index - self.first] = record.number
        if record.number is not None and record.place != index:
            self.moved.append((index, record.number))
        self.left -= 1

    def end_unusable(self, key: str | None, problem: str | None) -> None:
        """Book a row that can make no request; *key* is what its name would be known by, if it has one."""
        self.tally.count("failed", INVALID_ROW, problem)
        if key is not None:
            self.taken.append(key)
        self.left -= 1

    def end_repeated(self) -> None:
        """Book a row that shares the answer of one before it."""
        self.tally.repeated += 1
        self.left -= 1


def note(database: sqlite3.Connection, stretch: Stretch) -> None:
    """Write a finished stretch down."""
    database.execute(
        "INSERT OR REPLACE INTO stretches VALUES (?, ?, ?, ?, ?)",
        (
            stretch.first,
            stretch.fingerprint,
            _json_of(stretch.tally),
            json.dumps(stretch.numbers),
            json.dumps(stretch.taken) if stretch.taken else None,
        ),
    )
    database.executemany("UPDATE rows SET place = ? WHERE number = ?", stretch.moved)


def noted(database: sqlite3.Connection, first: int, at_most: int) -> list[Noted]:
    """Read the stretches from index *first* on, as far as they follow one another."""
    query = "SELECT first, fingerprint, tally FROM stretches WHERE first >= ? ORDER BY first LIMIT ?"
    found = database.execute(query, (first, at_most)).fetchall()
    return [
        Noted(begins, fingerprint, _tally_of(tally))
        for place, (begins, fingerprint, tally) in enumerate(found)
        if begins == first + place * LENGTH
    ]


def end_at(database: sqlite3.Connection, first: int) -> None:
    """Forget all from index *first* on, and remember the keys that are taken before it."""
    database.execute("DELETE FROM stretches WHERE first >= ?", (first,))
    for (keys,) in database.execute("SELECT taken FROM stretches WHERE taken IS NOT NULL"):
        database.executemany("INSERT OR IGNORE INTO taken VALUES (?)", [(key,) for key in json.loads(keys)])


def holds(database: sqlite3.Connection, place: int, number: int) -> bool:
    """Tell whether the row at index *place* has the record of that *number*, in a stretch that is noted."""
    query = "SELECT numbers FROM stretches WHERE first = ?"
    found = database.execute(query, (place - place % LENGTH,)).fetchone()
    return found is not None and json.loads(found[0])[place % LENGTH] == number


def _json_of(tally: Tally) -> str:
    return json.dumps([tally.counts, tally.errors, tally.examples, tally.right, tally.judged, tally.repeated])


def _tally_of(text: str) -> Tally:
    counts, errors, examples, *numbers = json.loads(text)
    return Tally(Counter(counts), Counter(errors), examples, *numbers)
