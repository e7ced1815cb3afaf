"""What calls in flight, and one more, may still cost together: the amount that must lie above the floor.

What is in flight is no sample of what has finished: dear calls last longer, so the longer a call has
been out, the dearer it will be. For each call its cost is therefore taken *given its age*, from a joint
lognormal of cost and latency; the cumulants of independent calls add, and a quantile of a shifted
lognormal with the same three cumulants bounds their sum. With one call left that is the call's own
quantile, with many the normal one: no special case for the last call.

Amounts are units of 10⁻¹⁰ credit, as floats inside a statistic and as integers at its border; ages are
seconds. Pure; the time comes in as an argument.

Source of the moments: truncation of a bivariate normal, E[cᵗ | latency > a] =
exp(tμ + t²σ²/2) · Φ(tρσ − h) / Φ(−h), with h = (ln a − μ_l) / σ_l.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

KEPT = 400
"""Finished calls that the statistics rest on: enough for a tail, few enough to follow a change."""

Z = 2.6
"""Quantile of the sum, in standard deviations. Found by simulation: see benchmarks/README.md."""

Z_LAST = 2.33
"""The same for one call with nothing else in flight: its 99th percentile."""

_Z_ALONE = 4.0
"""Quantile of a single call that no sum of quantiles exceeds: the cheap bound far from the floor."""

_PRIOR_SIGMA = 0.5
_PRIOR_WEIGHT = 2.0
"""What is believed of the spread of ln(cost) before anything is known, and as how many calls that counts."""

_GUESS_SIGMA = 1.5
"""Spread of ln(cost) around a first guess: the published means say nothing of this prompt's length."""

_MUCH_THE_SAME = 0.1
"""Spread of ln(foretold) below which nothing can be learnt of how costs follow it."""

_ENOUGH = 8
"""Finished calls of a kind after which it speaks for itself, and not all calls of its model for it."""

_OLDEST = 8.0
"""Standard deviations of ln(latency) beyond which a call's age tells nothing more."""

_BUCKETS = 4
"""Buckets of age to a standard deviation of ln(latency)."""


class Moments(NamedTuple):
    """Mean, variance and third central moment."""

    mean: float
    variance: float
    third: float


class _Sums:
    """Running sums over the kept calls of one pair of variables."""

    __slots__ = ("n", "x", "xx", "xy", "y", "yy")

    def __init__(self) -> None:
        self.n = 0
        self.x = self.y = self.xx = self.yy = self.xy = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.yy += y * y
        self.xy += x * y

    def slide(self, x: float, y: float, old_x: float, old_y: float) -> None:
        """Put one pair in the place of another."""
        self.x += x - old_x
        self.y += y - old_y
        self.xx += x * x - old_x * old_x
        self.yy += y * y - old_y * old_y
        self.xy += x * y - old_x * old_y

    @property
    def spread(self) -> float:
        """Variance of x, without the prior; of two pairs at least."""
        return max(0.0, self.xx - self.x * self.x / self.n) / (self.n - 1)


class _Fit:
    """A joint lognormal of (cost, latency), and the moments by age that follow from it."""

    __slots__ = ("_by_age", "_cov", "_mu", "_sigma", "_tau", "nu", "uncertainty")

    def __init__(self, sums: _Sums) -> None:
        n = sums.n
        self._mu = sums.x / n
        self.nu = sums.y / n
        squares = max(0.0, sums.xx - n * self._mu * self._mu)
        variance = (_PRIOR_WEIGHT * _PRIOR_SIGMA**2 + squares) / (_PRIOR_WEIGHT + n - 1)
        # Few calls say little of the tail: widened, as a predictive distribution is.
        self._sigma = math.sqrt(variance) * (1 + 1 / math.sqrt(n))
        latency = max(0.0, sums.yy - n * self.nu * self.nu) / n
        self._tau = math.sqrt(latency)
        rho = 0.0
        if squares > 0 and self._tau > 0:
            rho = (sums.xy - n * self._mu * self.nu) / math.sqrt(squares * latency * n)
        self._cov = max(-1.0, min(1.0, rho)) * self._sigma
        self.uncertainty = variance / n
        """Relative variance of the mean itself: all calls share it, so it does not average out."""
        self._by_age: dict[int, Moments] = {}

    def moments(self, age: float) -> Moments:
        """Return the moments of a call that has been out for *age* seconds."""
        if age <= 0 or self._tau <= 0:
            bucket = -_BUCKETS * 8
        else:
            bucket = int(_BUCKETS * max(-8.0, min(_OLDEST, (math.log(age) - self.nu) / self._tau)))
        found = self._by_age.get(bucket)
        if found is None:
            found = self._by_age[bucket] = self._moments(bucket / _BUCKETS)
        return found

    def _moments(self, h: float) -> Moments:
        raw = [self._raw(t, h) for t in (1, 2, 3)]
        mean = raw[0]
        variance = max(0.0, raw[1] - mean * mean)
        third = raw[2] - 3 * mean * raw[1] + 2 * mean**3
        return Moments(mean, variance, max(0.0, third))

    def _raw(self, t: int, h: float) -> float:
        ratio = _upper(h - t * self._cov) / _upper(h)
        return math.exp(t * self._mu + t * t * self._sigma**2 / 2) * ratio

    def quantile(self, z: float) -> float:
        """Return the quantile of a fresh call's cost."""
        return math.exp(self._mu + z * self._sigma)


