"""What calls in flight, and one more, may still cost together: the amount that must lie above the floor.

What is in flight is no sample of what has finished: dear calls last longer, so the longer a call has
been out, the dearer it will be. For each call its cost is therefore taken *given its age*, from a joint
lognormal of cost and latency; the cumulants of independent calls add, and a quantile of a shifted
lognormal with the same three cumulants bounds their sum. With one call left that is the call's own
quantile, with many the normal one: no special case for the last call.

Amounts are units of 10⁻¹⁰ credit, as floats inside a statistic and as integers at its border; ages are
seconds. Pure; the time comes in as an argument.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice

from .lognormal import (
    Z_ALONE,
    Finished,
    Fit,
    Moments,
    Sums,
)

KEPT = 400
"""Finished calls that the statistics rest on: enough for a tail, few enough to follow a change."""

Z = 2.6
"""Quantile of the sum, in standard deviations. Found by simulation: see benchmarks/README.md."""

Z_LAST = 2.33
"""The same for one call with nothing else in flight: its 99th percentile."""

_GUESS_SIGMA = 1.5
"""Spread of ln(cost) around a first guess: the published means say nothing of this prompt's length."""

_MUCH_THE_SAME = 0.1
"""Spread of ln(foretold) below which nothing can be learnt of how costs follow it."""

_ENOUGH = 8
"""Finished calls of a kind after which it speaks for itself, and not all calls of its model for it."""


