"""Answers that other shards have: copied into the journal of a shard before it sends anything."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from .._jobs.journal.commit_thread import wait_for
from .._jobs.journal.finished import FinishedRows
from .._jobs.journal.journal import Journal
from .._jobs.journal.record import Record
from .._jobs.journal.settings import JobSettings
from .._jobs.known_rows import KnownRow, matched
from .._jobs.options import JobOptions
from .._jobs.rows import Row, batches_of
from .._jobs.run import JobRun
from ._index import AnswerIndex

_WHOLE_FACT = "rows of a finished shard"
"""Name of the journal's fact with its number of records when each row of the shard had one."""


async def take_answers(
    path: Path,
    settings: JobSettings,
    options: JobOptions,
    rows: Callable[[], Iterator[Row]],
    index: AnswerIndex,
) -> None:
    """Copy into the journal *path* what other journals hold of those *rows* that would be sent.

    At each run, because others may have answered meanwhile what this shard has left when it stopped. The
    copies cost nothing and have no attempts, so that sums over all journals stay true. Of other journals only
    what *index* lacks is read, and what is copied.
    """
    journal = Journal(path, settings, wait=False)
    try:
        await wait_for(journal.opened)
        if await _sends_nothing(journal, options):
            return
        await anyio.to_thread.run_sync(index.refresh)
        async for records in _of_others(path, options, rows, index):
            for kept in [journal.keep(record) for record in records]:
                await kept
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(journal.close)


async def note_end(run: JobRun[Any]) -> None:
    """Note in the journal of a run that has ended if each row has a record: later runs need no look-up."""
    sent = run.report.fan_out
    if sent is None or sent.stop_reason is not None or run.not_kept:
        return
    with suppress(OSError, sqlite3.OperationalError):  # of a disk: a later run looks its rows up once more
        finished = await wait_for(run.journal.finished())
        await wait_for(run.journal.set_fact(_WHOLE_FACT, finished))


async def _sends_nothing(journal: Journal, options: JobOptions) -> bool:
    """Return whether no row would be sent, without reading one: a finished shard costs no look-up."""
    whole = await wait_for(journal.fact(_WHOLE_FACT))
    # The number, and not only that it was whole: damaged records are gone since.
    if whole != await wait_for(journal.finished()):
        return False
    return not options.retry_failed or not await wait_for(journal.failed())


async def _of_others(
    path: Path, options: JobOptions, rows: Callable[[], Iterator[Row]], index: AnswerIndex
) -> AsyncIterator[list[Record]]:
    """Yield in batches copies of what the index finds of the rows that would be sent."""
    finished = await FinishedRows.open(path)
    batches = matched(finished, batches_of(rows()), dedupe=True)
    with closing(finished):
        async with aclosing(batches):
            async for batch in batches:
                yield await _looked_up(batch, options, index)


async def _looked_up(batch: list[KnownRow], options: JobOptions, index: AnswerIndex) -> list[Record]:
    unanswered = {
        known.digest: known
        for known in batch
        if known.digest and not known.repeated and _is_sent(known.record, options)
    }
    if not unanswered:
        return []
    found = await anyio.to_thread.run_sync(index.find, [*unanswered])
    return [_copy_of(record, unanswered[record.digest]) for record in found if not _is_sent(record, options)]


def _is_sent(record: Record | None, options: JobOptions) -> bool:
    """Return whether a row with this record is sent."""
    return record is None or options.sends_again(record.error_type)


def _copy_of(record: Record, known: KnownRow) -> Record:
    return replace(record, number=None, replaces=known.replaces, units=0, attempts=0, in_doubt=0)
