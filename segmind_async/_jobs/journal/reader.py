"""Reads a journal, also one that another process is writing.

Every read transaction is short, so that the writer hardly ever waits for one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..._money.units import credits_of
from .checksums import answer_checksum, checksum, row_checksum
from .journal import PAID, SPENT, check_is_journal, read_fact
from .journal_error import JournalError, translated
from .lock import Lock
from .record import COLUMNS, Record
from .tables import read_settings

_AT_ONCE = 1024
"""Rows of one read."""

_NUMBER = COLUMNS.index("number")

_ROWS, _ROWS_WITH_ANSWERS = (
    f"SELECT {', '.join(COLUMNS)}, rows.checksum, answers.number IS NOT NULL, {answer} "  # noqa: S608  # names
    "FROM rows LEFT JOIN answers USING (number)"
    for answer in ("NULL, NULL", "raw, answers.checksum")
)
_DIGESTS = (
    "SELECT number, digest, status FROM rows WHERE number > ? AND number <= ? AND NOT replaced "
    "ORDER BY digest"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The progress of a job at one moment."""

    at: float
    """Epoch seconds."""
    facts: dict[str, object]
    """As `JobProgress.as_json` wrote it."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all rows ever sent, replaced ones included."""

    spent: Decimal
    attempts: int
    in_doubt: int
    unpriced: int
    """Answers for which the service named no cost."""