class CostModel:
    """What calls of one kind have cost, and what a further one will.

    `first_guess`, in units, stands in until a call has finished. `foretold`, where given, is a
    predictor that was known before the send; where costs follow it, they are measured against it. As
    long as it was much the same for all calls nobody can tell: a call of which more is foretold is then
    taken to cost more, and one of which less is foretold not to cost less.
    """

    __slots__ = (
        "_calls", "_fit", "_fits_at", "_foretold", "_ratio_fit", "_ratios", "_sums", "_told", "_total",
        "_usual", "first_guess", "name", "whole",
    )  # fmt: skip

    def __init__(self, first_guess: int, name: str = "", whole: CostModel | None = None) -> None:
        self.first_guess = first_guess
        self.name = name
        self.whole: CostModel = whole or self
        """The statistics of all calls of this name, of which these are a part."""
        self._calls: deque[tuple[int, float, float, float, bool]] = deque()
        self._foretold = 0
        """How many of them had a prediction."""
        self._sums = _Sums()
        self._ratios = _Sums()
        self._told = _Sums()
        self._usual: float | None = None
        """What was foretold of all calls, if it was much the same."""
        self._total = 0
        self._fits_at = 0
        self._fit: _Fit | None = None
        self._ratio_fit: _Fit | None = None

    def __repr__(self) -> str:
        return f"CostModel(typical={self.typical()}, calls={self._sums.n})"

    @property
    def known(self) -> bool:
        """Whether any call has finished."""
        return self._sums.n > 0

    @property
    def speaker(self) -> CostModel:
        """The statistics that speak for a next call: its own kind's, once there are enough of them."""
        return self if self._sums.n >= _ENOUGH else self.whole

    @property
    def reason(self) -> str:
        """What the estimate rests on."""
        if self._fit is None:
            return "a first guess"
        by_length = ", by their length" if self._ratio_fit is not None else ""
        return f"the last {self._sums.n} calls{by_length}"

    def finished(self, cost: int, latency: float, foretold: float | None = None) -> None:
        """Take in what a call has cost, and how long it was out."""
        if self.whole is not self:
            self.whole.finished(cost, latency, foretold)
        x = math.log(max(cost, 1))
        y = math.log(max(latency, 1e-6))
        # Without a prediction anything will do: it is used only where all the kept calls have one.
        told = math.log(foretold) if foretold else 0.0
        self._calls.append((cost, x, y, told, foretold is not None))
        self._foretold += foretold is not None
        self._total += cost
        if len(self._calls) <= KEPT:
            self._sums.add(x, y)
            self._ratios.add(x - told, y)
            self._told.add(told, y)
        else:
            old, old_x, old_y, old_told, was_foretold = self._calls.popleft()
            self._foretold -= was_foretold
            self._total -= old
            self._sums.slide(x, y, old_x, old_y)
            self._ratios.slide(x - told, y, old_x - old_told, old_y)
            self._told.slide(told, y, old_told, old_y)
        # Often while they are few, then as the picture changes; every fit throws the moments away.
        self._fits_at -= 1
        if self._fits_at <= 0:
            self._refit()

    def _refit(self) -> None:
        n = self._sums.n
        self._fits_at = max(1, n // 16)
        self._fit = _Fit(self._sums)
        all_foretold = self._foretold == n
        varied = all_foretold and n > 1 and self._told.spread > _MUCH_THE_SAME**2
        follows = varied and self._ratios.spread < self._sums.spread
        self._ratio_fit = _Fit(self._ratios) if follows else None
        self._usual = math.exp(self._told.x / n) if all_foretold and not varied else None

    def typical(self) -> int:
        """Return the mean cost in units, the first guess before any is known."""
        return self._total // self._sums.n if self._sums.n else self.first_guess

    def latency(self) -> float:
        """Return how long a call typically takes, seconds; 0 before any is known."""
        return 0.0 if self._fit is None else math.exp(self._fit.nu)

    def relative_spread(self) -> float:
        """Return the standard deviation of a cost over its mean."""
        if self._fit is None:
            return math.sqrt(math.expm1(_GUESS_SIGMA**2))
        mean, variance, _ = self._fit.moments(0.0)
        return math.sqrt(variance) / mean

    def bound(self, foretold: float | None = None) -> int:
        """Return what a single call hardly ever exceeds, in units."""
        return math.ceil(self.quantile(Z, foretold))

    def quantile(self, z: float, foretold: float | None) -> float:
        """Return the quantile of a fresh call's cost at *z* standard deviations."""
        if self._fit is None:
            return self.first_guess * math.exp(z * _GUESS_SIGMA)
        fit, scale = self._basis(self._fit, foretold)
        return scale * fit.quantile(z)

    def moments(self, age: float, foretold: float | None) -> Moments:
        """Return the moments of a call that has been out for *age* seconds."""
        if self._fit is None:
            # How far the guess is off is the same for all: see `uncertainty`.
            return Moments(self.first_guess * math.exp(_GUESS_SIGMA**2 / 2), 0.0, 0.0)
        fit, scale = self._basis(self._fit, foretold)
        mean, variance, third = fit.moments(age)
        return Moments(scale * mean, scale**2 * variance, scale**3 * third)

    def uncertainty(self, foretold: float | None) -> float:
        """Return the relative variance of the mean itself, an error that all calls share."""
        if self._fit is None:
            return math.expm1(_GUESS_SIGMA**2)
        return self._basis(self._fit, foretold)[0].uncertainty

    def _basis(self, fit: _Fit, foretold: float | None) -> tuple[_Fit, float]:
        """Return the fit that speaks for a call, and what its figures are to be multiplied by."""
        if not foretold:
            return fit, 1.0
        if self._ratio_fit is not None:
            return self._ratio_fit, foretold
        return fit, 1.0 if self._usual is None else max(1.0, foretold / self._usual)


@dataclass(slots=True, eq=False)
class Held:
    """One call in flight."""

    model: CostModel
    started_at: float
    foretold: float | None
    cheap: int


class Exposure:
    """All calls in flight that draw on one purse."""

    __slots__ = ("_cheap", "_held")

    def __init__(self) -> None:
        self._held: dict[Held, None] = {}
        self._cheap = 0

    def __repr__(self) -> str:
        return f"Exposure({len(self._held)} calls)"

    def add(self, model: CostModel, started_at: float, foretold: float | None = None) -> Held:
        """Put a call in flight."""
        held = Held(model, started_at, foretold, math.ceil(model.quantile(_Z_ALONE, foretold)))
        self._held[held] = None
        self._cheap += held.cheap
        return held

    def remove(self, held: Held) -> None:
        """Take it out again."""
        del self._held[held]
        self._cheap -= held.cheap

    def fits(self, room: int, now: float, candidate: CostModel, foretold: float | None = None) -> bool:
        """Tell whether *room* units cover all in flight and one call more.

        In constant time while there is plenty: the sum over calls is only made where it may decide.
        """
        if self._cheap + candidate.quantile(_Z_ALONE, foretold) <= room:
            return True
        return self.required(now, candidate, foretold) <= room

    def required(self, now: float, candidate: CostModel | None, foretold: float | None = None) -> int:
        """Return the units that all in flight, and *candidate*, may still cost together."""
        if not self._held and candidate is not None and not candidate.known:
            # The first call of its kind is what teaches; nothing better than its guess is known.
            return candidate.typical()
        sums = _Total()
        for held in self._held:
            sums.add(held.model, held.model.moments(now - held.started_at, held.foretold), held.foretold)
        if candidate is not None:
            sums.add(candidate, candidate.moments(0.0, foretold), foretold)
        return math.ceil(sums.quantile(Z if self._held else Z_LAST))


class _Total:
    """Cumulants of a sum of calls."""

    __slots__ = ("_by_model", "_mean", "_third", "_variance")

    def __init__(self) -> None:
        self._mean = self._variance = self._third = 0.0
        self._by_model: dict[CostModel, tuple[float, float]] = {}

    def add(self, model: CostModel, moments: Moments, foretold: float | None) -> None:
        self._mean += moments.mean
        self._variance += moments.variance
        self._third += moments.third
        so_far = self._by_model.get(model)
        shared = model.uncertainty(foretold) if so_far is None else so_far[1]
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


def _upper(x: float) -> float:
    """Return the probability that a standard normal exceeds *x*; never 0, so that it can divide."""
    return max(math.erfc(x / math.sqrt(2)) / 2, 1e-300)
