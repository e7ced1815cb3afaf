"""A thread that owns a database: it does what it is asked in groups, and ends each group with a commit.

What arrives while a commit is under way is done with the next one, so a slow disk makes larger groups and
no queue. Commits keep a breath apart, because a fast stream would otherwise pay for one with every few
rows; what is urgent does not wait for it. Whoever asked hears of it only after the commit.

When the disk takes no more, a reserve beside the database is given back, so that what was paid for and is
still on its way finds room; `trouble` says so, and whoever sends is to stop.
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
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

GROUP_SIZE = 64
"""Pieces of work that one commit takes at most."""

COMMIT_INTERVAL = 0.01
"""Seconds between two commits, unless there is a full group, or something urgent."""

RESERVE = 8 * 1024 * 1024
"""Bytes kept free for what is in flight when the disk is full: 64 answers of 128 kB."""

Work: TypeAlias = Callable[[sqlite3.Connection], T]
Together: TypeAlias = Callable[[sqlite3.Connection, list[Any]], None]
"""Work that is done for many items at once: each statement has the two threads hand their lock over, which
costs more than the statement."""


class _Asked(NamedTuple):
    work: Work[Any]
    done: Future[Any] | asyncio.Future[Any]
    urgent: bool
    together: Together | None = None
    item: object = None
    awaited: bool = True


class WriterThread:
    """Does work on one database, in a thread of its own.

    *connect* is called in that thread and opens the database; `opened` ends with it, or with what it raised.
    *reserve* is where room is kept for a full disk; None: nowhere.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], reserve: Path | None = None) -> None:
        self.commit_error: Exception | None = None
        """Why the disk did not take a commit; what was asked since may be durable all the same."""
        self._reserve = _Reserve(reserve)
        self._hurry = threading.Event()
        self._due = -math.inf
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
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
        self._ask(_Asked(work, done, urgent, awaited=awaited))
        return done

    def submit_on_loop(self, work: Work[None], *, urgent: bool = False) -> asyncio.Future[None]:
        """Do the same for the running loop, which is woken once for a whole group.

        Cancelled or not, the work is done.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ask(_Asked(work, done, urgent))
        return done

    def submit_batched(self, work: Together, item: object) -> asyncio.Future[None]:
        """Have *work* done for *item* and all others of its group at once, before all else in the group."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ask(
            _Asked(lambda database: work(database, [item]), done, urgent=False, together=work, item=item)
        )
        return done

    def close(self) -> None:
        """Do what was asked, and close the database. Idempotent."""
        self._open = False
        self._put(None)
        self._thread.join()

    def _ask(self, asked: _Asked) -> None:
        if not self._open:
            raise ValueError("this database is closed")
        self._requested += asked.awaited
        self._put(asked)

    def _put(self, asked: _Asked | None) -> None:
        self._asked.put(asked)
        if asked is None or asked.urgent or self._asked.qsize() >= GROUP_SIZE:
            self._hurry.set()

    def _work(self, connect: Callable[[], sqlite3.Connection]) -> None:
        # Whoever waits for it may give up, and this goes on all the same.
        self.opened.set_running_or_notify_cancel()
        try:
            # Room first: where there is none, nothing is opened.
            self._reserve.make()
            database = connect()
        except BaseException as error:  # noqa: BLE001  # whoever opens gets it
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
            database.close()
        self._reserve.give_back()

    def _group(self) -> list[_Asked]:
        """Wait for work, and take what has come when a commit is due; empty when it was the end."""
        group: list[_Asked] = []
        asked = self._asked.get()
        # Not woken by every row meanwhile: each time the two threads would hand their lock over.
        self._hurry.wait(max(0.0, self._due - time.monotonic()))
        self._hurry.clear()
        while asked is not None:
            group.append(asked)
            if len(group) == GROUP_SIZE or self._asked.empty():
                return group
            asked = self._asked.get()
        if group:
            self._put(None)  # first what came before the end
        return group

    def _do(self, database: sqlite3.Connection, group: list[_Asked]) -> None:
        """Do a group and commit it; once more, in the room of the reserve, if the disk does not take it."""
        try:
            ended = _done(database, group)
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody must wait for ever
            self.commit_error = self.commit_error or error
            self._reserve.give_back()
            try:
                ended = _done(database, group)
            except Exception as again:  # noqa: BLE001  # as above
                ended = [again] * len(group)
        here: list[tuple[asyncio.Future[Any], object]] = []
        for asked, result in zip(group, ended, strict=True):
            if isinstance(asked.done, Future):
                _end(asked.done, result)
            else:
                here.append((asked.done, result))
        if here:
            with suppress(RuntimeError):  # its loop has ended: nobody waits any more
                here[0][0].get_loop().call_soon_threadsafe(_end_all, here)


def _done(database: sqlite3.Connection, group: list[_Asked]) -> list[object]:
    """Do a group in one transaction: results and errors in order; raises what concerns all of them."""
    try:
        as_one = _done_together(database, group)
        ended = [
            None if as_one and asked.together is not None else _result(database, asked) for asked in group
        ]
        database.commit()
    except BaseException:
        with suppress(sqlite3.Error):
            database.rollback()
        raise
    return ended


def _done_together(database: sqlite3.Connection, group: list[_Asked]) -> bool:
    """Do what can be done together; False if one of the items spoils it, and each must be tried alone."""
    by_work: dict[Together, list[Any]] = {}
    for asked in group:
        if asked.together is not None:
            by_work.setdefault(asked.together, []).append(asked.item)
    try:
        for work, items in by_work.items():
            work(database, items)
    except sqlite3.OperationalError:
        raise
    except Exception:  # noqa: BLE001  # whose it is shows below
        database.rollback()
        return False
    return True


def _result(database: sqlite3.Connection, asked: _Asked) -> object:
    try:
        return asked.work(database)
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001  # this one's own
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
    """A file that does nothing but take room until it is needed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def make(self) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, RESERVE)
                else:  # pragma: no cover  # macOS, Windows
                    file.write(bytes(RESERVE))
        except OSError:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Make room; a disk that takes nothing at all may refuse this too."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None


def wait_for(future: Future[T]) -> asyncio.Future[T]:
    """Await what the thread is doing."""
    return asyncio.wrap_future(future)
