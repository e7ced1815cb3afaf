"""Samples of a job's rows: errors by class, misjudged, slowest, most expensive and ordinary rows.

Gets every finished row, live or from a journal, and keeps a fixed number.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice, zip_longest
from typing import TypeAlias
from zlib import crc32

from ..._money.units import credits_of
from ...models import Status
from ..journal.record import Record

KEPT = 10
"""Rows of each sample."""

_MOST_GROUPS = 64
"""Classes of errors, or pairs of labels, that are told apart."""

_OF_EACH = 3
"""Rows of each group that are kept: more rows with the same error add nothing."""

_MOST_TEXT = 300
"""Characters of an error's or a question's text that are kept."""

OTHERS = "other errors"


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of a sample, as far as it is shown."""

    name: str
    """Id of the row, or the beginning of its digest."""
    row_index: int | None
    """Its index in the input."""
    error: str | None
    """Class of its error; None if it has none."""
    message: str | None
    label: str | None
    truth: str | None
    cost: Decimal | None
    seconds: float | None
    attempts: int
    excerpt: str | None
    """Beginning of its question."""
    number: int | None = None
    """The number of its record in the journal."""
    answer: str | None = None
    """Beginning of its answer, in a report; None if it has none."""


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """Failed rows with errors of one class."""

    name: str
    count: int
    example: SampleRow
    """The first of them."""


class Samples:
    """Keeps failed, misjudged, slowest, most expensive and ordinary rows, at most *kept* of each."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._counts: Counter[str] = Counter()
        self._failed = _Spread()
        self._misjudged = _Spread()
        self._slowest = _Largest(kept)
        self._dearest = _Largest(kept)
        self._ordinary = _Largest(kept)
        self.misjudged_count: int = 0

    def __repr__(self) -> str:
        return f"Samples({self._counts.total()} failed, {len(self._counts)} classes)"

    def add(self, record: Record) -> None:
        """Add one finished row, in O(log kept)."""
        if record.status == Status.FAILED:
            name = record.error_type or "Error"
            if name not in self._counts and len(self._counts) >= _MOST_GROUPS:
                name = OTHERS
            self._counts[name] += 1
            self._failed.add(name, record)
        elif is_misjudged(record):
            self.misjudged_count += 1
            self._misjudged.add((record.truth, record.label), record)
        for largest, size in self._sizes(record):
            largest.add(size, record)

    def wants(self, record: Record) -> bool:
        """Return whether a report may show this row, if it is added next: then its question is worth keeping.

        A row that a report over several runs shows is also wanted by the samples of its own run.
        """
        is_group = record.status == Status.FAILED or is_misjudged(record)
        return is_group or any(largest.takes(size) for largest, size in self._sizes(record))

    def _sizes(self, record: Record) -> Iterator[tuple[_Largest, float]]:
        if record.seconds is not None:
            yield self._slowest, record.seconds
        if record.units is not None:
            yield self._dearest, record.units
        if record.status == Status.OK and not is_misjudged(record):
            # By a hash they are spread over the whole job, and the same in each report.
            yield self._ordinary, crc32(record.key.encode(errors="replace"))

    @property
    def errors(self) -> list[ErrorClass]:
        """Failed rows by class, the most frequent first."""
        first = self._failed.first
        return [ErrorClass(name, count, first(name)) for name, count in self._counts.most_common()]

    @property
    def failed(self) -> list[SampleRow]:
        """Failed rows, spread over as many classes of errors as possible."""
        return self._failed.rows(self._kept)

    @property
    def misjudged(self) -> list[SampleRow]:
        """Rows whose label is not the right one, of as many confusions as there are."""
        return self._misjudged.rows(self._kept)

    @property
    def failed_count(self) -> int:
        """All failed rows."""
        return self._counts.total()

    @property
    def ordinary(self) -> list[SampleRow]:
        """Answered rows that were not misjudged, drawn from the whole job."""
        return self._ordinary.rows()

    @property
    def slowest(self) -> list[SampleRow]:
        """The rows that took longest, the longest first."""
        return self._slowest.rows()

    @property
    def dearest(self) -> list[SampleRow]:
        """The rows that cost most, the dearest first."""
        return self._dearest.rows()


def is_misjudged(record: Record) -> bool:
    """Return whether the right label is known and another one was given."""
    return record.label is not None and record.truth is not None and record.label != record.truth


def shown_name(key: str) -> str:
    """Return the name of a row for display: its id, or the beginning of its digest."""
    namespace, _, name = key.partition(" ")
    return name if namespace == "id" else key[: len("request ") + 12]


def _sample_row(record: Record) -> SampleRow:
    return SampleRow(
        name=clipped(shown_name(record.key)) or "",
        row_index=record.row_index,
        error=record.error_type,
        message=clipped(record.message),
        label=clipped(record.label),
        truth=clipped(record.truth),
        cost=None if record.units is None else credits_of(record.units),
        seconds=record.seconds,
        attempts=record.attempts,
        excerpt=clipped(record.excerpt),
        number=record.number,
    )


def clipped(text: str | None) -> str | None:
    """Return the beginning of a text, as long as a sample keeps it."""
    return text if text is None or len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


class _Spread:
    """The first rows of each group."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, list[SampleRow]] = {}

    def add(self, group: Hashable, record: Record) -> None:
        rows = self._groups.get(group)
        if rows is None and len(self._groups) <= _MOST_GROUPS:
            rows = self._groups[group] = []
        if rows is not None and len(rows) < _OF_EACH:
            rows.append(_sample_row(record))

    def first(self, group: Hashable) -> SampleRow:
        return self._groups[group][0]

    def rows(self, most: int) -> list[SampleRow]:
        """Take the first of each group, then the second of each, and so on."""
        turns = chain.from_iterable(zip_longest(*self._groups.values()))
        return list(islice((row for row in turns if row is not None), most))


_Ranked: TypeAlias = tuple[float, int, SampleRow]


class _Largest:
    """The rows with the largest sizes; of equal ones the first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[_Ranked] = []
        self._seen = 0

    def add(self, size: float, record: Record) -> None:
        self._seen += 1
        if not self.takes(size):
            return  # nearly every row
        ranked = (size, -self._seen, _sample_row(record))
        if len(self._heap) >= self._most:
            heapq.heapreplace(self._heap, ranked)
        else:
            heapq.heappush(self._heap, ranked)

    def takes(self, size: float) -> bool:
        return len(self._heap) < self._most or size > self._heap[0][0]

    def rows(self) -> list[SampleRow]:
        return [row for _, _, row in sorted(self._heap, reverse=True)]
