"""What went through each of several keys, over all runs of a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from ..journal.reader import Sample
from ..progress import JobProgress
from .timeline import runs_of


@dataclass(frozen=True, slots=True)
class KeyReport:
    """One of several keys of a job. Amounts are in credits.

    What a run sent after its last progress record, because it was killed, is not in it, and no run that had
    one key.
    """

    name: str
    """What may be shown of the key: its last four characters."""
    spent: Decimal = Decimal(0)
    rate_limited: int = 0
    """429 answers."""
    state: str = ""
    """As last known, in the words of `KeyStatistics`."""
    balance: Decimal | None = None
    """As last known; None if it never was."""


class KeySums:
    """Adds up journals of one job."""

    def __init__(self) -> None:
        self._keys: dict[str, KeyReport] = {}
        self._seen_at: dict[str, float] = {}
        """When the state of each key was recorded, in epoch seconds."""

    def __repr__(self) -> str:
        return f"KeySums({list(self._keys)})"

    def add(self, records: list[JobProgress], samples: Iterable[Sample]) -> None:
        """Add the runs of a journal: its progress *records*, made of *samples*."""
        ends = {id(progress): sample.at for progress, sample in zip(records, samples, strict=True)}
        for run in runs_of(records):
            self._add_run(run[-1], ends[id(run[-1])])

    def _add_run(self, last: JobProgress, at: float) -> None:
        for use in last.keys:
            key = self._keys.get(use.name, KeyReport(use.name))
            self._keys[use.name] = replace(
                key, spent=key.spent + use.spent, rate_limited=key.rate_limited + use.rate_limited
            )
        for known in last.statistics.keys:
            if known.name in self._keys and at >= self._seen_at.get(known.name, 0.0):
                self._seen_at[known.name] = at
                self._keys[known.name] = replace(
                    self._keys[known.name], state=known.state, balance=known.balance
                )

    def reports(self) -> tuple[KeyReport, ...]:
        """Return the keys in the order in which they were first used."""
        return tuple(self._keys.values())
