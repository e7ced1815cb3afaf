"""What budgets have spent, and what is being sent, in a small SQLite file: kept over a `kill -9`.

A call that may cost something is noted when it has waited and is about to be sent on, with what it is
expected to cost, and deleted in the transaction that books its cost. What is still noted when the file is
opened was cut off by the death of the process: it may have been billed. It counts as spent by its budget,
and is in doubt for the account. The notes are kept until `take_over`: a gateway that fails to start leaves
them to the next one.

A call that the service has queued runs on without the process. Its note stays until a gateway has seen its
end; the id by which it is asked for, and whose it is, are kept beside it.

Which attempts of other clients of this library were sent on is kept for some hours: a client that has lost
its gateway asks the next one, and sends again what never cost anything.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..._jobs.journal.commit_thread import WriterThread
from ..._jobs.journal.lock import Lock
from ...errors import ConfigurationError

_APPLICATION = 0x5E6D1E
"""Marks the file as ours (`PRAGMA application_id`)."""

_TABLES = """
CREATE TABLE spent (
    budget TEXT, period TEXT, units INTEGER NOT NULL, PRIMARY KEY (budget, period)
) WITHOUT ROWID;
CREATE TABLE sent (id TEXT PRIMARY KEY, budget TEXT NOT NULL, period TEXT NOT NULL, units INTEGER NOT NULL);
"""

_SENT_SINCE = {"model": "TEXT NOT NULL DEFAULT ''", "at": "REAL NOT NULL DEFAULT 0"}
"""Columns that the first books lack, in their order."""

_STATE = "CREATE TABLE IF NOT EXISTS state (number INTEGER PRIMARY KEY, facts TEXT NOT NULL)"

_QUEUED = """
CREATE TABLE IF NOT EXISTS queued (
    id TEXT PRIMARY KEY, entry TEXT NOT NULL, owner TEXT NOT NULL, model TEXT NOT NULL, key INTEGER NOT NULL,
    at REAL NOT NULL
)
"""
_ATTEMPTS = """
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, sent INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID
"""
_WAS_SENT = "SELECT sent FROM attempts WHERE id = ?"
_FORGET_ATTEMPTS = "DELETE FROM attempts WHERE at < ? AND id <> ''"
_BEGUN = "INSERT OR IGNORE INTO attempts VALUES ('', 0, ?)"
"""The attempt without an id is the instant from which all others are in the book."""
_BEGAN = "SELECT at FROM attempts WHERE id = ''"

KEPT_ATTEMPTS = 6 * 3600.0
"""Seconds for which attempts are kept: at 1 000 calls a minute they take 20 MB."""

_FORGET_EVERY = 1000
"""Attempts between two deletions of old ones, which read them all."""

_OLDEST_FIRST = "CREATE INDEX IF NOT EXISTS queued_at ON queued (at)"
_READ_QUEUED = """
SELECT queued.id, entry, owner, queued.model, key, queued.at, budget, period, units FROM queued
LEFT JOIN sent ON sent.id = entry ORDER BY queued.at
"""

_BOOK = """
INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (budget, period) DO UPDATE SET units = units + excluded.units
"""

_BOOK_NOTED = """
INSERT INTO spent SELECT budget, period, units FROM sent WHERE id = ? AND budget <> ''
ON CONFLICT (budget, period) DO UPDATE SET units = units + excluded.units
"""

_SPENT = "SELECT coalesce(sum(units), 0) FROM spent WHERE budget = ? AND period = ?"
_NOTED = "SELECT id, units FROM sent WHERE budget = ? AND period = ?"
_SENDING = "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?)"
_SENT = "SELECT id, budget, period, units, model, at FROM sent"


class Entry(NamedTuple):
    """A call that is about to be sent."""

    id: str
    budget: str
    """Empty for a call that no limit of a budget concerns."""
    period: str
    units: int
    """Expected cost, in units of 10⁻¹⁰ credit."""
    model: str
    at: float
    """When it was sent, in epoch seconds."""


class Attempt(NamedTuple):
    """An attempt of a client of this library, by the id that it has given it."""

    id: str
    at: float
    """Now, in epoch seconds."""


class QueuedNote(NamedTuple):
    """A call that the service has queued."""

    id: str
    """The service's id of it."""
    entry: str
    """The id of its `Entry`, which is there until its end was seen."""
    owner: str
    """Whose it is, as a digest of a token; empty for a gateway without tokens."""
    model: str
    key: int
    """The place, among the keys of the gateway, of the one it was submitted with."""
    at: float
    """When it was submitted, in epoch seconds."""


