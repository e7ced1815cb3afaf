"""Answers that other shards have: copied into the journal of a shard before it sends anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread

from .._jobs.journal.commit_thread import wait_for
from .._jobs.journal.finished import FinishedRows
from .._jobs.journal.journal import Journal
from .._jobs.journal.record import Record
from .._jobs.journal.settings import JobSettings
from .._jobs.known_rows import matched
from .._jobs.rows import Row, batches_of
from ._index import AnswerIndex

_TAKEN_FACT = "answers of other shards taken"


async def take_answers(
    path: Path, settings: JobSettings, rows: Callable[[], Iterator[Row]], index: AnswerIndex
) -> None:
    """Copy the records of *rows* that other journals hold into the journal *path*; once for each journal.

    The copies cost nothing and have no attempts, so that sums over all journals stay true. Of other journals
    only what *index* lacks is read, and what is copied.
    """
    journal = Journal(path, settings, wait=False)
    try:
        await wait_for(journal.opened)
        if await wait_for(journal.fact(_TAKEN_FACT)):
            return
        await anyio.to_thread.run_sync(index.refresh)
        async for records in _of_others(path, rows, index):
            for kept in [journal.keep(_copy_of(record)) for record in records]:
                await kept
        await wait_for(journal.set_fact(_TAKEN_FACT, True))  # noqa: FBT003  # a value, as JSON
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(journal.close)


async def _of_others(
    path: Path, rows: Callable[[], Iterator[Row]], index: AnswerIndex
) -> AsyncIterator[list[Record]]:
    """Yield in batches what the index finds of the rows that *path* lacks: a crash has left some there."""
    finished = await FinishedRows.open(path)
    batches = matched(finished, batches_of(rows()), dedupe=True)
    with closing(finished):
        async with aclosing(batches):
            async for batch in batches:
                unknown = [row for row in batch if row.record is None and not row.repeated]
                digests = [row.digest for row in unknown if row.digest]
                yield await anyio.to_thread.run_sync(index.find, digests)


def _copy_of(record: Record) -> Record:
    return replace(record, number=None, replaces=None, units=0, attempts=0, in_doubt=0)
