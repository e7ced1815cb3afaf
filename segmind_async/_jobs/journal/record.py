"""What a journal holds of a row: how it ended, or an answer that nobody has come to read yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Record:
    """One finished row."""

    key: str
    """What the row is known by, over all runs."""
    digest: bytes
    """What its request was: a row with another one is asked again."""
    status: str
    kind: str | None = None
    """Class of its error."""
    message: str | None = None
    """What its error says."""
    place: int | None = None
    """Its index in the input when it was sent."""
    units: int | None = None
    """What it cost, in units of 10⁻¹⁰ credit; None if the service did not say."""
    seconds: float | None = None
    """From its first slot to its answer."""
    attempts: int = 0
    in_doubt: int = 0
    """Attempts of it that may have been billed although their answer was lost."""
    at: float = 0.0
    """When it ended, in epoch seconds."""
    label: str | None = None
    truth: str | None = None
    """The right label, where the input names one."""
    parsed: str | None = None
    """What was read from the answer, as JSON."""
    excerpt: str | None = None
    """How its question begins, for rows that are worth a look."""
    raw: bytes | None = None
    """The provider's answer as it came."""
    number: int | None = None
    """Its place in the log, once it was written; of several records of a key the last one counts."""
    replaces: int | None = None
    """Number of the record in whose place it stands."""


class Draft(NamedTuple):
    """An answer as it came, before anything was read from it."""

    key: str
    digest: bytes
    units: int | None
    """What the row has cost so far, in the run that received it."""
    raw: bytes

    def after(self, earlier: Draft | None) -> Draft:
        """Return this draft with what the row has cost in the runs before."""
        if earlier is None or earlier.units is None or self.units is None or self.units > earlier.units:
            return self
        return self._replace(units=self.units + earlier.units)


COLUMNS = (
    "key", "digest", "status", "kind", "message", "place", "units", "seconds", "attempts", "in_doubt", "at",
    "label", "truth", "parsed", "excerpt",
)  # fmt: skip
"""Those of a record that stand in `rows`; answers are in a table of their own, so that looking through
many rows does not read them all."""