class BudgetBook:
    """The file of budgets, open and locked; its work is done in a thread.

    Raises ConfigurationError for a file that is locked, foreign or damaged.
    """

    def __init__(self, path: Path, now: float | None = None) -> None:
        """Open it; *now* is in epoch seconds, None: as the machine has it."""
        self._path = path.resolve()
        self._now: float = time.time() if now is None else now  # noqa: TID251  # kept over restarts
        self._attempts = 0
        """Attempts of clients of this library that were noted or asked for."""
        self._began = math.inf
        """Epoch seconds from when attempts are in the book."""
        self.left_over: Sequence[Entry] = ()
        """Calls that were in flight when an earlier process died: they may have been billed."""
        self.state: str | None = None
        """What that process has kept for the next one, as JSON; None if it has kept nothing."""
        self.queued: Sequence[tuple[QueuedNote, Entry | None]] = ()
        """What earlier processes have had queued, the oldest first; without an entry if its end was seen."""
        self._lock = Lock(self._path.with_name(self._path.name + ".lock"))
        owner = self._lock.take()
        if owner is not None:
            raise ConfigurationError(
                f"{owner} is using the budgets in {str(path)!r}; one gateway may at a time"
            )
        self._writer = WriterThread(self._opened)
        try:
            self._writer.opened.result()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise ConfigurationError(
                    f"the budgets in {str(path)!r} cannot be read ({error}); restore or delete the file"
                ) from error
            raise

    def __repr__(self) -> str:
        return f"BudgetBook({str(self._path)!r})"

    def close(self) -> None:
        """Write what is pending, close the file and release the lock. Idempotent."""
        self._writer.close()
        self._lock.release()

    def spent(self, budget: str, period: str) -> int:
        """Return the units that a budget has spent in a period."""

        def add_up(database: sqlite3.Connection) -> int:
            booked = int(database.execute(_SPENT, (budget, period)).fetchone()[0])
            noted = database.execute(_NOTED, (budget, period)).fetchall()
            left_over = {entry.id for entry in self.left_over}
            return booked + sum(int(units) for id_, units in noted if id_ in left_over)

        return self._writer.submit(add_up).result()

    def take_over(self) -> asyncio.Future[None]:
        """Book what an earlier process left as spent: from now on this one answers for it. Idempotent."""

        def book(database: sqlite3.Connection) -> None:
            for entry in self.left_over:
                database.execute(_BOOK_NOTED, (entry.id,))
                database.execute("DELETE FROM sent WHERE id = ?", (entry.id,))

        return self._writer.submit_on_loop(book, urgent=True)

    async def sending(self, entry: Entry, attempt: Attempt | None = None) -> bool:
        """Note a call; it may be sent once this returns, with True: the note is on the disk.

        False: its client has lost the connection, was told that the attempt was not sent, and sends another.
        """
        may_send = True

        def insert(database: sqlite3.Connection) -> None:
            nonlocal may_send
            if attempt is not None:
                found = database.execute(_WAS_SENT, (attempt.id,)).fetchone()
                if found is not None and not found[0]:
                    may_send = False
                    return
                database.execute("INSERT OR IGNORE INTO attempts VALUES (?, 1, ?)", attempt)
            database.execute(_SENDING, entry)

        await self._writer.submit_on_loop(insert)
        if attempt is not None:
            self._forget_now_and_then(attempt.at)
        return may_send

    async def was_sent(self, attempt: Attempt, age: float) -> bool | None:
        """Return whether an attempt was sent on with this book; if it was not, it will not be.

        None if that is not kept for one which is *age* seconds old: not any more, or this book was not there.
        """
        found: tuple[int] | None = None

        def ask(database: sqlite3.Connection) -> None:
            nonlocal found
            found = database.execute(_WAS_SENT, (attempt.id,)).fetchone()
            if found is None and age < KEPT_ATTEMPTS and attempt.at - age >= self._began:
                database.execute("INSERT INTO attempts VALUES (?, 0, ?)", attempt)
                found = (0,)

        await self._writer.submit_on_loop(ask, urgent=True)
        self._forget_now_and_then(attempt.at)
        return None if found is None else bool(found[0])

    def _forget_now_and_then(self, now: float) -> None:
        self._attempts += 1
        if self._attempts % _FORGET_EVERY == 1:
            self._writer.submit(lambda database: _forget_attempts(database, now), urgent=False, awaited=False)

    def queue(self, note: QueuedNote, forget_before: float) -> asyncio.Future[None]:
        """Keep the id of a queued call, and forget those submitted before an instant in epoch seconds."""

        def insert(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR REPLACE INTO queued VALUES (?, ?, ?, ?, ?, ?)", note)
            database.execute("DELETE FROM queued WHERE at < ?", (forget_before,))

        return self._writer.submit_on_loop(insert, urgent=True)

    def ended(self, entry: Entry, units: int) -> asyncio.Future[None]:
        """Book what a call has cost instead of what was expected."""

        def book(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM sent WHERE id = ?", (entry.id,))
            if units:
                database.execute(_BOOK, (entry.budget, entry.period, units))

        return self._writer.submit_on_loop(book)

    def keep_state(self, state: Mapping[str, object]) -> None:
        """Keep what the next process is to know, with the next commit."""
        facts = json.dumps(state)
        self._writer.submit(
            lambda database: database.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (facts,)),
            urgent=False,
            awaited=False,
        )

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level="DEFERRED", timeout=30)
        try:
            found = database.execute("PRAGMA application_id").fetchone()[0]
            if found == 0 and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                database.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _TABLES.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.commit()
            elif found != _APPLICATION:
                raise sqlite3.DatabaseError("it holds something else")
            database.execute("PRAGMA synchronous = FULL")
            columns = {row[1] for row in database.execute("PRAGMA table_info(sent)")}
            # One by one: a crash may have left the first alone.
            for name, declared in _SENT_SINCE.items():
                if name not in columns:
                    database.execute(f"ALTER TABLE sent ADD COLUMN {name} {declared}")
            database.execute(_STATE)
            database.execute(_QUEUED)
            database.execute(_ATTEMPTS)
            database.execute(_BEGUN, (self._now,))
            self._began = database.execute(_BEGAN).fetchone()[0]
            database.execute(_OLDEST_FIRST)
            database.commit()
            self.queued = [_queued(row) for row in database.execute(_READ_QUEUED)]
            run_on = {entry.id for _, entry in self.queued if entry is not None}
            sent = [Entry(*row) for row in database.execute(_SENT)]
            self.left_over = [entry for entry in sent if entry.id not in run_on]
            kept = database.execute("SELECT facts FROM state").fetchone()
            self.state = None if kept is None else kept[0]
        except BaseException:
            database.close()
            raise
        return database


def _forget_attempts(database: sqlite3.Connection, now: float) -> None:
    database.execute(_FORGET_ATTEMPTS, (now - KEPT_ATTEMPTS,))


def _queued(row: tuple[Any, ...]) -> tuple[QueuedNote, Entry | None]:
    note = QueuedNote(*row[:6])
    budget, period, units = row[6:]
    if budget is None:
        return note, None
    return note, Entry(note.entry, budget, period, units, note.model, note.at)
