"""Entries of a journal: a finished row, or an answer that was not parsed yet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple


@dataclass(slots=True)
class Record:
    """One finished row."""

    key: str
    """Identifies the row over all runs."""
    digest: bytes
    """Of its request: a row with another one is sent again."""
    status: str
    error_type: str | None = None
    """Class of its error."""
    message: str | None = None
    """Message of its error."""
    units: int | None = None
    """Its cost, in units of 10⁻¹⁰ credit; None if the service did not say."""
    seconds: float | None = None
    """From its first slot to its answer."""
    label: str | None = None
    truth: str | None = None
    """The right label, where the input names one."""
    source: bytes | None = None
    """Hash of the row of the input, whatever is made of it: recognises it after a change of settings."""
    number: int | None = None
    """Its place in the log, given when it is written; of several records of a key the last one counts."""
    attempts: int = 0
    in_doubt: int = 0
    """Attempts of it that may have been billed although their answer was lost."""
    at: float = 0.0
    """When it ended, in epoch seconds."""
    row_index: int | None = None
    """Its index in the input when it was sent."""
    parsed: str | None = None
    """The parsed answer, as JSON."""
    excerpt: str | None = None
    """Beginning of its question, for rows that a report may show."""
    raw: bytes | None = None
    """The provider's answer as it came."""
    replaces: int | None = None
    """Number of the record that this one replaces."""


class Draft(NamedTuple):
    """An answer that was received and not parsed."""

    key: str
    digest: bytes
    units: int | None
    """Cost of the row so far, in the run that received it."""
    raw: bytes

    def after(self, earlier: Draft | None) -> Draft:
        """Return this draft with the costs of earlier runs added."""
        if earlier is None or earlier.units is None or self.units is None or self.units > earlier.units:
            return self
        return self._replace(units=self.units + earlier.units)


COLUMNS = tuple(field.name for field in fields(Record) if field.name not in {"raw", "replaces"})
"""Columns of the table `rows`, in the order of a record's fields. Answers have a table of their own, so that
reading many rows does not read them all."""
