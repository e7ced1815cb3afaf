"""The journal of a job: each answer is durable before its outcome is delivered.

One SQLite file, used by one process at a time. Finished rows are a log: they are appended, whatever their
keys, since an index of keys that are hashes would cost three times as much as the rows themselves; see
`finished` for the look-up by key.

It knows nothing of how rows are sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path

from ..openers import private
from . import owner, tables
from .bulk_insert import put
from .checksums import Damage, answer_checksum, checksum, row_checksum, take_out_damage
from .commit_thread import WriterThread
from .journal_error import JournalError, OtherVersionError, damaged, translated
from .lock import Lock, is_on_network
from .record import COLUMNS, Draft, Record
from .settings import Changes, JobSettings, changes, may_change

_SAFE_WAL = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite releases from which WAL no longer loses commits (3.50 and 3.44: the fix was taken back to them)."""


class OtherSettingsError(JournalError):
    """The journal is of a job with other settings, of which rows are finished."""

    def __init__(self, path: Path, changed: Changes, finished: int) -> None:
        self.path: Path = path
        self.changed: Changes = changed
        """Settings by name: the value before, and the value now."""
        self.finished: int = finished
        """Finished rows of the journal."""
        super().__init__(
            f"the journal {str(path)!r} is of a job with {changed_text(changed)}. Use the same again; keep "
            f"its {finished} finished rows and send the others with the new settings (keep_finished); or "
            "name another journal"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return OtherSettingsError, (self.path, self.changed, self.finished)


def changed_text(changed: Changes) -> str:
    """Return the changed settings as a text."""
    return "; ".join(f"{name}={before!r}, and now {name}={now!r}" for name, (before, now) in changed.items())


FINISHED = "SELECT count(*) FROM rows WHERE NOT replaced"

# The drafts of a row: each holds the cost of those before it.
SPENT = (
    "SELECT (SELECT coalesce(sum(units), 0) FROM rows) + "
    "(SELECT coalesce(sum(most), 0) FROM (SELECT max(units) AS most FROM drafts GROUP BY key))"
)

_INSERT = f"INSERT INTO rows ({', '.join(COLUMNS)}, checksum) VALUES"  # names alone


_REPLACE = "UPDATE rows SET replaced = 1, checksum = ~checksum WHERE number = ? AND NOT replaced"
_RESTORE = "UPDATE rows SET replaced = 0, checksum = ~checksum WHERE number = ? AND replaced"


class Journal:
    """A job's journal, open and locked. Its methods run in a thread of its own and return futures.

    Raises JournalError for a file that is locked, damaged, foreign, or of a job with other settings that may
    not change (with *keep_finished* more of them may); OSError if the disk is full. Without *wait*, all but
    that of the lock are raised by `opened`.
    """

    def __init__(
        self,
        path: Path,
        settings: JobSettings,
        *,
        connect: Callable[[Path], sqlite3.Connection] | None = None,
        wait: bool = True,
        keep_finished: bool = False,
    ) -> None:
        # Resolved, because the lock file stands beside it: a symbolic link is the same journal.
        path = path.resolve()
        self.path: Path = path
        self._last = 0
        """Number of the last record."""
        self.kept: int = 0
        """Number of the last record that stays although settings have changed since; 0: none."""
        self.changed: Changes = {}
        """Settings that differ from those in the file; `adopt` writes them."""
        self._keep_finished = keep_finished
        self._settings = settings
        self._drafted = False
        self._connect = connect or _connected
        self._lock = Lock(path.with_name(path.name + ".lock"))
        holder = self._lock.take()
        if holder is not None:
            raise JournalError(f"{holder} is working on this journal; wait for it, or name another one")
        reserve = path.with_name(path.name + ".reserve")
        self.damage: Damage = Damage()
        """What was damaged when the journal was opened; those rows are asked again."""
        self._owner = owner.Owner()
        self._left = self._closed = False
        self._writer = WriterThread(self._opened, reserve, before_commit=self._check_owner)
        try:
            if wait:
                self.opened.result()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write all pending work, close the file and release the lock. Idempotent."""
        if not self._closed:
            # Also while it is being opened: that goes on, and writes who owns it.
            with suppress(ValueError):  # opening it has failed
                self._writer.submit(self._leave, awaited=False)
        self._closed = True
        self._writer.close()
        self._owner.forget()
        self._lock.release()

    @property
    def opened(self) -> Future[None]:
        """Done when the journal is open, or with the error; it must be closed in both cases."""
        return self._writer.opened

    @property
    def commit_error(self) -> Exception | None:
        """Why a commit failed: no more rows should be sent. None if none has."""
        return self._writer.commit_error

    def adopt(self) -> Future[None]:
        """Write the changed settings; finished rows stay, unless nothing of the job was paid."""

        def write(database: sqlite3.Connection) -> None:
            if not self.kept:
                tables.delete_rows(database)
            tables.write_fact(database, "kept", self.kept)
            tables.write_settings(database, self._settings)

        return self._writer.submit(write)

    def keep(self, record: Record, submission: str | None = None) -> asyncio.Future[None]:
        """Write one finished row; done when it is on the disk. Also deletes the queued *submission* of it."""
        return self._writer.submit_batched(self._insert, (record, submission))

    def _insert(self, database: sqlite3.Connection, kept: list[tuple[Record, str | None]]) -> None:
        records = [record for record, _ in kept]
        for number, record in enumerate(records, self._last + 1):
            record.number = number
        put(database, _INSERT, [_values(record) for record in records])
        answers = [
            (number, record.raw, answer_checksum(number, record.raw))
            for number, record in enumerate(records, self._last + 1)
            if record.raw is not None
        ]
        put(database, "INSERT INTO answers VALUES", answers)
        replaced = [(record.replaces,) for record in records if record.replaces is not None]
        database.executemany(_REPLACE, replaced)
        ended = [(submission,) for _, submission in kept if submission is not None]
        if ended:
            database.executemany("DELETE FROM submissions WHERE request = ?", ended)
        if self._drafted:
            database.executemany("DELETE FROM drafts WHERE key = ?", [(record.key,) for record in records])
        self._last += len(kept)

    def restore(self, number: int, replaces: int | None) -> Future[None]:
        """Let a record that was replaced count again, in place of the one with the number *replaces*."""

        def write(database: sqlite3.Connection) -> None:
            _run(database, _RESTORE, number)
            _run(database, _REPLACE, replaces)

        return self._writer.submit(write, urgent=False)

    def flush(self) -> Future[None]:
        """Commit all work requested so far; done when it is on the disk."""
        return self._writer.submit(lambda _database: None)

    def submitted(self, request: str, digest: bytes, at: float) -> asyncio.Future[None]:
        """Write the id under which the service queued a request; *at* is in epoch seconds."""
        values = (request, digest, at, checksum(request, digest, at))
        return self._writer.submit_on_loop(
            lambda database: _run(database, _SUBMIT, *values),
            # Until it is on the disk, a crash would have the request paid twice.
            urgent=True,
        )

    def draft(self, draft: Draft, submission: str | None = None) -> asyncio.Future[None]:
        """Write an answer that is not parsed yet; the record of its row replaces it.

        Also deletes the queued *submission* of it.
        """
        self._drafted = True

        def insert(database: sqlite3.Connection) -> None:
            _run(database, "INSERT INTO drafts VALUES (?, ?, ?, ?, ?)", *draft, checksum(*draft))
            if submission is not None:
                _run(database, "DELETE FROM submissions WHERE request = ?", submission)

        return self._writer.submit_on_loop(insert)

    def drafts(self) -> Future[list[Draft]]:
        """Return the answers that were not parsed, oldest first."""

        def read(database: sqlite3.Connection) -> list[Draft]:
            found = [Draft(*row) for row in database.execute(_DRAFTS)]
            self._drafted = self._drafted or bool(found)
            return found

        return self._writer.submit(read)

    def forget_submission(self, request: str) -> Future[None]:
        """Delete a submission that ended without an answer."""
        return self._writer.submit(
            lambda database: _run(database, "DELETE FROM submissions WHERE request = ?", request)
        )

    def submissions(self) -> Future[list[tuple[str, bytes, float]]]:
        """Return the submissions that have no answer: id, digest and epoch seconds, oldest first."""
        return self._writer.submit(
            lambda database: database.execute(
                "SELECT request, digest, at FROM submissions ORDER BY at"
            ).fetchall()
        )

    def sample(self, at: float, facts: Mapping[str, object]) -> Future[None]:
        """Write the progress *at* that epoch second, with the next commit."""
        text = json.dumps(facts)

        def insert(database: sqlite3.Connection) -> None:
            number = database.execute("SELECT coalesce(max(number), 0) + 1 FROM samples").fetchone()[0]
            whole = checksum(number, at, text)
            _run(database, "INSERT INTO samples VALUES (?, ?, ?, ?)", number, at, text, whole)

        return self._writer.submit(insert, awaited=False)

    def set_fact(self, name: str, value: object) -> Future[None]:
        """Write a fact about the job, as JSON, with the next commit."""
        written = json.loads(json.dumps(value))  # as it is now
        return self._writer.submit(lambda database: tables.write_fact(database, name, written))

    def fact(self, name: str) -> Future[object]:
        """Return a fact about the job; None if it was never written."""
        return self._writer.submit(lambda database: read_fact(database, self.path, name))

    def finished(self) -> Future[int]:
        """Return the number of finished rows."""
        return self._writer.submit(lambda database: database.execute(FINISHED).fetchone()[0])

    def failed(self) -> Future[int]:
        """Return the number of finished rows that have failed."""
        query = f"{FINISHED} AND status = 'failed'"
        return self._writer.submit(lambda database: database.execute(query).fetchone()[0])

    def spent(self) -> Future[int]:
        """Return the cost of all answers, replaced ones and drafts included, in units of 10⁻¹⁰ credit."""
        return self._writer.submit(lambda database: database.execute(SPENT).fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = None
        try:
            database = self._connect(self.path)
            fresh = _is_empty(database, self.path)
            if not fresh:
                check_is_journal(database, self.path)
                _check_whole(database, self.path)
            wal = _wal_is_safe(sqlite3.sqlite_version_info) and not is_on_network(self.path)
            database.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'TRUNCATE'}")
            database.execute("PRAGMA synchronous = FULL")
            if fresh:
                tables.create(database, self._settings, {owner.FACT: self._owner.as_json()})
            else:
                self._refuse_second(database)
                self.damage = take_out_damage(database, self.path)
            self._last = database.execute("SELECT coalesce(max(number), 0) FROM rows").fetchone()[0]
            self._compare_settings(database)
            if not fresh:
                # Last: whoever does not open it must not stand in it as its owner.
                tables.write_fact(database, owner.FACT, self._owner.as_json())
                database.commit()
        except BaseException as error:
            if database is not None:
                database.close()
            if not isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise
            raise JournalError(
                f"the journal {str(self.path)!r} cannot be used ({error}); "
                "name another one, or delete it to begin anew"
            ) from error
        return database

    def _refuse_second(self, database: sqlite3.Connection) -> None:
        """Raise JournalError if another process has the journal open although nothing is locked."""
        with suppress(DamagedFactError):
            if owner.lives(read_fact(database, self.path, owner.FACT)):
                raise JournalError(
                    "another process is working on this journal, whose lock file was deleted; wait for "
                    "it, or name another one"
                )

    def _leave(self, database: sqlite3.Connection) -> None:
        _run(database, "DELETE FROM meta WHERE name = ? AND value = ?", owner.FACT, self._owner.as_text())
        self._left = True

    def _check_owner(self, database: sqlite3.Connection) -> None:
        """Raise JournalError if another process has taken the journal over."""
        if not self._left and read_fact(database, self.path, owner.FACT) != self._owner.as_json():
            raise JournalError(
                f"the journal {str(self.path)!r} was taken over by another process: its lock file was deleted"
            )

    def _compare_settings(self, database: sqlite3.Connection) -> None:
        """Find changed settings and what becomes of finished rows; raises OtherSettingsError."""
        self.changed = changes(tables.read_settings(database, self.path), self._settings)
        kept = read_fact(database, self.path, "kept")
        self.kept = kept if isinstance(kept, int) else 0
        if not self.changed:
            return
        paid = any(database.execute(query).fetchone()[0] for query in PAID)
        dedupe = bool(self._settings.get("dedupe"))
        if not may_change(self.changed, paid=paid, keep_finished=self._keep_finished, dedupe=dedupe):
            finished = database.execute(FINISHED).fetchone()[0]
            raise OtherSettingsError(self.path, self.changed, finished)
        self.kept = self._last if paid else 0


_SUBMIT = "INSERT OR REPLACE INTO submissions VALUES (?, ?, ?, ?)"
_DRAFTS = "SELECT key, digest, units, raw FROM drafts ORDER BY rowid"

PAID = (
    "SELECT EXISTS (SELECT 1 FROM rows WHERE units > 0 OR in_doubt > 0)",
    "SELECT EXISTS (SELECT 1 FROM answers)",
    "SELECT EXISTS (SELECT 1 FROM drafts)",
    "SELECT EXISTS (SELECT 1 FROM submissions)",
)
"""Whether anything of a job was paid, or may have been."""


def _connected(path: Path) -> sqlite3.Connection:
    if not path.exists():
        # SQLite gives its files beside it the mode of this one.
        os.close(private(str(path), os.O_RDWR | os.O_CREAT))
    return sqlite3.connect(path, isolation_level="DEFERRED", timeout=30)


def _is_empty(database: sqlite3.Connection, path: Path) -> bool:
    """Return whether nothing was written yet: a journal is made in one transaction."""
    if _is_cut(database, path) or database.execute("PRAGMA application_id").fetchone()[0]:
        return False
    return not _has_tables(database)


def _is_cut(database: sqlite3.Connection, path: Path) -> bool:
    # SQLite fills a page that was cut with zeros, and finds nothing wrong with it.
    return bool(path.stat().st_size % database.execute("PRAGMA page_size").fetchone()[0])


def has_tables(path: Path) -> bool:
    """Return whether the journal *path* has its tables: they are made in one transaction, after the file.

    Raises JournalError for a file that is not a database.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with translated(path), closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
        return _has_tables(database)


def _has_tables(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def check_is_journal(database: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError for a database that is not a journal, or of another version."""
    found = database.execute("PRAGMA application_id").fetchone()[0]
    if found != tables.APPLICATION:
        raise JournalError(f"{str(path)!r} is a database, but not the journal of a job; name another file")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version != tables.VERSION:
        raise OtherVersionError(
            f"the journal {str(path)!r} has version {version}, this release writes {tables.VERSION}; "
            "finish that job with the release it was begun with, or name another journal"
        )
    if not tables.are_ours(database):
        raise damaged(path, "its tables are not those of a journal")


def _check_whole(database: sqlite3.Connection, path: Path) -> None:
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if _is_cut(database, path):
        verdict = "its last page is cut"
    if verdict != "ok":
        raise damaged(path, verdict)


class DamagedFactError(JournalError):
    """A fact about the job is damaged."""


def read_fact(database: sqlite3.Connection, path: Path, name: str) -> object:
    """Return the fact *name*; None if it was never written. Raises DamagedFactError, which names *path*."""
    found = database.execute("SELECT value, checksum FROM meta WHERE name = ?", (name,)).fetchone()
    if found is None:
        return None
    text, whole = found
    if checksum(name, text) != whole:
        raise DamagedFactError(
            f"{name!r} in the journal {str(path)!r} is damaged; run its job again, or restore it"
        )
    return json.loads(text)


def _values(record: Record) -> tuple[object, ...]:
    values = tuple(getattr(record, name) for name in COLUMNS)
    return (*values, row_checksum(values, record.raw is not None, replaced=0))


def _run(database: sqlite3.Connection, statement: str, *values: object) -> None:
    database.execute(statement, values)


def _wal_is_safe(version: tuple[int, ...]) -> bool:
    newest, *older = _SAFE_WAL
    return version >= newest or any(version[:2] == safe[:2] and version >= safe for safe in older)