class CostModel:
    """What calls of one kind have cost, and what a further one will.

    `first_guess`, in units, stands in until a call has finished. `foretold`, where given, is a
    predictor that was known before the send; where costs follow it, they are measured against it. As
    long as it was much the same for all calls nobody can tell: a call of which more is foretold is then
    taken to cost more, and one of which less is foretold not to cost less.
    """

    __slots__ = (
        "_calls", "_fit", "_fits_at", "_ratio_fit", "_summed", "_sums", "_total", "_usual", "_went",
        "first_guess", "name", "whole",
    )  # fmt: skip

    def __init__(self, first_guess: int, name: str = "", whole: CostModel | None = None) -> None:
        self.first_guess = first_guess
        self.name = name
        self.whole: CostModel = whole or self
        """The statistics of all calls of this name, of which these are a part."""
        self._calls: deque[Finished] = deque(maxlen=KEPT)
        self._total = 0
        """What they cost together."""
        self._summed = 0
        """How many of them, the oldest, are in the sums; the others follow with the next fit."""
        self._went: list[Finished] = []
        """Calls that are in the sums and no longer kept."""
        self._sums = Sums()
        self._usual: float | None = None
        """What was foretold of all calls, if it was much the same."""
        self._fits_at = 0
        self._fit: Fit | None = None
        self._ratio_fit: Fit | None = None

    def __repr__(self) -> str:
        return f"CostModel(typical={self.typical()}, calls={len(self._calls)})"

    @property
    def known(self) -> bool:
        """Whether any call has finished."""
        return bool(self._calls)

    @property
    def predictor(self) -> CostModel:
        """The statistics that speak for a next call: its own kind's, once there are enough of them."""
        return self if len(self._calls) >= _ENOUGH else self.whole

    @property
    def reason(self) -> str:
        """What the estimate rests on."""
        if self._fitted() is None:
            return "a first guess"
        by_length = ", by their length" if self._ratio_fit is not None else ""
        return f"the last {len(self._calls)} calls{by_length}"

    def finished(self, cost: int, latency: float, predicted: float | None = None) -> None:
        """Take in what a call has cost, and how long it was out."""
        x = math.log(cost if cost > 1 else 1)
        y = math.log(latency if latency > 1e-6 else 1e-6)
        # Without a prediction anything will do: it is used only where all kept calls have one.
        call = (cost, x, y, math.log(predicted) if predicted else 0.0, predicted is not None)
        self._take(call)
        if self.whole is not self:
            self.whole._take(call)

    def _take(self, call: Finished) -> None:
        if len(self._calls) == KEPT:
            # The oldest makes room for the new one.
            oldest = self._calls[0]
            self._total -= oldest[0]
            if self._summed:
                self._summed -= 1
                self._went.append(oldest)
        self._calls.append(call)
        self._total += call[0]
        self._fits_at -= 1

    def _summed_up(self) -> Sums:
        """Return the sums over all kept calls: made only when they are looked at, for many calls at once."""
        if not self._summed:
            self._sums = Sums()
        else:
            self._sums.add(self._went, -1)
        self._sums.add(islice(reversed(self._calls), len(self._calls) - self._summed))
        self._summed = len(self._calls)
        self._went.clear()
        return self._sums

    def _fitted(self) -> Fit | None:
        """Return the fit, made anew if enough has come since; None before any call has finished.

        Often while they are few, then as the picture changes; every fit throws the moments away.
        """
        if self._fits_at <= 0 and self._calls:
            self._refit(self._summed_up())
        return self._fit

    def _refit(self, sums: Sums) -> None:
        n = sums.n
        self._fits_at = max(1, n // 16)
        costs, ratios, told = sums.costs(), sums.ratios(), sums.predictions()
        self._fit = Fit(costs)
        all_foretold = sums.predicted == n
        varied = all_foretold and n > 1 and told.spread > _MUCH_THE_SAME**2
        follows = varied and ratios.spread < costs.spread
        self._ratio_fit = Fit(ratios) if follows else None
        self._usual = math.exp(told.x / n) if all_foretold and not varied else None

    def typical(self) -> int:
        """Return the mean cost in units, the first guess before any is known."""
        return self._total // len(self._calls) if self._calls else self.first_guess

    def latency(self) -> float:
        """Return how long a call typically takes, seconds; 0 before any is known."""
        fit = self._fitted()
        return 0.0 if fit is None else fit.latency

    def relative_spread(self) -> float:
        """Return the standard deviation of a cost over its mean."""
        fit = self._fitted()
        if fit is None:
            return math.sqrt(math.expm1(_GUESS_SIGMA**2))
        mean, variance, _ = fit.moments(0.0)
        return math.sqrt(variance) / mean

    def upper_bound(self, predicted: float | None = None) -> int:
        """Return what a single call hardly ever exceeds, in units."""
        return math.ceil(self.quantile(Z, predicted))

    def summand_bound(self, predicted: float | None) -> int:
        """Return the units for a single call that no quantile of a sum counts for one: far from the floor,
        these are enough to tell that all fits.
        """
        fit = self._fitted()
        if fit is None:
            return math.ceil(self.quantile(Z_ALONE, predicted))
        fit, scale = self._basis(fit, predicted)
        return math.ceil(scale * fit.most)

    def quantile(self, z: float, predicted: float | None) -> float:
        """Return the quantile of a fresh call's cost at *z* standard deviations."""
        fit = self._fitted()
        if fit is None:
            return self.first_guess * math.exp(z * _GUESS_SIGMA)
        fit, scale = self._basis(fit, predicted)
        return scale * fit.quantile(z)

    def moments(self, age: float, predicted: float | None) -> Moments:
        """Return the moments of a call that has been out for *age* seconds."""
        fit = self._fitted()
        if fit is None:
            # How far the guess is off is the same for all: see `uncertainty`.
            return Moments(self.first_guess * math.exp(_GUESS_SIGMA**2 / 2), 0.0, 0.0)
        fit, scale = self._basis(fit, predicted)
        mean, variance, third = fit.moments(age)
        return Moments(scale * mean, scale**2 * variance, scale**3 * third)

    def uncertainty(self, predicted: float | None) -> float:
        """Return the relative variance of the mean itself, an error that all calls share."""
        fit = self._fitted()
        if fit is None:
            return math.expm1(_GUESS_SIGMA**2)
        return self._basis(fit, predicted)[0].uncertainty

    def _basis(self, fit: Fit, predicted: float | None) -> tuple[Fit, float]:
        """Return the fit that speaks for a call, and what its figures are to be multiplied by."""
        if not predicted:
            return fit, 1.0
        if self._ratio_fit is not None:
            return self._ratio_fit, predicted
        return fit, 1.0 if self._usual is None else max(1.0, predicted / self._usual)


@dataclass(slots=True, eq=False)
class InFlightCall:
    """One call in flight, or about to be."""

    model: CostModel
    started_at: float
    predicted: float | None
    summand_bound: int
    """See `CostModel.summand_bound`."""


class Exposure:
    """All calls in flight that draw on one purse."""

    __slots__ = ("_held", "_most")

    def __init__(self) -> None:
        self._held: dict[InFlightCall, None] = {}
        self._most = 0

    def __repr__(self) -> str:
        return f"Exposure({len(self._held)} calls)"

    def add(self, held: InFlightCall) -> None:
        """Put a call in flight."""
        self._held[held] = None
        self._most += held.summand_bound

    def remove(self, held: InFlightCall) -> None:
        """Take it out again."""
        del self._held[held]
        self._most -= held.summand_bound

    def fits(self, room: int, candidate: InFlightCall) -> bool:
        """Tell whether *room* units cover all in flight and one call more, at its start.

        In constant time while there is plenty: the sum over calls is only made where it may decide.
        """
        if self._most + candidate.summand_bound <= room:
            return True
        return self.required(candidate.started_at, candidate.model, candidate.predicted) <= room

    def required(self, now: float, candidate: CostModel | None, predicted: float | None = None) -> int:
        """Return the units that all in flight, and *candidate*, may still cost together."""
        if not self._held and candidate is not None and not candidate.known:
            # The first call of its kind is what teaches; nothing better than its guess is known.
            return candidate.typical()
        sums = _Total()
        for held in self._held:
            sums.add(held.model, held.model.moments(now - held.started_at, held.predicted), held.predicted)
        if candidate is not None:
            sums.add(candidate, candidate.moments(0.0, predicted), predicted)
        return math.ceil(sums.quantile(Z if self._held else Z_LAST))


class _Total:
    """Cumulants of a sum of calls."""

    __slots__ = ("_by_model", "_mean", "_third", "_variance")

    def __init__(self) -> None:
        self._mean = self._variance = self._third = 0.0
        self._by_model: dict[CostModel, tuple[float, float]] = {}

    def add(self, model: CostModel, moments: Moments, predicted: float | None) -> None:
        self._mean += moments.mean
        self._variance += moments.variance
        self._third += moments.third
        so_far = self._by_model.get(model)
        shared = model.uncertainty(predicted) if so_far is None else so_far[1]
        self._by_model[model] = ((so_far[0] if so_far else 0.0) + moments.mean, shared)

    def quantile(self, z: float) -> float:
        variance, third = self._variance, self._third
        for mean, shared in self._by_model.values():
            # A common factor, lognormal with this relative variance.
            variance += mean**2 * shared
            third += mean**3 * shared**2 * (shared + 3)
        if variance <= 0:
            return self._mean
        skewness = third / variance**1.5
        if skewness < 1e-3:
            return self._mean + z * math.sqrt(variance)
        # The lognormal with this skewness: (w + 2)² (w - 1) = skewness², solved for w.
        square = skewness * skewness
        root = ((square + 2 + math.sqrt(square * square + 4 * square)) / 2) ** (1 / 3)
        w = root + 1 / root - 1
        scale = math.sqrt(variance / (w - 1))
        width = math.sqrt(math.log(w))
        return self._mean - scale + scale * math.exp(z * width - width * width / 2)
