"""A joint lognormal of cost and latency, fitted to finished calls and to those still in flight.

Calls in flight are right-censored observations: of each it is known that it takes longer than it has
been out. Left out, the fit would rest on early finishers alone, and these are the cheap ones.

ln(latency) ~ N(ν, τ²) by maximum likelihood with censoring; ln(cost) given ln(latency) ~ N(α + βY, s²) by
regression over finished calls, whose costs are missing at random given their latency. From both follow
μ = α + βν and σ² = β²τ² + s² of ln(cost).

Pure arithmetic: logarithms and ages go in, moments come out, in the units of the costs.

Sources: Olsen, *Note on the uniqueness of the maximum likelihood estimator for the Tobit model*, 1978
(the likelihood is concave in 1/τ and ν/τ, so Newton's method finds the one maximum). Truncation of a
bivariate normal: E[cᵗ | latency > a] = exp(tμ + t²σ²/2) · Φ(tβτ − h) / Φ(−h), with h = (ln a − ν) / τ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PRIOR_CALLS = 8.0
"""Calls that the prior on the spreads counts as, before any has finished."""

_PRIOR_HALVES = 16.0
"""Finished calls after which the prior counts half of that: equal costs are then soon believed."""

_PRIOR_TAU = 0.6
_PRIOR_REST = 0.8
"""Spread of ln(latency), and of ln(cost) given the latency, before anything is known: together σ = 1.
Costs of language models spread like σ 0.6 to 1.2."""

_PRIOR_BETA = 1.0
"""Slope of ln(cost) over ln(latency) before anything is known: twice the time, twice the tokens."""

_STEEPEST = 3.0
"""Largest slope that is believed, either way."""

_AGES_A_UNIT = 4.0
"""Buckets of age to a unit of ln(age), for the likelihood."""

_NEWTON_STEPS = 12

_LARGEST = 75.0
"""ln(cost) beyond which nothing is told apart: 10³² units, whose cube is still a float."""

_FAR = 30.0
"""Standard deviations beyond which the tail is taken as its asymptote."""


class Moments(NamedTuple):
    """Mean, variance and third central moment."""

    mean: float
    variance: float
    third: float


NO_MOMENTS = Moments(0.0, 0.0, 0.0)


class Lognormal:
    """The fitted distribution."""

    __slots__ = ("_calls", "_information", "_leverage", "_shift", "beta", "mu", "nu", "rest", "sigma", "tau")

    def __init__(self, points: Sequence[tuple[float, float]], ages: Iterable[float]) -> None:
        """Fit to *points*, pairs of ln(cost) and ln(latency), at least one, and *ages* in flight, seconds."""
        n = len(points)
        x_mean = math.fsum(x for x, _ in points) / n
        y_mean = math.fsum(y for _, y in points) / n
        xx = xy = yy = 0.0
        for x, y in points:
            off_x, off_y = x - x_mean, y - y_mean
            xx += off_x * off_x
            xy += off_x * off_y
            yy += off_y * off_y
        prior = prior_calls(n)
        censored = _buckets(ages, y_mean)
        nu, tau, self._information = _tobit(n, yy, censored, prior)
        self.tau: float = tau
        self.nu: float = y_mean + nu
        """Mean of ln(latency)."""
        ridge = prior * _PRIOR_TAU**2
        slope = (xy + ridge * _PRIOR_BETA) / (yy + ridge)
        self.beta: float = max(-_STEEPEST, min(_STEEPEST, slope))
        squares = max(0.0, xx - 2 * self.beta * xy + self.beta**2 * yy)
        rest = (prior * _PRIOR_REST**2 + squares) / (prior + n - 1)
        self.rest: float = math.sqrt(rest)
        """Spread of ln(cost) given the latency."""
        self.mu: float = x_mean + self.beta * nu
        self.sigma: float = math.sqrt(self.beta**2 * self.tau**2 + rest)
        self._calls, self._shift, self._leverage = n, nu, yy + ridge
        """How far calls in flight moved the mean latency, and what the slope rests on."""

    @property
    def uncertainty(self) -> float:
        """Relative variance of the mean cost itself: all calls share it, so it does not average out."""
        n, rest = self._calls, self.rest**2
        # The gradient of ln(mean) = α + βν + (β²τ² + s²) / 2 in the parameters of the likelihood.
        by_delta = self.beta * self.tau
        by_theta = -self.tau * (self.beta * self._shift + self.beta**2 * self.tau**2)
        dd, dt, tt = self._information
        by_latency = (by_delta**2 * tt - 2 * by_delta * by_theta * dt + by_theta**2 * dd) / (
            dd * tt - dt * dt
        )
        by_rest = rest / n + rest**2 / (2 * (n + prior_calls(n) - 1))
        return math.expm1(min(4.0, by_latency + by_rest + rest * self._shift**2 / self._leverage))

    def deviation(self, age: float) -> float:
        """Return where *age*, in seconds, lies among latencies, in standard deviations of their logarithm."""
        if age <= 0.0:
            return -_FAR
        return max(-_FAR, min(_FAR, (math.log(age) - self.nu) / self.tau))

    def raw(self, t: int, h: float) -> float:
        """Return E[costᵗ] of a call whose latency exceeds *h* standard deviations."""
        log = t * self.mu + t * t * self.sigma**2 / 2
        if h > -8.0:
            log += _log_upper(h - t * self.beta * self.tau) - _log_upper(h)
        return math.exp(min(t * _LARGEST, log))

    def beyond(self, t: int, h: float) -> float:
        """Return E[costᵗ] of a call that is out longer, by *h* standard deviations, than any one took.

        How much longer it takes is then a guess: what is beyond all that was seen may be of another kind.
        """
        k = t * max(self.beta, _PRIOR_BETA)
        spread = max(self.tau, _PRIOR_TAU)
        log = t * (self.mu + self.beta * h * self.tau + t * self.rest**2 / 2) + k * k * spread * spread / 2
        return 2 * math.exp(min(t * _LARGEST, log + _log_upper(-k * spread)))

    def quantile(self, z: float) -> float:
        """Return the quantile of a fresh call's cost."""
        return math.exp(self.mu + z * self.sigma)


