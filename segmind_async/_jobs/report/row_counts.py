"""What has become of rows, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...models import FanOutReport
from ..journal.record import Record

INVALID_ROW = "InvalidRow"
"""Class of the error of a row that could not be made a request."""


@dataclass(slots=True)
class RowCounts:
    """What has become of rows, in whatever run."""

    counts: Counter[str] = field(default_factory=Counter)
    """Rows by status; they add up to the rows of the input, without those that are `repeated`."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed rows by the class of their error."""
    examples: dict[str, str] = field(default_factory=dict)
    """What the first failed row of each class says."""
    right: int = 0
    judged: int = 0
    """Rows with a known truth that were answered with a label, and how many of them rightly."""
    repeated: int = 0
    """Rows that were not asked because one before them asks the same."""

    @property
    def accuracy(self) -> float | None:
        """Share of the judged rows that are right; None if none was judged."""
        return self.right / self.judged if self.judged else None

    def count(self, status: str, error_type: str | None, message: str | None) -> None:
        """Book one row."""
        self.counts[str(status)] += 1
        if error_type is not None:
            self.errors[error_type] += 1
            self.examples.setdefault(error_type, message or "")

    def book(self, record: Record) -> None:
        """Book a row that was asked, and judge it where its truth is known."""
        self.count(record.status, record.error_type, record.message)
        if record.label is not None and record.truth is not None:
            self.judged += 1
            self.right += record.label == record.truth

    def add(self, other: RowCounts) -> None:
        """Book all rows of another tally."""
        self.counts.update(other.counts)
        self.errors.update(other.errors)
        self.examples = {**other.examples, **self.examples}
        self.right += other.right
        self.judged += other.judged
        self.repeated += other.repeated


@dataclass(slots=True)
class JobReport(RowCounts):
    """What a job did, earlier runs included."""

    resumed: int = 0
    """Rows that an earlier run had finished."""
    recovered: int = 0
    """Queued requests of an earlier run whose answers were fetched instead of asking again."""
    resubmitted: int = 0
    """Those of them that the service no longer knew: their rows may have been paid twice."""
    fan_out: FanOutReport | None = None
    """What this run did."""
