"""The journals of a job in shards: where they stand, and their sums.

A folder has a folder for each set of settings, and that a journal for each shard, named by a hash of its
rows. So a shard that is run again finds its journal; the others hold what other divisions of the rows have
answered.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic_core import to_json

from .._jobs.journal.reader import JournalReader
from .._jobs.journal.settings import JobSettings
from .._jobs.known_rows import keyed
from .._jobs.report.report import progress_of
from .._jobs.report.shards import SUFFIX, LeftOut, some_journals_in
from .._jobs.report.timeline import cut_off
from .._jobs.rows import Row


def folder_of(root: Path, settings: JobSettings) -> Path:
    """Return the folder of the journals of jobs with these settings."""
    canonical = to_json([[name, settings[name]] for name in sorted(settings)])
    return root / hashlib.sha256(canonical).hexdigest()[:16]


def journal_of(folder: Path, rows: Iterable[Row]) -> Path:
    """Return the journal of a shard: its name depends on what the rows ask, and on their order."""
    whole = hashlib.sha256()
    for row, digest in map(keyed, rows):
        whole.update(digest or (row.problem or "").encode())
    return folder / f"{whole.hexdigest()[:32]}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class FolderTotals:
    """Sums over the journals of all shards of a folder."""

    shards: int
    counts: Mapping[str, int]
    """Finished rows by status; a row that several shards have counts in each."""
    spent: Decimal
    """Credits that all answers have cost. An answer that another shard has paid for costs nothing."""
    attempts: int
    in_doubt: int
    """Attempts that may have been billed although their answer was lost."""
    cut_off: int
    """Calls that were on their way when a task was cancelled or killed: they may have been billed, and are in
    no other figure. By the last progress record of each run, which may be half a second old."""
    unpriced: int
    """Answers for which the service named no cost."""
    unreadable: int = 0
    """Journals that cannot be read: they are in none of the sums, and named in the log."""


def read_folder(journal: str | Path) -> FolderTotals:
    """Return the sums over all shards of the job with the folder *journal*, also while it runs.

    Raises JournalError if the folder holds no journal that can be read.
    """
    paths, left_out = some_journals_in(Path(journal)), LeftOut()
    counts = Counter[str]()
    spent, attempts, in_doubt, cut, unpriced = Decimal(0), 0, 0, 0, 0
    for path in paths:
        with left_out.reading(), JournalReader(path) as reader:
            totals, cost = reader.totals(), reader.spent()
            counts += Counter(reader.counts())
            spent += cost
            attempts += totals.attempts
            in_doubt += totals.in_doubt
            cut += cut_off(progress_of(path, reader.samples()), running=reader.owner is not None)
            unpriced += totals.unpriced
    shards, unreadable = len(paths) - len(left_out.errors), len(left_out.errors)
    if not shards:
        raise left_out.errors[0]
    return FolderTotals(shards, dict(counts), spent, attempts, in_doubt, cut, unpriced, unreadable)
