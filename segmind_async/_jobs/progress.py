"""The progress of a job, and estimates of when it ends.

A run writes its `JobProgress` into the journal; displays and reports work from these alone. Reads no clock:
rates are differences of two progress records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from pydantic import TypeAdapter

from ..models import FanOutReport, Statistics

RECENT = 60.0
"""Seconds over which a rate is taken: long enough for slow answers, short enough to see a change."""

_STEPS = 32
"""Progress records kept of these seconds."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What the calls of one run have come to with one of several keys."""

    name: str
    """What may be shown of the key, as in `KeyStatistics`."""
    spent: Decimal = Decimal(0)
    """Credits that the service has named as their costs."""
    rate_limited: int = 0
    """Their 429 answers."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job at one moment. Amounts are in credits; times are in seconds; None: not known."""

    run: int = 1
    """Number of this run of the job, from 1."""
    rows: int = 0
    """Read from the input so far."""
    total: int | None = None
    """Rows of the input: exact once this run has read it to its end; before that as an estimate of the job or
    an earlier run counted them; None if neither did."""
    counted: int = 0
    """Rows of the input that have been counted while *total* is not known: it has at least so many."""
    ok: int = 0
    """Answered in this run."""
    failed: int = 0
    """Failed in this run."""
    invalid: int = 0
    """Rows that make no request."""
    resumed: int = 0
    """Finished by earlier runs, ok or failed."""
    in_flight: int = 0
    """Attempts of this job."""
    waiting: int = 0
    """Attempts of this job that wait to be sent."""
    spent_before: Decimal = Decimal(0)
    """By earlier runs."""
    floor: Decimal = Decimal(0)
    """Credits that it leaves on the account; with several keys on all accounts together."""
    max_credits: Decimal | None = None
    """Budget of the job, over all its runs; None: the whole balance."""
    fan_out: FanOutReport = field(default_factory=FanOutReport)
    """What this run sent."""
    statistics: Statistics = field(default_factory=Statistics)
    """Of the client, which other calls may share."""
    keys: tuple[KeyUse, ...] = ()
    """What this run has come to with each key; empty with one key."""

    @property
    def elapsed(self) -> float:
        """Seconds since this run began."""
        return self.fan_out.elapsed

    @property
    def spent(self) -> Decimal:
        """Credits spent by this run."""
        return self.fan_out.spent

    @property
    def spent_by_all(self) -> Decimal:
        """Credits spent by all runs of the job so far."""
        return self.spent_before + self.spent

    @property
    def mean_cost(self) -> Decimal | None:
        """Credits of a row of this run; None if no costs are known."""
        priced = self.fan_out.ok + self.fan_out.failed - self.fan_out.unpriced
        return self.spent / priced if priced > 0 else None

    @property
    def ended(self) -> int:
        """Rows that ended in this run."""
        return self.ok + self.failed

    @property
    def done(self) -> int:
        """Rows that need nothing more, whenever they ended."""
        return self.ended + self.invalid + self.resumed

    @property
    def pending(self) -> int | None:
        """Rows still to end, those in flight included; None while the total is not known."""
        return None if self.total is None else max(0, self.total - self.done)

    @property
    def needed(self) -> Decimal | None:
        """Credits that the pending rows will cost at the mean so far; None if either is not known.

        Not known while the mean is 0: only failed rows have ended so far.
        """
        return self.pending * self.mean_cost if self.pending is not None and self.mean_cost else None

    @property
    def spendable(self) -> Decimal | None:
        """Credits left above the floor and within what the job may spend; None if neither is known."""
        bounds = []
        if self.statistics.balance is not None:
            bounds.append(self.statistics.balance - self.floor)
        if self.max_credits is not None:
            bounds.append(self.max_credits - self.spent_by_all)
        return max(Decimal(0), min(bounds)) if bounds else None

    def as_json(self) -> dict[str, object]:
        """Return the fields for a journal; amounts as strings, so that no digit is lost."""
        facts: dict[str, object] = _ADAPTER.dump_python(self, mode="json")
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, object]) -> JobProgress:
        """Read what `as_json` wrote, here or in another release: fields it does not know are left out.

        Raises ValueError if a field holds what it cannot hold.
        """
        return _ADAPTER.validate_python(dict(facts))


