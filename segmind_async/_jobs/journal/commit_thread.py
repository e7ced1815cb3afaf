"""A thread that owns a database: it does work in groups and ends each group with a commit.

Work that arrives during a commit belongs to the next group, so a slow disk makes larger groups instead of a
longer queue. There is a minimum interval between commits, because a fast stream would otherwise pay for one
with every few rows; urgent work ends the wait. A future is resolved only after the commit of its work.

If the disk is full, a reserve file beside the database is deleted, so that answers of calls in flight, which
are paid for, can still be written; `commit_error` is set, and no more should be sent.
"""

from __future__ import annotations

import asyncio
import math
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from ..openers import private

T = TypeVar("T")

GROUP_SIZE = 64
"""Maximum number of requests for one commit."""

COMMIT_INTERVAL = 0.01
"""Minimum seconds between two commits, unless a group is full or work is urgent."""

RESERVE = 8 * 1024 * 1024
"""Bytes kept free for what is in flight when the disk is full: 64 answers of 128 kB."""

Work: TypeAlias = Callable[[sqlite3.Connection], T]
Together: TypeAlias = Callable[[sqlite3.Connection, list[Any]], None]
"""Work on many items at once: each statement passes the GIL between two threads, which costs more than the
statement."""


class _Request(NamedTuple):
    work: Work[Any]
    done: Future[Any] | asyncio.Future[Any]
    urgent: bool
    together: Together | None = None
    item: object = None
    awaited: bool = True


