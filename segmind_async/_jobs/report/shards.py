"""The report of a job in shards, from a folder of journals: at any time, also while shards run."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from ..journal.journal import has_tables
from ..journal.journal_error import JournalError
from ..journal.reader import JournalReader, Totals
from .aggregates import Aggregates
from .keys import KeySums
from .report import Report, Shards, of_rows, progress_of, rate_limited, sampled_numbers
from .timeline import covered, cut_off, runs_of

_LOG = logging.getLogger(__name__)

SUFFIX = ".journal"

_APART = 1 << 40
"""More records than one journal has: tells records of one number in two journals apart."""


def journals_in(folder: Path) -> list[Path]:
    """Return the journals of all shards in *folder*, and in folders inside it; not those just being made.

    Also those that cannot be read, for the caller to say so.
    """
    return sorted(path for path in folder.rglob(f"*{SUFFIX}") if path.is_file() and not _is_being_made(path))


def _is_being_made(path: Path) -> bool:
    try:
        return not has_tables(path)
    except (JournalError, sqlite3.Error):
        return False


def some_journals_in(folder: Path) -> list[Path]:
    """Return them; raises JournalError if there are none."""
    if paths := journals_in(folder):
        return paths
    raise JournalError(f"journal={str(folder)!r} holds no journal of a shard; name the job's folder")


class LeftOut:
    """Journals of a folder that are left out because they cannot be read. Each is named in the log."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __repr__(self) -> str:
        return f"LeftOut({len(self.errors)})"

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Leave out the journal that is read in the block if it cannot be, or from where it cannot."""
        try:
            yield
        except (JournalError, sqlite3.Error) as error:
            _LOG.warning("a journal is left out: %s", error)
            self.errors.append(error)


@dataclass(slots=True)
class _Sums:
    """What is added up over journals."""

    settings: dict[str, object] | None = None
    """Settings that are equal in all."""
    totals: Totals = field(default_factory=lambda: Totals(Decimal(0), 0, 0, 0))
    owners: list[str] = field(default_factory=list)
    begun: int = 0
    """Journals that can be read."""
    finished: int = 0
    damaged: int = 0
    """Rows that are left out."""
    runs: int = 0
    rate_limited: int = 0
    cut_off: int = 0
    keys: KeySums = field(default_factory=KeySums)
    times: list[tuple[float, float]] = field(default_factory=list)
    """When each run began and ended, in epoch seconds."""


def read_shards(folder: Path) -> Report:
    """Read all journals of a folder; an answer that several shards have counts in the one that paid for it.

    What of a shard's rows another division has answered meanwhile is not known, so no rows are pending.
    Journals that cannot be read and rows that are damaged are left out, and counted. Raises JournalError if
    there is no journal that can be read.
    """
    journals, sums, left_out = some_journals_in(folder), _Sums(), LeftOut()
    aggregates: Aggregates | None = None
    for place, path in enumerate(journals):
        with left_out.reading(), JournalReader(path) as reader:
            _add(sums, reader)
            aggregates = aggregates or Aggregates(reader.settings())
            _add_rows(aggregates, sums, reader, place)
    if aggregates is None:
        raise left_out.errors[0]
    times = [*aggregates.times, *(moment for span in sums.times for moment in span)]
    return Report(
        journal=str(folder),
        owner=", ".join(dict.fromkeys(sums.owners)) or None,
        settings=sums.settings or {},
        pending=None,
        progress=None,
        ends_in=None,
        floor_in=None,
        runs=sums.runs,
        worked=covered(sums.times),
        begun_at=min(times, default=None),
        ended_at=max(times, default=None),
        totals=sums.totals,
        rate_limited=sums.rate_limited,
        cut_off=sums.cut_off,
        keys=sums.keys.reports(),
        timeline=(),
        shards=Shards(sums.begun, len(sums.owners), sums.finished, len(left_out.errors), sums.damaged),
        **of_rows(aggregates, _answers(journals, sampled_numbers(aggregates.samples))),
    )


def _add_rows(aggregates: Aggregates, sums: _Sums, reader: JournalReader, place: int) -> None:
    """Add the rows that this shard has sent, and not taken over, with numbers of the whole folder."""
    for record in reader.whole_rows():
        if record is None:
            sums.damaged += 1
        elif record.attempts:
            aggregates.add(replace(record, number=place * _APART + (record.number or 0)))


def _add(sums: _Sums, reader: JournalReader) -> None:
    """Add what a journal says beside its rows."""
    own, totals, samples = reader.settings(), reader.totals(), reader.samples()
    records, spent = progress_of(reader.path, samples), reader.spent()
    sums.begun += 1
    known = own if sums.settings is None else sums.settings
    sums.settings = {name: value for name, value in known.items() if own.get(name) == value}
    sums.totals = Totals(
        sums.totals.spent + spent,
        sums.totals.attempts + totals.attempts,
        sums.totals.in_doubt + totals.in_doubt,
        sums.totals.unpriced + totals.unpriced,
    )
    owner = reader.owner
    if owner is not None:
        sums.owners.append(owner)
    elif records and records[-1].pending == 0:
        sums.finished += 1
    runs = runs_of(records)
    sums.runs = max(sums.runs, len(runs))
    sums.rate_limited += rate_limited(records)
    sums.cut_off += cut_off(records, running=owner is not None)
    sums.keys.add(records, samples)
    ends = {id(progress): sample.at for progress, sample in zip(records, samples, strict=True)}
    sums.times += [(ends[id(run[-1])] - run[-1].elapsed, ends[id(run[-1])]) for run in runs]


def _answers(journals: Sequence[Path], numbers: Iterable[int]) -> dict[int, bytes]:
    """Return the answers of samples, by their numbers over all journals."""
    by_journal: dict[int, list[int]] = {}
    for number in numbers:
        by_journal.setdefault(number // _APART, []).append(number % _APART)
    answers = {}
    for place, own in by_journal.items():
        with JournalReader(journals[place]) as reader:
            found = reader.records(own)
        for number, record in found.items():
            if record is not None and record.raw is not None:
                answers[place * _APART + number] = record.raw
    return answers
