"""Bounds the cost of the calls in flight and of one more: the amount that must lie above the floor.

The calls in flight are no sample of the finished ones: expensive calls last longer, so the longer a call has
been in flight, the more it will cost. Each call's cost is therefore taken *given its age*, from a joint
lognormal of cost and latency; the cumulants of independent calls add, and a quantile of a shifted
lognormal with the same three cumulants bounds their sum. With one call left that is the call's own
quantile, with many the normal one: no special case for the last call.

Amounts are units of 10⁻¹⁰ credit, as floats inside a statistic and as integers at its border; ages are
seconds. Pure: the time is an argument.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice

from .lognormal import Z_ALONE, Finished, Fit, Moments, Sums

KEPT = 400
"""Finished calls that the statistics are made of: enough for a tail, few enough to follow a change."""

Z = 2.6
"""Quantile of a sum of costs, in standard deviations. Found by simulation: see benchmarks/README.md."""

Z_LAST = 2.33
"""The same for one call with nothing else in flight: its 99th percentile."""

_GUESS_SIGMA = 1.5
"""Standard deviation of ln(cost) around a first guess: published means ignore this prompt's length."""

_CONSTANT = 0.1
"""Standard deviation of ln(predicted) below which nothing can be learnt of how costs follow it."""

_ENOUGH = 8
"""Finished calls of a template after which it is predicted from them, and not from all calls of its model."""