class WriterThread:
    """Does work on one database in a thread of its own.

    *connect* is called in that thread and opens the database; `opened` has its result or error. *reserve* is
    the path of the reserve file; None: there is none. *before_commit* is called in each transaction, and ends
    it if it raises.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        reserve: Path | None = None,
        before_commit: Callable[[sqlite3.Connection], None] = lambda _database: None,
    ) -> None:
        self._before_commit = before_commit
        self.commit_error: Exception | None = None
        """The first error of a commit; later work may be durable all the same. None if all succeeded."""
        self._reserve = _Reserve(reserve)
        self._commit_now = threading.Event()
        self._due = -math.inf
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._open = True
        # Two counters with one writing thread each: a shared one would need a lock for every row.
        self._requested, self._completed = 1, 0
        self.opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(connect,), name="segmind journal", daemon=True
        )
        self._thread.start()

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"WriterThread({state}, {self.unfinished} unfinished, commit_error={self.commit_error!r})"

    @property
    def unfinished(self) -> int:
        """Return how many requests that somebody awaits have no result yet, the opening included.

        When it is 0, every future has been resolved and every loop that awaits one has been woken.
        """
        return self._requested - self._completed

    def submit(self, work: Work[T], *, urgent: bool = True, awaited: bool = True) -> Future[T]:
        """Have *work* done; the future ends when it is on the disk. It may be done twice, if once fails.

        Without *awaited*, `unfinished` leaves it out.
        """
        done: Future[T] = Future()
        self._enqueue(_Request(work, done, urgent, awaited=awaited))
        return done

    def submit_on_loop(self, work: Work[None], *, urgent: bool = False) -> asyncio.Future[None]:
        """Do the same for the running loop, which is woken once for a whole group.

        Cancelled or not, the work is done.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(_Request(work, done, urgent))
        return done

    def submit_batched(self, work: Together, item: object) -> asyncio.Future[None]:
        """Have *work* done for *item* and all others of its group at once, before all else in the group."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(
            _Request(lambda database: work(database, [item]), done, urgent=False, together=work, item=item)
        )
        return done

    def close(self) -> None:
        """Do all requested work and close the database. Idempotent."""
        self._open = False
        self._put(None)
        self._thread.join()

    def _enqueue(self, asked: _Request) -> None:
        if not self._open:
            raise ValueError("this database is closed")
        self._requested += asked.awaited
        self._put(asked)

    def _put(self, asked: _Request | None) -> None:
        self._queue.put(asked)
        if asked is None or asked.urgent or self._queue.qsize() >= GROUP_SIZE:
            self._commit_now.set()

    def _work(self, connect: Callable[[], sqlite3.Connection]) -> None:
        # Opening goes on if its caller is cancelled.
        self.opened.set_running_or_notify_cancel()
        try:
            # The reserve first: on a full disk nothing is opened.
            self._reserve.make()
            database = connect()
        except BaseException as error:  # noqa: BLE001  # raised by `opened`
            self._open = False
            self._reserve.give_back()
            self.opened.set_exception(error)
            self._completed += 1
            return
        self.opened.set_result(None)
        self._completed += 1
        while group := self._group():
            self._do(database, group)
            self._completed += sum(asked.awaited for asked in group)
            self._due = time.monotonic() + COMMIT_INTERVAL
        with suppress(sqlite3.Error):
            _close(database)
        self._reserve.give_back()

    def _group(self) -> list[_Request]:
        """Wait until a commit is due and return the requests so far; empty after `close`."""
        group: list[_Request] = []
        asked = self._queue.get()
        # Not woken by every row: each time the GIL would pass between the two threads.
        self._commit_now.wait(max(0.0, self._due - time.monotonic()))
        self._commit_now.clear()
        while asked is not None:
            group.append(asked)
            if len(group) == GROUP_SIZE or self._queue.empty():
                return group
            asked = self._queue.get()
        if group:
            self._put(None)  # first the requests before it
        return group

    def _do(self, database: sqlite3.Connection, group: list[_Request]) -> None:
        """Do a group and commit it; if that fails, once more after the reserve was deleted."""
        try:
            ended = _done(database, group, self._before_commit)
        except Exception as error:  # noqa: BLE001  # every future must be resolved
            self.commit_error = self.commit_error or error
            self._reserve.give_back()
            try:
                ended = _done(database, group, self._before_commit)
            except Exception as again:  # noqa: BLE001  # as above
                ended = [again] * len(group)
        here: list[tuple[asyncio.Future[Any], object]] = []
        for asked, result in zip(group, ended, strict=True):
            if isinstance(asked.done, Future):
                _end(asked.done, result)
            else:
                here.append((asked.done, result))
        if here:
            with suppress(RuntimeError):  # the loop is closed: nothing awaits them
                here[0][0].get_loop().call_soon_threadsafe(_end_all, here)


def _done(
    database: sqlite3.Connection, group: list[_Request], before_commit: Callable[[sqlite3.Connection], None]
) -> list[object]:
    """Do a group in one transaction and return results and errors in order; raises if the commit fails."""
    try:
        as_one = _done_together(database, group)
        ended = [
            None if as_one and asked.together is not None else _result(database, asked) for asked in group
        ]
        before_commit(database)
        database.commit()
    except BaseException:
        with suppress(sqlite3.Error):
            database.rollback()
        raise
    return ended


def _done_together(database: sqlite3.Connection, group: list[_Request]) -> bool:
    """Do batched work; return False if an item fails, and each must be done alone."""
    by_work: dict[Together, list[Any]] = {}
    for asked in group:
        if asked.together is not None:
            by_work.setdefault(asked.together, []).append(asked.item)
    try:
        for work, items in by_work.items():
            work(database, items)
    except sqlite3.OperationalError:
        raise
    except Exception:  # noqa: BLE001  # found when each is done alone
        database.rollback()
        return False
    return True


def _result(database: sqlite3.Connection, asked: _Request) -> object:
    try:
        return asked.work(database)
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001  # of this request only
        return error


def _end(done: Future[Any] | asyncio.Future[Any], result: object) -> None:
    given_up = not done.set_running_or_notify_cancel() if isinstance(done, Future) else done.done()
    if given_up:
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)


def _end_all(ended: list[tuple[asyncio.Future[Any], object]]) -> None:
    for done, result in ended:
        _end(done, result)


class _Reserve:
    """A file that reserves disk space."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def make(self) -> None:
        if self._path is None:
            return
        try:
            with open(self._path, "wb", opener=private) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, RESERVE)
                else:  # pragma: no cover  # macOS, Windows
                    file.write(bytes(RESERVE))
        except OSError as error:
            error.filename = str(self._path)
            self.give_back()
            raise

    def give_back(self) -> None:
        """Delete the file; a read-only disk may refuse this too."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None


def wait_for(future: Future[T]) -> asyncio.Future[T]:
    """Return a future of the running loop for one of the thread."""
    return asyncio.wrap_future(future)


def _close(database: sqlite3.Connection) -> None:
    """Close the database, and leave no empty file of its own journal beside it."""
    with closing(database), suppress(sqlite3.Error):
        # In WAL mode SQLite deletes its files itself; to change that mode would wait for readers.
        if database.execute("PRAGMA journal_mode").fetchone()[0] == "truncate":
            database.execute("PRAGMA journal_mode = DELETE")
