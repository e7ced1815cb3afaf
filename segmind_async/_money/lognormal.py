"""A joint lognormal of cost and latency, fitted to finished calls: the distribution of a cost given the age.

Pure arithmetic: sums in, moments and quantiles out, in the units of the costs and in seconds.

Source of the moments: truncation of a bivariate normal, E[cᵗ | latency > a] =
exp(tμ + t²σ²/2) · Φ(tρσ − h) / Φ(−h), with h = (ln a − μ_l) / σ_l.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

Z_ALONE = 4.0
"""Quantile of a single call, in standard deviations, that exceeds its part of any quantile of a sum."""

_PRIOR_SIGMA = 0.5
_PRIOR_WEIGHT = 2.0
"""Prior of the standard deviation of ln(cost), and the number of calls that it counts as."""

_OLDEST = 8.0
"""Standard deviations of ln(latency) beyond which a greater age changes nothing."""

_BUCKETS = 4
"""Buckets of age per standard deviation of ln(latency)."""


class Moments(NamedTuple):
    """Mean, variance and third central moment."""

    mean: float
    variance: float
    third: float


Finished: TypeAlias = tuple[int, float, float, float, bool]
"""A finished call: its cost, ln(cost), ln(latency), ln(predicted), whether a cost was predicted."""


class Sums:
    """Running sums over finished calls: of the logarithms, their squares and products."""

    __slots__ = ("n", "predicted", "t", "tt", "x", "xt", "xx", "xy", "y", "yt", "yy")

    def __init__(self) -> None:
        self.n = self.predicted = 0
        self.x = self.y = self.t = self.xx = self.yy = self.tt = self.xy = self.xt = self.yt = 0.0

    def add(self, calls: Iterable[Finished], sign: int = 1) -> None:
        """Add calls, or subtract them with *sign* -1. Many at once: one by one takes twice the time."""
        n = predicted = 0
        sx = sy = st = sxx = syy = stt = sxy = sxt = syt = 0.0
        for _, x, y, t, was_predicted in calls:
            n += 1
            predicted += was_predicted
            sx += x
            sy += y
            st += t
            sxx += x * x
            syy += y * y
            stt += t * t
            sxy += x * y
            sxt += x * t
            syt += y * t
        self.n += sign * n
        self.predicted += sign * predicted
        self.x += sign * sx
        self.y += sign * sy
        self.t += sign * st
        self.xx += sign * sxx
        self.yy += sign * syy
        self.tt += sign * stt
        self.xy += sign * sxy
        self.xt += sign * sxt
        self.yt += sign * syt

    def costs(self) -> Pairs:
        """Return the sums over pairs of ln(cost) and ln(latency)."""
        return Pairs(self.n, self.x, self.y, self.xx, self.yy, self.xy)

    def ratios(self) -> Pairs:
        """Return the same with cost over predicted cost in the place of the cost."""
        xx = self.xx - 2 * self.xt + self.tt
        return Pairs(self.n, self.x - self.t, self.y, xx, self.yy, self.xy - self.yt)

    def predictions(self) -> Pairs:
        """Return the same with the predicted cost in the place of the cost."""
        return Pairs(self.n, self.t, self.y, self.tt, self.yy, self.yt)


class Pairs(NamedTuple):
    """Sums over pairs of two variables."""

    n: int
    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @property
    def spread(self) -> float:
        """Variance of x without the prior; needs at least two pairs."""
        return max(0.0, self.xx - self.x * self.x / self.n) / (self.n - 1)


class Fit:
    """A joint lognormal of (cost, latency), and the moments by age that follow from it."""

    __slots__ = ("_by_age", "_cov", "_mu", "_sigma", "_tau", "latency", "nu", "summand_bound", "uncertainty")

    def __init__(self, sums: Pairs) -> None:
        n = sums.n
        self._mu = sums.x / n
        self.nu = sums.y / n
        squares = max(0.0, sums.xx - n * self._mu * self._mu)
        variance = (_PRIOR_WEIGHT * _PRIOR_SIGMA**2 + squares) / (_PRIOR_WEIGHT + n - 1)
        # Few calls say little of the tail: wider, as a predictive distribution is.
        self._sigma = math.sqrt(variance) * (1 + 1 / math.sqrt(n))
        latency = max(0.0, sums.yy - n * self.nu * self.nu) / n
        self._tau = math.sqrt(latency)
        rho = 0.0
        if squares > 0 and self._tau > 0:
            rho = (sums.xy - n * self._mu * self.nu) / math.sqrt(squares * latency * n)
        self._cov = max(-1.0, min(1.0, rho)) * self._sigma
        self.uncertainty = variance / n
        """Relative variance of the mean itself: common to all calls, so it does not average out."""
        self.summand_bound = self.quantile(Z_ALONE)
        """See `CostModel.summand_bound`."""
        self.latency = math.exp(self.nu)
        """Typical latency in seconds: the median."""
        self._by_age: dict[int, Moments] = {}

    def moments(self, age: float) -> Moments:
        """Return the moments of the cost of a call that has been in flight for *age* seconds."""
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
        """Return the quantile of a fresh call's cost at *z* standard deviations."""
        return math.exp(self._mu + z * self._sigma)


def _upper(x: float) -> float:
    """Return the probability that a standard normal exceeds *x*; never 0, so that it can divide."""
    return max(math.erfc(x / math.sqrt(2)) / 2, 1e-300)
