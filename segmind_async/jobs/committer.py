"""A thread that owns a database: it does what it is asked in groups, and ends each group with a commit.

What arrives while a commit is under way is done with the next one, so a slow disk makes larger groups and
no queue, and nothing waits for company. Whoever asked hears of it only after the commit.

When the disk takes no more, a reserve beside the database is given back, so that what was paid for and is
still on its way finds room; `trouble` says so, and whoever sends is to stop.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

GROUP = 64
"""Pieces of work that one commit takes at most."""

RESERVE = 8 * 1024 * 1024
"""Bytes kept free for what is in flight when the disk is full: 64 answers of 128 kB."""

Work: TypeAlias = Callable[[sqlite3.Connection], T]


class _Asked(NamedTuple):
    work: Work[Any]
    done: Future[Any] | asyncio.Future[Any]


class Committer:
    """Does work on one database, in a thread of its own.

    *connect* is called in that thread and opens the database; what it raises, this raises. *reserve* is
    where room is kept for a full disk; None: nowhere.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], reserve: Path | None = None) -> None:
        self.trouble: Exception | None = None
        """Why the disk did not take a commit; what was asked since may be durable all the same."""
        self._reserve = _Reserve(reserve)
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._open = True
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(connect, opened), name="segmind journal", daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise

    def __repr__(self) -> str:
        return f"Committer({'open' if self._open else 'closed'}, trouble={self.trouble!r})"

    def ask(self, work: Work[T]) -> Future[T]:
        """Have *work* done; the future ends when it is on the disk. It may be done twice, if once fails."""
        done: Future[T] = Future()
        self._put(_Asked(work, done))
        return done

    def ask_here(self, work: Work[None]) -> asyncio.Future[None]:
        """Do the same for the running loop, which is woken once for a whole group.

        Cancelled or not, the work is done.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Asked(work, done))
        return done

    def close(self) -> None:
        """Do what was asked, and close the database. Idempotent."""
        if self._open:
            self._open = False
            self._asked.put(None)
            self._thread.join()

    def _put(self, asked: _Asked) -> None:
        if not self._open:
            raise ValueError("this database is closed")
        self._asked.put(asked)

    def _work(self, connect: Callable[[], sqlite3.Connection], opened: Future[None]) -> None:
        try:
            database = connect()
            self._reserve.make()
        except BaseException as error:  # noqa: BLE001  # whoever opens gets it
            opened.set_exception(error)
            return
        opened.set_result(None)
        while group := self._group():
            self._do(database, group)
        with suppress(sqlite3.Error):
            database.close()
        self._reserve.give_back()

    def _group(self) -> list[_Asked]:
        """Wait for work, and take what is there; empty when it was the end."""
        group: list[_Asked] = []
        asked = self._asked.get()
        while asked is not None:
            group.append(asked)
            if len(group) == GROUP:
                break
            try:
                asked = self._asked.get_nowait()
            except queue.Empty:
                break
        else:
            if group:
                self._asked.put(None)  # first what came before the end
        return group

    def _do(self, database: sqlite3.Connection, group: list[_Asked]) -> None:
        """Do a group and commit it; once more, in the room of the reserve, if the disk does not take it."""
        try:
            ended = _done(database, group)
        except sqlite3.Error as error:
            self.trouble = self.trouble or error
            self._reserve.give_back()
            try:
                ended = _done(database, group)
            except sqlite3.Error as again:
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
    ended: list[object] = []
    try:
        for work, _ in group:
            try:
                ended.append(work(database))
            except sqlite3.OperationalError:
                raise
            except Exception as error:  # noqa: BLE001  # this one's own
                ended.append(error)
        database.commit()
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            database.rollback()
        raise
    return ended


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
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def of(future: Future[T]) -> asyncio.Future[T]:
    """Await what the thread is doing."""
    return asyncio.wrap_future(future)
