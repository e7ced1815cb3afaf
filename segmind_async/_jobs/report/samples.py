"""Samples of a job's rows: errors by class, misjudged, slowest and most expensive rows.

Gets every finished row, live or from a journal, and keeps a fixed number.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice, zip_longest
from typing import TypeAlias

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


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """Failed rows with errors of one class."""

    name: str
    count: int
    example: SampleRow
    """The first of them."""


class Samples:
    """Keeps failed, misjudged, slowest and most expensive rows, at most *kept* of each."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._counts: Counter[str] = Counter()
        self._failed = _Spread()
        self._misjudged = _Spread()
        self._slowest = _Largest(kept)
        self._dearest = _Largest(kept)

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
            self._misjudged.add((record.truth, record.label), record)
        if record.seconds is not None:
            self._slowest.add(record.seconds, record)
        if record.units is not None:
            self._dearest.add(record.units, record)

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
        name=_clipped(shown_name(record.key)) or "",
        row_index=record.row_index,
        error=record.error_type,
        message=_clipped(record.message),
        label=_clipped(record.label),
        truth=_clipped(record.truth),
        cost=None if record.units is None else credits_of(record.units),
        seconds=record.seconds,
        attempts=record.attempts,
        excerpt=_clipped(record.excerpt),
    )


def _clipped(text: str | None) -> str | None:
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
        full = len(self._heap) >= self._most
        if full and size <= self._heap[0][0]:
            return  # nearly every row
        ranked = (size, -self._seen, _sample_row(record))
        if full:
            heapq.heapreplace(self._heap, ranked)
        else:
            heapq.heappush(self._heap, ranked)

    def rows(self) -> list[SampleRow]:
        return [row for _, _, row in sorted(self._heap, reverse=True)]
