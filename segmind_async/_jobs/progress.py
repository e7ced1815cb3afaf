"""How a job stands at one moment, and what can be said of its end from that.

The runner fills a `Standing` in and writes it into the journal; whoever shows a job, now or years later,
works from these alone. It reads no clock: two standings tell how fast a job is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Final

from pydantic import TypeAdapter

from ..models import StopReason, WaitingFor

RECENT = 60.0
"""Seconds over which a rate is taken: long enough for slow answers, short enough to see a change."""

_STEPS = 32
"""Standings kept of these seconds."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job at one moment. Amounts are in credits; times are in seconds; None: not known."""

    run: int = 1
    """Which run of the job this is, from 1."""
    elapsed: float = 0.0
    """Since this run began."""
    rows: int = 0
    """Read from the input so far."""
    total: int | None = None
    """Rows of the input; None while they have not all been counted."""
    ok: int = 0
    """Answered in this run."""
    failed: int = 0
    """Failed in this run."""
    invalid: int = 0
    """Rows that can make no request."""
    resumed: int = 0
    """Finished by earlier runs, rightly or not."""
    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    """Attempts that may be in flight."""
    limit_reason: str = ""
    requests_per_minute: float | None = None
    """Pace in force; None: there is none."""
    pace_reason: str = ""
    waiting_for: WaitingFor | None = None
    """What the first of those that wait is waiting for."""
    balance: Decimal | None = None
    held: Decimal = Decimal(0)
    """Put aside for what is in flight or in doubt."""
    spent: Decimal = Decimal(0)
    """By this run."""
    spent_before: Decimal = Decimal(0)
    """By earlier runs."""
    floor: Decimal = Decimal(0)
    max_credits: Decimal | None = None
    """What this run may spend; None: as much as there is."""
    attempts: int = 0
    """Of this run."""
    rate_limited: int = 0
    """429 answers of this run."""
    in_doubt: int = 0
    """Attempts of this run that may have been paid twice."""
    outage: float | None = None
    """For how long the service has been failing for all; None if it works."""
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None
    mean_cost: Decimal | None = None
    """Of a row, as far as the service named costs."""
    stop_reason: StopReason | None = None
    """Why no more rows are sent; None while the job goes on."""
    stop_message: str | None = None
    """The details of `stop_reason`, for people to read."""

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

        A mean of nothing is no knowledge: only rows that failed have ended so far.
        """
        return self.pending * self.mean_cost if self.pending is not None and self.mean_cost else None

    @property
    def spendable(self) -> Decimal | None:
        """Credits left above the floor and within what this run may spend; None if neither is known."""
        bounds = []
        if self.balance is not None:
            bounds.append(self.balance - self.floor)
        if self.max_credits is not None:
            bounds.append(self.max_credits - self.spent)
        return max(Decimal(0), min(bounds)) if bounds else None

    def as_json(self) -> dict[str, object]:
        """Return the fields for a journal; amounts as strings, so that no digit is lost."""
        return {
            name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, object]) -> JobProgress:
        """Read what `as_json` wrote, here or in another release: fields it does not know are left out.

        Raises ValueError if a field holds what it cannot hold.
        """
        return _READS.validate_python(dict(facts))


_READS: Final = TypeAdapter(JobProgress)


def rate(earlier: JobProgress, now: JobProgress) -> float | None:
    """Return rows that ended in a second between two standings of one run; None if no time passed."""
    seconds = now.elapsed - earlier.elapsed
    return (now.ended - earlier.ended) / seconds if seconds > 0 else None


def spend_rate(earlier: JobProgress, now: JobProgress) -> float | None:
    """Return the credits a second by which the account falls, others' spending included; None as above."""
    seconds = now.elapsed - earlier.elapsed
    if seconds <= 0:
        return None
    fall = now.spent - earlier.spent
    if earlier.balance is not None and now.balance is not None:
        # A top-up in between hides the fall of the balance, but not what this job spent.
        fall = max(fall, earlier.balance - now.balance)
    return float(fall) / seconds


def seconds_to_end(now: JobProgress, rows_a_second: float | None) -> float | None:
    """Foretell when the last row ends, from the slower of pace and rate.

    None if nothing is known of the total or of the rate, or nothing moves.
    """
    pending = now.pending
    if pending is None:
        return None
    if not pending:
        return 0.0
    speeds = [] if rows_a_second is None else [rows_a_second]
    if now.requests_per_minute is not None and rows_a_second is not None:
        # The pace is one of attempts, and a row takes one or more.
        attempts = max(1.0, now.attempts / now.ended) if now.ended else 1.0
        speeds.append(now.requests_per_minute / 60 / attempts)
    slowest = min(speeds, default=0.0)
    return pending / slowest if slowest > 0 else None


def seconds_to_floor(now: JobProgress, credits_a_second: float | None) -> float | None:
    """Foretell when no more may be spent; None if it is not known, or nothing is being spent."""
    if now.spendable is None or not credits_a_second or credits_a_second < 0:
        return None
    return float(now.spendable) / credits_a_second


class Recent:
    """The standings of the last minute of one run, thinned out: the span that rates are taken over."""

    def __init__(self, span: float = RECENT) -> None:
        self._span = span
        self._kept: deque[JobProgress] = deque()
        self._now: JobProgress | None = None

    def __repr__(self) -> str:
        return f"Recent({len(self._kept)} standings)"

    def add(self, standing: JobProgress) -> None:
        """Take up how it stands now; one of another run begins anew."""
        if self._now is not None and self._now.run != standing.run:
            self._kept.clear()
        self._now = standing
        if not self._kept or standing.elapsed - self._kept[-1].elapsed >= self._span / _STEPS:
            self._kept.append(standing)
        # The first one outside stays: between it and now the whole span lies.
        while len(self._kept) > 1 and standing.elapsed - self._kept[1].elapsed >= self._span:
            self._kept.popleft()

    @property
    def rate(self) -> float | None:
        """Rows that ended in a second."""
        return None if self._now is None else rate(self._kept[0], self._now)

    @property
    def spend_rate(self) -> float | None:
        """Credits a second by which the account falls."""
        return None if self._now is None else spend_rate(self._kept[0], self._now)