class JournalReader:
    """A journal, open for reading. Raises JournalError for a file that is not one, or does not exist."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise JournalError(
                f"there is no journal {str(path)!r}: it does not exist; name one that ends in .journal, "
                "or an output beside one"
            )
        self.path = path = path.resolve()
        # Open for writing, because a commit that a crash left unfinished is rolled back first.
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            self._database.execute("PRAGMA query_only = 1")
            self._database.execute("PRAGMA cell_size_check = 1")
            check_is_journal(self._database, path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._database.close()
            raise JournalError(f"the journal {str(path)!r} cannot be read ({error})") from error
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"JournalReader({str(self.path)!r})"

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    @property
    def owner(self) -> str | None:
        """Owner of the journal's lock, such as "process 4711"; None if it is free."""
        return Lock(self.path.with_name(self.path.name + ".lock")).holder()

    def settings(self) -> dict[str, object]:
        """Return the settings that must not change when the job is resumed."""
        with translated(self.path):
            return read_settings(self._database, self.path)

    def fact(self, name: str) -> object:
        """Return a fact about the job; None if it was never written."""
        with translated(self.path):
            return read_fact(self._database, self.path, name)

    def counts(self) -> dict[str, int]:
        """Return the number of finished rows by status."""
        query = "SELECT status, count(*) FROM rows WHERE NOT replaced GROUP BY status"
        return dict(self._fetched(query))

    def totals(self) -> Totals:
        """Return sums over all rows ever sent."""
        ((spent, attempts, in_doubt, unpriced),) = self._fetched(
            "SELECT coalesce(sum(units), 0), coalesce(sum(attempts), 0), coalesce(sum(in_doubt), 0), "
            "coalesce(sum(status = 'ok' AND units IS NULL), 0) FROM rows"
        )
        return Totals(credits_of(spent), attempts, in_doubt, unpriced)

    def spent(self) -> Decimal:
        """Return the credits that all answers have cost, as `Journal.spent`."""
        return credits_of(self._fetched(SPENT)[0][0])

    def may_be_paid(self) -> bool:
        """Return whether anything of the job was paid, or may have been."""
        return any(self._fetched(query)[0][0] for query in PAID)

    def costs(self) -> tuple[int, float, float]:
        """Return count, sum and sum of squares of what finished rows cost, in units; of those with a cost."""
        query = "SELECT count(units), total(units), total(1.0 * units * units) FROM rows WHERE NOT replaced"
        ((count, whole, squares),) = self._fetched(query)
        return count, whole, squares

    def rows(self, *, raw: bool = False) -> Iterator[Record]:
        """Yield the finished rows in the order in which they ended, their answers only if *raw*.

        Raises JournalError at one that is damaged: the job's next run asks it again.
        """
        columns = _ROWS_WITH_ANSWERS if raw else _ROWS
        query = f"{columns} WHERE number > ? AND NOT replaced ORDER BY number LIMIT ?"
        last = 0
        while found := self._fetched(query, last, _AT_ONCE):
            yield from map(self._checked, found)
            last = found[-1][_NUMBER]

    def whole_rows(self) -> Iterator[Record | None]:
        """Yield the finished rows as `rows`, and None for each that is damaged."""
        query, last = "SELECT number FROM rows WHERE number > ? AND NOT replaced ORDER BY number LIMIT ?", 0
        while numbers := [number for (number,) in self._fetched(query, last, _AT_ONCE)]:
            yield from self._found(_ROWS, numbers).values()
            last = numbers[-1]

    def records(self, numbers: Sequence[int]) -> dict[int, Record | None]:
        """Return the finished rows with these numbers, at most a thousand, and their answers.

        None for one that is damaged.
        """
        return self._found(_ROWS_WITH_ANSWERS, numbers)

    def _found(self, columns: str, numbers: Sequence[int]) -> dict[int, Record | None]:
        marks = f"({','.join('?' * len(numbers))})"
        query = f"{columns} WHERE number IN {marks} AND NOT replaced ORDER BY number"
        try:
            return {row[_NUMBER]: self._whole(row) for row in self._fetched(query, *numbers)}
        except JournalError:
            if len(numbers) == 1:
                return {numbers[0]: None}
        # A text that is none, or a broken page, is an error of the whole query.
        return {number: record for one in numbers for number, record in self._found(columns, [one]).items()}

    def last(self) -> int:
        """Return the number of the last row; 0 without any."""
        ((last,),) = self._fetched("SELECT coalesce(max(number), 0) FROM rows")
        return int(last)

    def digests(self, after: int, last: int) -> Iterator[tuple[int, bytes, str]]:
        """Yield number, digest and status of the finished rows from *after* (without it) to *last*.

        They come in the order of their digests, in which an index is made quickest.
        """
        with translated(self.path):
            yield from self._database.execute(_DIGESTS, (after, last))

    def _checked(self, row: Sequence[Any]) -> Record:
        record = self._whole(row)
        if record is None:
            raise self._damaged(row[_NUMBER])
        return record

    def _whole(self, row: Sequence[Any]) -> Record | None:
        """Return the record of a row; None if it is damaged."""
        *columns, whole, has_answer, text, of_answer = row
        if whole != row_checksum(tuple(columns), bool(has_answer), replaced=0):
            return None
        if text is not None and of_answer != answer_checksum(columns[_NUMBER], text):
            return None
        return Record(*[*columns, text])

    def answers(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return the answers of the records with these numbers, of those that have one."""
        answers = {}
        for number in numbers:
            for text, whole in self._fetched("SELECT raw, checksum FROM answers WHERE number = ?", number):
                if whole != answer_checksum(number, text):
                    raise self._damaged(number)
                answers[number] = text
        return answers

    def _damaged(self, number: int) -> JournalError:
        return JournalError(
            f"row {number} of the journal {str(self.path)!r} is damaged; run its job again, which asks that "
            "row again, or restore the journal"
        )

    def _fetched(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with translated(self.path):
            return self._database.execute(query, values).fetchall()

    def samples(self) -> list[Sample]:
        """Return the progress over time, oldest first."""
        found = self._fetched("SELECT number, at, facts, checksum FROM samples ORDER BY number")
        # A damaged one is left out: a curve lacks a point.
        return [
            Sample(at, json.loads(facts))
            for number, at, facts, whole in found
            if whole == checksum(number, at, facts)
        ]
