"""Counts of rows by status and error."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...models import FanOutReport, Status
from ..journal.record import Record

INVALID_ROW = "InvalidRow"
"""Error type of an invalid row."""


@dataclass(slots=True)
class RowCounts:
    """Counts of rows, of any run."""

    counts: Counter[str] = field(default_factory=Counter)
    """Rows by status; the sum is the rows of the input without those that are `repeated`."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed rows by the class of their error."""
    examples: dict[str, str] = field(default_factory=dict)
    """Message of the first failed row of each class."""
    right: int = 0
    judged: int = 0
    """Rows with a known truth that were answered with a label, and how many of them rightly."""
    repeated: int = 0
    """Rows that were not sent because an earlier one has the same request."""

    @property
    def accuracy(self) -> float | None:
        """Share of the judged rows that are right; None if none was judged."""
        return self.right / self.judged if self.judged else None

    def count(self, status: str, error_type: str | None, message: str | None) -> None:
        """Count one row."""
        self.counts[str(status)] += 1
        if error_type is not None:
            self.errors[error_type] += 1
            self.examples.setdefault(error_type, message or "")

    def add(self, record: Record) -> None:
        """Count a row that was sent, and judge it if its right label is known."""
        if record.error_type is None:
            self.counts[str(record.status)] += 1
        else:
            self.count(record.status, record.error_type, record.message)
        if record.label is not None and record.truth is not None:
            self.judged += 1
            self.right += record.label == record.truth


@dataclass(slots=True)
class JobReport(RowCounts):
    """Results of a job, earlier runs included."""

    @property
    def given_up(self) -> int:
        """Failed rows that were sent, and are sent again only if that is asked for."""
        known = self.errors[INVALID_ROW] + self.never_sent + self.asked_again
        return self.counts[Status.FAILED] - known

    resumed: int = 0
    """Rows that an earlier run finished."""
    recovered: int = 0
    """Queued requests of an earlier run whose answers were fetched instead of sending them again."""
    resubmitted: int = 0
    """Those of them that the service no longer knew: they were sent again, and may be paid twice."""
    kept: int = 0
    """Finished rows that stay although settings have changed since."""
    damaged: int = 0
    """Rows whose answers in the journal were damaged when it was opened: they are asked again."""
    never_sent: int = 0
    """Failed rows whose request could not be sent, such as one that exceeds the model's context."""
    asked_again: int = 0
    """Failed rows that the next run sends again: the service failed for all, or refused key or model."""
    fan_out: FanOutReport | None = None
    """Report of this run's fan-out."""

    def without_rows(self) -> JobReport:
        """Return what this report says of the journal and of repeated rows, with no rows counted yet."""
        return JobReport(
            repeated=self.repeated,
            resumed=self.resumed,
            recovered=self.recovered,
            resubmitted=self.resubmitted,
            damaged=self.damaged,
        )