_ADAPTER: Final = TypeAdapter(JobProgress)


def rate(earlier: JobProgress, now: JobProgress) -> float | None:
    """Return rows that ended a second between two progress records of one run; None if no time passed."""
    seconds = now.elapsed - earlier.elapsed
    return (now.ended - earlier.ended) / seconds if seconds > 0 else None


def spend_rate(earlier: JobProgress, now: JobProgress) -> float | None:
    """Return the credits a second by which the account falls, others' spending included; None as above."""
    seconds = now.elapsed - earlier.elapsed
    if seconds <= 0:
        return None
    fall = now.spent - earlier.spent
    if earlier.statistics.balance is not None and now.statistics.balance is not None:
        # A top-up in between hides the fall of the balance, but not what this job spent.
        fall = max(fall, earlier.statistics.balance - now.statistics.balance)
    return float(fall) / seconds


def seconds_to_end(now: JobProgress, rows_a_second: float | None) -> float | None:
    """Estimate the seconds until the last row ends, from the slower of pace and rate.

    None if the total or the rate is not known, or the rate is 0.
    """
    pending = now.pending
    if pending is None:
        return None
    if not pending:
        return 0.0
    speeds = [] if rows_a_second is None else [rows_a_second]
    if now.statistics.requests_per_minute is not None and rows_a_second is not None:
        # The pace is one of attempts, and a row takes one or more.
        attempts = max(1.0, now.fan_out.attempts / now.ended) if now.ended else 1.0
        speeds.append(now.statistics.requests_per_minute / 60 / attempts)
    slowest = min(speeds, default=0.0)
    return pending / slowest if slowest > 0 else None


def seconds_to_floor(now: JobProgress, credits_a_second: float | None) -> float | None:
    """Estimate the seconds until no more may be spent; None if not known, or nothing is spent."""
    if now.spendable is None or not credits_a_second or credits_a_second < 0:
        return None
    return float(now.spendable) / credits_a_second


class Recent:
    """The progress records of the last minute of one run, thinned out, for rates over that time."""

    def __init__(self, span: float = RECENT) -> None:
        self._span = span
        self._kept: deque[JobProgress] = deque()
        self._now: JobProgress | None = None
        self._stopped: JobProgress | None = None
        """The first record after the job had been stopped."""

    def __repr__(self) -> str:
        return f"Recent({len(self._kept)} records)"

    def add(self, now: JobProgress) -> None:
        """Add the present progress; one of another run discards the earlier ones."""
        if self._now is not None and self._now.run != now.run:
            self._kept.clear()
        self._now = now
        if now.fan_out.stop_reason is None:
            self._stopped = None
        elif self._stopped is None:
            self._stopped = now
        if not self._kept or now.elapsed - self._kept[-1].elapsed >= self._span / _STEPS:
            self._kept.append(now)
        # The first one outside stays: between it and now the whole span lies.
        while len(self._kept) > 1 and now.elapsed - self._kept[1].elapsed >= self._span:
            self._kept.popleft()

    @property
    def rate(self) -> float | None:
        """Rows that ended in a second."""
        return None if self._now is None else rate(self._kept[0], self._now)

    @property
    def stopped_for(self) -> float:
        """Seconds since the job was stopped; 0 if it was not."""
        if self._now is None or self._stopped is None:
            return 0.0
        return self._now.elapsed - self._stopped.elapsed

    @property
    def spend_rate(self) -> float | None:
        """Credits a second by which the account falls."""
        return None if self._now is None else spend_rate(self._kept[0], self._now)
