"""What calls in flight, and one more, may still cost together: the amount that must lie above the floor.

The cumulants of independent calls add, and a quantile of a shifted lognormal with the same three cumulants
bounds their sum. With one call left that is nearly the call's own quantile, with many the normal one: no
special case for the last call. What all calls share, the error of the mean itself, does not average out
and is added apart.

A quantile knows only of kinds of calls that have finished. Until many have, the expected sum and what calls
of an unseen kind may cost can be more, and is then what is held.

The sum is kept up: a call that starts or ends changes it by its own part, and it is made anew only when
ages or estimates have changed, so that a grant costs the same however many are in flight.

Pure. Amounts are units of 10⁻¹⁰ credit; times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from .cost_model import Z_LAST, CostModel, InFlightCall, Z
from .lognormal import NO_MOMENTS, Moments

_AGES_A_CALL = 16
"""Times that the sum is made anew while a typical call is out."""

_GROWTH = 3
"""Power of its age with which the expected cost of a call grows at most: the steepest that is believed."""


class Exposure:
    """All calls in flight that draw on one budget."""

    __slots__ = ("_at", "_held", "_kept_up", "_last", "_most", "_parts", "_versions")

    def __init__(self) -> None:
        self._held: dict[InFlightCall, Moments] = {}
        """Calls, and their part of the sum; of no meaning while the sum is not kept up."""
        self._most = 0
        self._kept_up = False
        self._parts: dict[CostModel, _Part] = {}
        """The sum, by the cost model that predicts its calls."""
        self._at = -math.inf
        self._versions = 0
        self._last = _Required(-math.inf, 0, 0)

    def __repr__(self) -> str:
        return f"Exposure({len(self._held)} calls)"

    def __len__(self) -> int:
        return len(self._held)

    def add(self, held: InFlightCall) -> None:
        """Put a call in flight."""
        self._most += held.summand_bound
        if self._kept_up:
            self._put(held, held.model.moments(0.0, held.predicted))
        else:
            self._held[held] = NO_MOMENTS

    def remove(self, held: InFlightCall) -> None:
        """Take it out again."""
        moments = self._held.pop(held)
        self._most -= held.summand_bound
        if self._kept_up:
            self._parts[held.model].remove(held, moments)

    def fits(self, room: float, candidate: InFlightCall, others: Moments = NO_MOMENTS) -> bool:
        """Return whether *room* units cover all in flight, one call more at its start, and *others*.

        In constant time while there is plenty: the sum over calls is only made where it may decide.
        """
        now = candidate.started_at
        most = self._most + candidate.summand_bound + others.mean + Z * math.sqrt(others.variance)
        if most <= room and (not self._has_overdue(now) or self._has_grown_within(room, most, candidate)):
            self._kept_up = False
            return True
        if room <= 0:
            return False
        units = self.required(now, candidate.model, candidate.predicted, others)
        self._last = _Required(now, units, len(self._held) + 1)
        return units <= room

    def _has_more_overdue(self, at: float, now: float) -> bool:
        """Return whether a call outlasts all finished ones now that did not at *at*."""
        for held in self._held:
            due = held.started_at + held.model.slowest
            if due > at:
                return due <= now
        return False

    def _has_grown_within(self, room: float, most: float, candidate: InFlightCall) -> bool:
        """Return whether *room* is enough for what was required within the time of a call, grown since.

        What has started since is bounded by *most*. The rest was in that sum, and grows with its age and, as
        it tells how dear a next call may be, with the number of calls. One more that outlasts all is a leap.
        """
        at, units, calls = self._last
        passed, latency = candidate.started_at - at, candidate.model.latency()
        if not passed < latency or self._has_more_overdue(at, candidate.started_at):
            return False
        times = max(1.0, (len(self._held) + 1) / calls) * (1 + passed / latency) ** _GROWTH
        return most + times * units <= room

    def _has_overdue(self, now: float) -> bool:
        """Return whether a call outlasts all finished ones: no bound from these holds for it."""
        oldest = next(iter(self._held), None)
        return oldest is not None and now - oldest.started_at >= oldest.model.slowest

    def mean(self, now: float) -> float:
        """Return the units that all in flight are expected to cost."""
        self._bring_up(now, None)
        return sum(part.mean for part in self._parts.values())

    def required(
        self,
        now: float,
        candidate: CostModel | None,
        predicted: float | None = None,
        others: Moments = NO_MOMENTS,
    ) -> int:
        """Return the units that all in flight, and *candidate*, may still cost together."""
        if candidate is not None:
            candidate.fitted(now)
        self._bring_up(now, candidate)
        sums = _Sums(others)
        fresh = NO_MOMENTS if candidate is None else candidate.moments(0.0, predicted)
        for model, part in self._parts.items():
            if part.calls or model is candidate:
                sums.add(model, part, fresh if model is candidate else NO_MOMENTS)
        if candidate is not None and candidate not in self._parts:
            sums.add(candidate, _Part(), fresh)
        if not self._held:
            return math.ceil(sums.quantile(Z_LAST))
        return math.ceil(max(sums.quantile(Z), sums.mean + self._unseen(candidate, fresh.mean)))

    def _unseen(self, candidate: CostModel | None, fresh: float) -> float:
        """Return the units more that calls of kinds may cost of which none has finished."""
        units = 0.0
        for model, part in self._parts.items():
            calls, mean = part.calls, part.mean
            if model is candidate:
                calls, mean = calls + 1, mean + fresh
            if calls and model.known:
                # More is expected of old calls already: it must not be taken 60 times.
                usual = min(model.typical(), mean / calls)
                units += usual * model.unseen(calls, len(part.outlasting))
        return units

    def _bring_up(self, now: float, candidate: CostModel | None) -> None:
        """Make the sum anew if calls have aged since, or estimates have changed."""
        versions = 0
        for model, part in self._parts.items():
            if part.calls:
                model.fitted(now)
                versions += model.version
        step = 0.0 if candidate is None else candidate.latency() / _AGES_A_CALL
        unchanged = self._kept_up and versions == self._versions and now - self._at <= step
        if unchanged and not self._has_more_overdue(self._at, now):
            return
        self._parts = {}
        for held in self._held:
            age = now - held.started_at
            held.model.fitted(now)
            self._put(held, held.model.moments(age, held.predicted))
            if age >= held.model.slowest:
                self._parts[held.model].outlasting.add(held)
        self._kept_up, self._at = True, now
        self._versions = sum(model.version for model in self._parts)

    def _put(self, held: InFlightCall, moments: Moments) -> None:
        self._held[held] = moments
        part = self._parts.get(held.model)
        if part is None:
            part = self._parts[held.model] = _Part()
        part.mean += moments.mean
        part.variance += moments.variance
        part.third += moments.third
        part.calls += 1


def required_by(calls: Iterable[tuple[CostModel, float]], now: float) -> int:
    """Return the units that calls may cost together which run without us, by their cost models and ages."""
    exposure = Exposure()
    for model, age in calls:
        exposure.add(InFlightCall(model, now - age, None, model.summand_bound(None)))
    return exposure.required(now, None) if len(exposure) else 0


class _Required(NamedTuple):
    """What calls in flight were found to require."""

    at: float
    units: int
    calls: int


class _Part:
    """Cumulants of the calls in flight that one cost model predicts."""

    __slots__ = ("calls", "mean", "outlasting", "third", "variance")

    def __init__(self) -> None:
        self.mean = self.variance = self.third = 0.0
        self.calls = 0
        self.outlasting: set[InFlightCall] = set()
        """Those that were out longer than any finished one when the sum was made."""

    def remove(self, held: InFlightCall, moments: Moments) -> None:
        self.outlasting.discard(held)
        self.mean -= moments.mean
        self.variance -= moments.variance
        self.third -= moments.third
        self.calls -= 1


class _Sums:
    """Cumulants of a sum over cost models, and the quantile that follows."""

    __slots__ = ("_third", "_variance", "mean")

    def __init__(self, others: Moments) -> None:
        self.mean: float
        self.mean, self._variance, self._third = others

    def add(self, model: CostModel, part: _Part, fresh: Moments) -> None:
        mean = part.mean + fresh.mean
        shared = model.uncertainty()
        # The error of the mean is a common factor, lognormal with this relative variance.
        self.mean += mean
        self._variance += part.variance + fresh.variance + mean**2 * shared
        self._third += part.third + fresh.third + mean**3 * shared**2 * (shared + 3)

    def quantile(self, z: float) -> float:
        """Return the quantile, at *z* standard deviations, of a shifted lognormal with these cumulants.

        At least the mean, which exceeds the quantile where hardly any call makes up most of it.
        """
        variance, third = self._variance, self._third
        if variance <= 0:
            return self.mean
        skewness = third / variance**1.5
        if skewness < 1e-3:
            return self.mean + z * math.sqrt(variance)
        # The lognormal with this skewness: (w + 2)² (w - 1) = skewness², solved for w.
        square = skewness * skewness
        root = ((square + 2 + math.sqrt(square * square + 4 * square)) / 2) ** (1 / 3)
        w = root + 1 / root - 1
        scale = math.sqrt(variance / (w - 1))
        width = math.sqrt(math.log(w))
        return self.mean + scale * max(0.0, math.expm1(z * width - width * width / 2))
