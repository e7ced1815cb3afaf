"""The progress of a job over time, thinned out for display."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ...models import FanOutReport
from ..progress import JobProgress, rate

MOST_MOMENTS = 240
"""More than a chart can show apart."""

_SMOOTH, _SMOOTH_SHARE = 5.0, 60
"""Seconds, or share of the work, over which a rate is taken: over less, single answers dominate."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The progress of a job at one moment, with two rates."""

    worked: float
    """Seconds of work so far, over all runs; the time between runs is left out."""
    rate: float
    """Rows that ended in a second, over the last 5 s or the last sixtieth of the work, if that is longer."""
    rate_limited: int
    """429 answers since the moment before."""
    progress: JobProgress


def timeline(records: Sequence[JobProgress], most: int = MOST_MOMENTS) -> tuple[Moment, ...]:
    """Return the begin, the last progress record of each run, and about *most* evenly spaced ones."""
    runs, total = runs_of(records), worked(records)
    step, smooth = total / most, max(_SMOOTH, total / _SMOOTH_SHARE)
    moments = [Moment(0.0, 0.0, 0, _begin(records[0]))] if total else []
    before = 0.0
    for run in runs:
        recent = deque([JobProgress(run=run[0].run)])
        shown = recent[0]
        for now in run:
            recent.append(now)
            while len(recent) > 2 and now.elapsed - recent[1].elapsed >= smooth:
                recent.popleft()
            is_due = not step or (before + now.elapsed) // step > (before + shown.elapsed) // step
            # Many short runs share a step: then their last ones are too many as well.
            if is_due or (now is run[-1] and len(runs) < most):
                moments.append(_moment(before, recent[0], shown, now))
                shown = now
        before += run[-1].elapsed
    return tuple(moments)


def _begin(first: JobProgress) -> JobProgress:
    """Return the progress before anything was sent: the first record may be that of the end."""
    balance = first.statistics.balance
    statistics = replace(
        first.statistics, balance=None if balance is None else balance + first.spent, held=Decimal(0)
    )
    nothing = FanOutReport(credits_remaining=statistics.balance)
    return replace(
        first,
        rows=0,
        ok=0,
        failed=0,
        invalid=0,
        in_flight=0,
        waiting=0,
        fan_out=nothing,
        statistics=statistics,
    )


def runs_of(records: Sequence[JobProgress]) -> list[list[JobProgress]]:
    """Group progress records by run, in the order in which they were written."""
    runs: list[list[JobProgress]] = []
    for now in records:
        if not runs or runs[-1][-1].run != now.run:
            runs.append([])
        runs[-1].append(now)
    return runs


def cut_off(records: Sequence[JobProgress], *, running: bool) -> int:
    """Return the calls that were on their way when a run was cancelled or killed, by its last record.

    Those of the last run are still on their way if it is *running*.
    """
    lasts = [run[-1] for run in runs_of(records)]
    found = sum(last.in_flight + last.fan_out.cancelled for last in lasts)
    return found - lasts[-1].in_flight if running and lasts else found


def worked(records: Sequence[JobProgress]) -> float:
    """Return the seconds that all runs took together."""
    return math.fsum(run[-1].elapsed for run in runs_of(records))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds in at least one of *spans*, each from a begin to an end."""
    whole, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        whole += max(0.0, end - max(begin, until))
        until = max(until, end)
    return whole


def _moment(before: float, recent: JobProgress, shown: JobProgress, now: JobProgress) -> Moment:
    return Moment(
        worked=before + now.elapsed,
        rate=max(0.0, rate(recent, now) or 0.0),
        rate_limited=max(0, now.fan_out.rate_limited - shown.fan_out.rate_limited),
        progress=now,
    )
