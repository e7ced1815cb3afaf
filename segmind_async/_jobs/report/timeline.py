"""How a job went over time, thinned out to what a page can show."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..progress import JobProgress, rate

MOST_MOMENTS = 240
"""More than a page shows apart."""

_SMOOTH, _SMOOTH_SHARE = 5.0, 60
"""Seconds, or share of the work, over which a rate is taken: single answers would make a saw of it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How a job stood at one moment of its work."""

    worked: float
    """Seconds of work so far, over all runs; the time between runs is left out."""
    rate: float
    """Rows that ended in a second, over the last 5 s or the last sixtieth of the work, if that is longer."""
    rate_limited: int
    """429 answers since the moment before."""
    progress: JobProgress


def timeline(standings: Sequence[JobProgress], most: int = MOST_MOMENTS) -> tuple[Moment, ...]:
    """Put the standings of all runs in a row: the last of each run, and about *most* evenly between."""
    runs, total = runs_of(standings), worked(standings)
    step, smooth = total / most, max(_SMOOTH, total / _SMOOTH_SHARE)
    moments: list[Moment] = []
    before = 0.0
    for run in runs:
        recent = deque([JobProgress(run=run[0].run)])
        told = recent[0]
        for standing in run:
            recent.append(standing)
            while len(recent) > 2 and standing.elapsed - recent[1].elapsed >= smooth:
                recent.popleft()
            is_due = not step or (before + standing.elapsed) // step > (before + told.elapsed) // step
            # Many short runs share a step: then their last ones are too many as well.
            if is_due or (standing is run[-1] and len(runs) < most):
                moments.append(_moment(before, recent[0], told, standing))
                told = standing
        before += run[-1].elapsed
    return tuple(moments)


def runs_of(standings: Sequence[JobProgress]) -> list[list[JobProgress]]:
    """Part standings by the run they are of, in the order in which they were written."""
    runs: list[list[JobProgress]] = []
    for standing in standings:
        if not runs or runs[-1][-1].run != standing.run:
            runs.append([])
        runs[-1].append(standing)
    return runs


def worked(standings: Sequence[JobProgress]) -> float:
    """Return the seconds that all runs took together."""
    return math.fsum(run[-1].elapsed for run in runs_of(standings))


def _moment(before: float, recent: JobProgress, told: JobProgress, now: JobProgress) -> Moment:
    return Moment(
        worked=before + now.elapsed,
        rate=max(0.0, rate(recent, now) or 0.0),
        rate_limited=max(0, now.fan_out.rate_limited - told.fan_out.rate_limited),
        progress=now,
    )