def prior_calls(n: int) -> float:
    """Return the calls that the prior counts as beside *n* finished ones.

    It loses weight as they come: a fixed weight would keep equal costs from being believed.
    """
    return PRIOR_CALLS * _PRIOR_HALVES / (_PRIOR_HALVES + n)


def _buckets(ages: Iterable[float], y_mean: float) -> list[tuple[float, int]]:
    """Count ages by the lower edge of their bucket, as ln(age) over *y_mean*."""
    counts = Counter(math.floor(_AGES_A_UNIT * (math.log(age) - y_mean)) for age in ages if age > 1e-3)
    return [(bucket / _AGES_A_UNIT, count) for bucket, count in counts.items()]


def _tobit(
    n: int, yy: float, censored: Sequence[tuple[float, int]], prior: float
) -> tuple[float, float, tuple[float, float, float]]:
    """Return mean and deviation of centred logarithms, and the information on δ = ν/τ and θ = 1/τ.

    Of *n* observed ones the sum is 0 and the sum of squares *yy*; the prior counts as *prior* calls. The
    information is that of the likelihood: δδ, δθ, θθ.
    """
    squares = yy + prior * _PRIOR_TAU**2
    theta, delta = math.sqrt((n + prior) / squares), 0.0
    information = (float(n), 0.0, (n + prior) / theta**2 + squares)
    for _ in range(_NEWTON_STEPS if censored else 0):
        d, t = -n * delta, (n + prior) / theta - theta * squares
        dd, dt, tt = float(n), 0.0, (n + prior) / theta**2 + squares
        for c, count in censored:
            h = theta * c - delta
            mills = _mills(h)
            curve = count * max(0.0, mills * (mills - h))
            d += count * mills
            t -= count * mills * c
            dd += curve
            dt -= curve * c
            tt += curve * c * c
        information = (dd, dt, tt)
        determinant = dd * tt - dt * dt
        step_d = (d * tt - t * dt) / determinant
        step_t = (t * dd - d * dt) / determinant
        # Never past zero: far steps are cut.
        cut = min(1.0, 0.5 * theta / max(-step_t, 1e-12))
        delta += cut * step_d
        theta += cut * step_t
        if abs(step_d) + abs(step_t) / theta < 1e-4:
            break
    return delta / theta, 1 / theta, information


def _mills(h: float) -> float:
    """Return the inverse Mills ratio: the normal density at *h* over the tail beyond it."""
    if h > _FAR:
        return h + 1 / h
    return math.exp(-h * h / 2 - _log_upper(h)) / math.sqrt(2 * math.pi)


def _log_upper(x: float) -> float:
    """Return the logarithm of the probability that a standard normal exceeds *x*."""
    if x > _FAR:
        return -x * x / 2 - math.log(x * math.sqrt(2 * math.pi))
    return math.log(math.erfc(x / math.sqrt(2)) / 2)
