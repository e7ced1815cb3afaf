"""Answers that other shards have: copied into the journal of a shard before it sends anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
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
from .._jobs.known_rows import KnownRow, matched
from .._jobs.rows import Row, batches_of
from ..models import Status

_TAKEN_FACT = "answers of other shards taken"


async def take_answers(
    path: Path, settings: JobSettings, rows: Callable[[], Iterator[Row]], others: Sequence[Path]
) -> None:
    """Copy the records of *rows* that *others* hold into the journal *path*; once for each journal.

    Of several records of a row one with an answer is taken. The copies cost nothing and have no attempts, so
    that sums over all journals stay true. Reads each of *others* whole; what is copied is held in memory.
    """
    journal = Journal(path, settings, wait=False)
    try:
        await wait_for(journal.opened)
        if await wait_for(journal.fact(_TAKEN_FACT)):
            return
        # A crash in between has left some.
        left = {record.key async for record in _records(path, rows)}
        best = await _best_of(others, rows)
        for kept in [journal.keep(_copy_of(record)) for key, record in best.items() if key not in left]:
            await kept
        await wait_for(journal.set_fact(_TAKEN_FACT, True))  # noqa: FBT003  # a value, as JSON
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(journal.close)


async def _best_of(journals: Iterable[Path], rows: Callable[[], Iterator[Row]]) -> dict[str, Record]:
    """Return a record of each row by its key: an answer, if one of *journals* has one."""
    best: dict[str, Record] = {}
    for journal in journals:
        async for record in _records(journal, rows):
            if record.status == Status.OK or record.key not in best:
                best[record.key] = record
    return best


async def _records(path: Path, rows: Callable[[], Iterator[Row]]) -> AsyncIterator[Record]:
    """Yield the records, answers included, that a journal holds of *rows*, each once."""
    finished = await FinishedRows.open(path)
    batches = matched(finished, batches_of(rows()), dedupe=True, answers=True)
    with closing(finished):
        async with aclosing(batches):
            async for record in (record async for batch in batches for record in _found(batch)):
                yield record


def _found(batch: Iterable[KnownRow]) -> list[Record]:
    return [known.record for known in batch if known.record is not None and not known.repeated]


def _copy_of(record: Record) -> Record:
    return replace(record, number=None, replaces=None, units=0, attempts=0, in_doubt=0)
