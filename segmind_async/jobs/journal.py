"""What a job has done so far, on disk: each answer is durable before anybody sees it.

One SQLite file, one thread that owns it. What arrives while a commit is under way is written with the
next one, so a slow disk makes larger groups and no queue. The file is locked by the process that works
on it; the lock ends with the process, however it ends.

It knows nothing of how rows are sent.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigurationError

APPLICATION = 0x5E6D1D
"""Marks the file as ours (`PRAGMA application_id`)."""

VERSION = 1

_GROUP = 64
"""Records that one commit takes at most."""

_SAFE_WAL = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite releases from which WAL no longer loses commits (3.50 and 3.44: the fix was taken back to them)."""

Settings: TypeAlias = Mapping[str, object]


class JournalError(ConfigurationError):
    """The journal cannot be used; the message says why, and the way out."""


@dataclass(frozen=True, slots=True)
class Record:
    """One finished row."""

    key: str
    """What the row is known by, over all runs."""
    digest: bytes
    """What its request was: a row with another one is asked again."""
    status: str
    result: bytes
    """The output row, as JSON without its place in the input."""


_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, status TEXT NOT NULL, result BLOB NOT NULL
) WITHOUT ROWID;
"""

_SEEN = "CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID"


class Journal:
    """A job's journal, open and locked. Its methods run in a thread of its own and return futures.

    Raises JournalError for a file that is locked, damaged, foreign, or of a job with other settings.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self._lock = _Lock(path.with_name(path.name + ".lock"))
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"journal {path.name}", daemon=True)
        self._database: sqlite3.Connection
        self._open = True
        self._thread.start()
        try:
            self._ask(lambda: self._connect(settings)).result()
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
        """Write what is still to be written, and let go of file and lock. Idempotent."""
        if self._open:
            self._open = False
            self._jobs.put(None)
            self._thread.join()
            self._lock.release()

    def keep(self, record: Record) -> Future[None]:
        """Write one finished row; done when it is on the disk."""
        return self._ask(lambda: self._insert(record))

    def finished(self, keys: list[str]) -> Future[dict[str, Record]]:
        """Look up which of *keys* are done."""
        return self._ask(lambda: self._select(keys))

    def occurrences(self, names: list[str]) -> Future[list[int]]:
        """Return, for each of *names*, how often it has come by in this run, from 1."""
        return self._ask(lambda: [self._count(name) for name in names])

    def forget_occurrences(self) -> Future[None]:
        """Begin to count anew: the input is read once more."""
        return self._ask(lambda: self._run("DELETE FROM seen"))

    def drop(self, status: str) -> Future[None]:
        """Forget the rows that ended so, in order that they are asked again."""
        return self._ask(lambda: self._run("DELETE FROM rows WHERE status = ?", status))

    def note(self, name: str, value: object) -> Future[None]:
        """Write down a fact about the job, as JSON, with the next rows."""
        text = json.dumps(value)
        return self._ask(lambda: self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, text))

    def noted(self, name: str) -> Future[object]:
        """Read a fact about the job; None if it was never written."""
        return self._ask(lambda: self._read(name))

    def counts(self) -> Future[dict[str, int]]:
        """Count the finished rows by status."""
        return self._ask(
            lambda: dict(self._database.execute("SELECT status, count(*) FROM rows GROUP BY status"))
        )

    def _ask(self, job: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    def _work(self) -> None:
        """Do what is asked, in groups of one commit each."""
        going = True
        while going:
            group = [self._jobs.get()]
            while len(group) < _GROUP and group[-1] is not None:
                try:
                    group.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            if group[-1] is None:
                group.pop()
                going = False
            self._commit([job for job in group if job is not None])
        with suppress(AttributeError, sqlite3.Error):
            self._database.close()

    def _commit(self, group: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        """Do a group and commit it; whoever asked hears of it only after that."""
        done: list[tuple[Future[Any], Any]] = []
        for job, future in group:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                done.append((future, job()))
            except BaseException as error:  # noqa: BLE001  # whoever asked gets it
                future.set_exception(error)
        try:
            if done and hasattr(self, "_database"):
                self._database.commit()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._database.rollback()
            for future, _ in done:
                future.set_exception(error)
            return
        for future, result in done:
            future.set_result(result)

    def _connect(self, settings: Settings) -> None:
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        try:
            self._database = sqlite3.connect(self.path, isolation_level="DEFERRED", timeout=30)
            if not fresh:
                self._check_file()
            wal = _wal_is_safe(sqlite3.sqlite_version_info)
            self._database.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'TRUNCATE'}")
            self._database.execute("PRAGMA synchronous = FULL")
            if fresh:
                self._database.execute(f"PRAGMA application_id = {APPLICATION}")
                self._database.execute(f"PRAGMA user_version = {VERSION}")
                self._database.executescript(_SCHEMA)
                self._insert_settings(settings)
            else:
                self._check_settings(settings)
            self._database.execute(_SEEN)
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {str(self.path)!r} cannot be used ({error}); "
                "name another one, or delete it to begin anew"
            ) from error

    def _check_file(self) -> None:
        found = self._database.execute("PRAGMA application_id").fetchone()[0]
        if found != APPLICATION:
            raise JournalError(
                f"{str(self.path)!r} is a database, but no journal of a job; name another file"
            )
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise JournalError(
                f"the journal {str(self.path)!r} has version {version}, this release writes {VERSION}"
            )
        verdict = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if self.path.stat().st_size % self._database.execute("PRAGMA page_size").fetchone()[0]:
            # SQLite fills a page that was cut with zeros, and finds nothing wrong with it.
            verdict = "its last page is cut"
        if verdict != "ok":
            raise JournalError(
                f"the journal {str(self.path)!r} is damaged ({verdict}); restore it or delete it"
            )

    def _insert_settings(self, settings: Settings) -> None:
        for name, value in settings.items():
            self._run("INSERT INTO meta VALUES (?, ?)", f"setting {name}", json.dumps(value))
        self._database.commit()

    def _check_settings(self, settings: Settings) -> None:
        for name, value in settings.items():
            before = self._read(f"setting {name}")
            if before != json.loads(json.dumps(value)):
                raise JournalError(
                    f"the journal {str(self.path)!r} is of a job with {name}={before!r}, "
                    f"and now {name}={value!r}: "
                    f"use the same again, or another journal"
                )

    def _insert(self, record: Record) -> None:
        self._run(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)",
            record.key, record.digest, record.status, record.result,
        )  # fmt: skip

    def _select(self, keys: list[str]) -> dict[str, Record]:
        marks = ",".join("?" * len(keys))
        found: Iterable[tuple[str, bytes, str, bytes]] = self._database.execute(
            f"SELECT key, digest, status, result FROM rows WHERE key IN ({marks})",  # noqa: S608  # marks alone
            keys,
        )
        return {row[0]: Record(*row) for row in found}

    def _count(self, name: str) -> int:
        found = self._database.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
            (name,),
        ).fetchone()
        return int(found[0])

    def _run(self, statement: str, *values: object) -> None:
        self._database.execute(statement, values)

    def _read(self, name: str) -> object:
        found = self._database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])


def _wal_is_safe(version: tuple[int, ...]) -> bool:
    newest, *older = _SAFE_WAL
    return version >= newest or any(version[:2] == safe[:2] and version >= safe for safe in older)


class _Lock:
    """A lock file that names who holds it; the system lets go of it when the process ends, however."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+", encoding="utf-8")
        try:
            _lock_file(self._file.fileno())
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise JournalError(
                f"{owner} is working on this journal; wait for it, or name another one"
            ) from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def release(self) -> None:
        """Let go. The file stays: to delete it would race with the next one who locks it."""
        self._file.close()


if os.name == "posix":
    import fcntl

    def _lock_file(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

else:  # pragma: no cover  # Windows
    import msvcrt

    def _lock_file(descriptor: int) -> None:
        # Far behind what is written there, so that others can read who holds it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