class CostModel:
    """The costs of finished calls of one model or one template, and the distribution of the next cost.

    `first_guess`, in units, is used until a call has finished. `predicted`, where given, is a predictor that
    was known before the call was sent; where costs follow it, the statistics are those of cost over
    `predicted`. As long as it was nearly constant it cannot be judged: a call with a larger one is then
    assumed to cost more in proportion, and a call with a smaller one to cost no less.
    """

    __slots__ = (
        "_calls", "_dropped", "_fit", "_fits_at", "_ratio_fit", "_summed", "_sums", "_total", "_usual",
        "first_guess", "name", "whole",
    )  # fmt: skip

    def __init__(self, first_guess: int, name: str = "", whole: CostModel | None = None) -> None:
        self.first_guess: int = first_guess
        self.name: str = name
        self.whole: CostModel = whole or self
        """The cost model of all calls of this name, of which these are a part; itself if these are all."""
        self._calls: deque[Finished] = deque(maxlen=KEPT)
        self._total = 0
        """Units that the kept calls have cost together."""
        self._summed = 0
        """How many of the kept calls, the oldest, are in the sums; the others follow with the next fit."""
        self._dropped: list[Finished] = []
        """Calls that are in the sums and no longer kept."""
        self._sums = Sums()
        self._usual: float | None = None
        """Geometric mean of what was predicted, if that was nearly constant; None if not."""
        self._fits_at = 0
        """Finished calls until the next fit."""
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
        """The cost model that predicts the next call: this one once it has enough calls, else `whole`."""
        return self if len(self._calls) >= _ENOUGH else self.whole

    @property
    def reason(self) -> str:
        """What the estimate is based on, in words for people."""
        if self._fitted() is None:
            return "a first guess"
        by_length = ", by their length" if self._ratio_fit is not None else ""
        return f"the last {len(self._calls)} calls{by_length}"

    def finished(self, cost: int, latency: float, predicted: float | None = None) -> None:
        """Learn from a finished call: its cost in units, its latency in seconds."""
        x = math.log(cost if cost > 1 else 1)
        y = math.log(latency if latency > 1e-6 else 1e-6)
        # Without a prediction any number does: it is used only where all kept calls have one.
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
                self._dropped.append(oldest)
        self._calls.append(call)
        self._total += call[0]
        self._fits_at -= 1

    def _summed_up(self) -> Sums:
        """Return the sums over all kept calls. They are updated here, for many calls at once."""
        if not self._summed:
            self._sums = Sums()
        else:
            self._sums.add(self._dropped, -1)
        self._sums.add(islice(reversed(self._calls), len(self._calls) - self._summed))
        self._summed = len(self._calls)
        self._dropped.clear()
        return self._sums

    def _fitted(self) -> Fit | None:
        """Return the fit, made anew if enough calls have finished since; None before any has.

        Made anew after every call while they are few, later after every sixteenth of them: each fit discards
        the cached moments.
        """
        if self._fits_at <= 0 and self._calls:
            self._refit(self._summed_up())
        return self._fit

    def _refit(self, sums: Sums) -> None:
        n = sums.n
        self._fits_at = max(1, n // 16)
        costs, ratios, predictions = sums.costs(), sums.ratios(), sums.predictions()
        self._fit = Fit(costs)
        all_predicted = sums.predicted == n
        varied = all_predicted and n > 1 and predictions.spread > _CONSTANT**2
        follows = varied and ratios.spread < costs.spread
        self._ratio_fit = Fit(ratios) if follows else None
        self._usual = math.exp(predictions.x / n) if all_predicted and not varied else None

    def typical(self) -> int:
        """Return the mean cost in units; the first guess before any call has finished."""
        return self._total // len(self._calls) if self._calls else self.first_guess

    def latency(self) -> float:
        """Return the typical latency in seconds; 0 before any call has finished."""
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
        """Return an upper bound of a single call's cost in units: the `Z` quantile."""
        return math.ceil(self.quantile(Z, predicted))

    def summand_bound(self, predicted: float | None) -> int:
        """Return an upper bound, in units, of what one call adds to any quantile of a sum.

        A sum of these is cheap to keep; far from the floor it shows already that all calls fit.
        """
        fit = self._fitted()
        if fit is None:
            return math.ceil(self.quantile(Z_ALONE, predicted))
        fit, scale = self._basis(fit, predicted)
        return math.ceil(scale * fit.summand_bound)

    def quantile(self, z: float, predicted: float | None) -> float:
        """Return the quantile of a fresh call's cost at *z* standard deviations."""
        fit = self._fitted()
        if fit is None:
            return self.first_guess * math.exp(z * _GUESS_SIGMA)
        fit, scale = self._basis(fit, predicted)
        return scale * fit.quantile(z)

    def moments(self, age: float, predicted: float | None) -> Moments:
        """Return the moments of a call that has been in flight for *age* seconds."""
        fit = self._fitted()
        if fit is None:
            # The error of the guess is common to all calls: see `uncertainty`.
            return Moments(self.first_guess * math.exp(_GUESS_SIGMA**2 / 2), 0.0, 0.0)
        fit, scale = self._basis(fit, predicted)
        mean, variance, third = fit.moments(age)
        return Moments(scale * mean, scale**2 * variance, scale**3 * third)

    def uncertainty(self, predicted: float | None) -> float:
        """Return the relative variance of the mean itself, an error common to all calls."""
        fit = self._fitted()
        if fit is None:
            return math.expm1(_GUESS_SIGMA**2)
        return self._basis(fit, predicted)[0].uncertainty

    def _basis(self, fit: Fit, predicted: float | None) -> tuple[Fit, float]:
        """Return the fit for a call, and the factor on its amounts."""
        if not predicted:
            return fit, 1.0
        if self._ratio_fit is not None:
            return self._ratio_fit, predicted
        return fit, 1.0 if self._usual is None else max(1.0, predicted / self._usual)


@dataclass(slots=True, eq=False)
class InFlightCall:
    """One call in flight, or a candidate for it."""

    model: CostModel
    started_at: float
    predicted: float | None
    summand_bound: int
    """See `CostModel.summand_bound`."""


class Exposure:
    """All calls in flight that one budget pays for."""

    __slots__ = ("_bound", "_calls")

    def __init__(self) -> None:
        self._calls: dict[InFlightCall, None] = {}
        self._bound = 0
        """Sum of the `summand_bound` of all calls."""

    def __repr__(self) -> str:
        return f"Exposure({len(self._calls)} calls)"

    def add(self, call: InFlightCall) -> None:
        """Count a call that is in flight from now on."""
        self._calls[call] = None
        self._bound += call.summand_bound

    def remove(self, call: InFlightCall) -> None:
        """Stop counting a call that has ended."""
        del self._calls[call]
        self._bound -= call.summand_bound

    def fits(self, room: int, candidate: InFlightCall) -> bool:
        """Return whether *room* units cover all calls in flight and *candidate*, at its start.

        In constant time while there is plenty: the sum over calls is made only where it may decide.
        """
        if self._bound + candidate.summand_bound <= room:
            return True
        return self.required(candidate.started_at, candidate.model, candidate.predicted) <= room

    def required(self, now: float, candidate: CostModel | None, predicted: float | None = None) -> int:
        """Return the units that all calls in flight, and *candidate*, may cost together: an upper bound.

        None as *candidate*: the calls in flight alone.
        """
        if not self._calls and candidate is not None and not candidate.known:
            # The first call teaches what calls cost; until then its guess must suffice.
            return candidate.typical()
        sums = _Total()
        for call in self._calls:
            sums.add(call.model, call.model.moments(now - call.started_at, call.predicted), call.predicted)
        if candidate is not None:
            sums.add(candidate, candidate.moments(0.0, predicted), predicted)
        return math.ceil(sums.quantile(Z if self._calls else Z_LAST))


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
