"""What a call costs, given how long it has been out: by finished calls, and by a lognormal fitted to them.

Costs come in several humps, with heavy tails and minimum charges, so their moments are taken from the
finished calls themselves, weighted as Kaplan and Meier do: what is still in flight hands its weight on to
calls that took longer. Where few or none took longer, the lognormal speaks.

Pure. Costs are in any unit, latencies and ages in seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

from .lognormal import Lognormal, Moments

_OWN = 5.0
"""Calls at which the empirical moments count half, beside the lognormal's."""

_UNSEEN = 0.8
"""Deviation of ln(mean cost) if nearly all calls are still in flight: how a distribution goes on beyond
what was seen of it is a guess, however well the rest is known. Falls with the share that has finished."""

_OF_ANOTHER_KIND = 0.6
"""Relative variance of what calls cost together that are out longer than any took: they may all be of one
kind that has not been seen, so it does not average out."""

_QUICKEST = 10
"""Part of the finished calls that took less than what a call in flight must be out, to count as one that
could have finished: of younger ones nothing can be said yet."""

_BUCKETS = 4
"""Buckets of age to a standard deviation of ln(latency)."""

_WIDEST = 1.0
"""Width of a kernel, in ln(cost), that is never exceeded."""

_YOUNGEST, _OLDEST = -8.0, 30.0
"""Standard deviations of ln(latency) beyond which a call's age tells nothing more."""


class Distribution:
    """Moments of a call's cost by its age, from one basis: costs, or costs over what was predicted."""

    __slots__ = (
        "_beyond",
        "_beyond_raw",
        "_by_age",
        "_latencies",
        "_sums",
        "_wider",
        "latency",
        "lognormal",
        "longest",
        "relative_variance",
        "slowest",
        "uncertainty",
    )  # fmt: skip

    def __init__(self, points: Sequence[tuple[float, float]], ages: Sequence[float], ever: int) -> None:
        """Take finished calls, as ln(cost) and ln(latency), and the *ages* of calls in flight.

        *ever* counts all calls that have finished.
        """
        self.lognormal: Lognormal = Lognormal(points, ages)
        n = len(points)
        by_latency = sorted((y, x) for x, y in points)
        self._latencies = [y for y, _ in by_latency]
        x_mean = sum(x for x, _ in points) / n
        spread = math.sqrt(sum((x - x_mean) ** 2 for x, _ in points) / n)
        width = min(_WIDEST, 1.06 * spread * n**-0.2)
        self._wider = (1.0, math.exp(width * width), math.exp(3 * width * width))
        """What a lognormal kernel around each call adds to the raw moments; it leaves the mean."""
        self.slowest: float = math.exp(self._latencies[-1])
        """Seconds that the slowest finished call took."""
        log_ages = sorted(math.log(age) for age in ages if age > 1e-3)
        self._weigh(by_latency, log_ages)
        self._beyond_raw = self._raw_beyond(log_ages[bisect_left(log_ages, self._latencies[-1]) :])
        self.latency: float = math.exp(self.lognormal.nu)
        """Seconds a call typically takes."""
        self.longest: float = math.exp(self.lognormal.nu + 1.65 * self.lognormal.tau)
        """Seconds that one call in twenty takes longer than."""
        self._by_age: dict[int, Moments] = {}
        fresh = self.moments(0.0)
        self.relative_variance: float = fresh.variance / fresh.mean**2 if fresh.mean > 0 else 0.0
        w, ww = self._sums[0][:2]
        due = math.exp(self._latencies[n // _QUICKEST])
        out = sum(age > due for age in ages)
        unseen = (
            math.expm1((_UNSEEN * out / (ever + out)) ** 2) + _OF_ANOTHER_KIND * self._beyond_share(ages) ** 2
        )
        self.uncertainty: float = (
            max(self.lognormal.uncertainty, self.relative_variance * ww / (w * w)) + unseen
        )
        """Relative variance of the mean itself: all calls share it, so it does not average out."""

    def _raw_beyond(self, overdue: Sequence[float]) -> list[float]:
        """Return the raw moments of calls like those in flight that outlast all finished ones.

        *overdue* are logarithms of their ages: as long as that, at least, such calls take.
        """
        log = self.lognormal
        counts = Counter(math.ceil(_BUCKETS * (y - log.nu) / log.tau) for y in overdue)
        return [
            sum(count * log.beyond(t, bucket / _BUCKETS) for bucket, count in counts.items())
            / max(1, len(overdue))
            for t in (1, 2, 3)
        ]

    def _beyond_share(self, ages: Sequence[float]) -> float:
        """Return the share of calls that are out longer than any took, in what all in flight should cost."""
        beyond = all_of_them = 0.0
        for age in ages:
            mean = self.moments(age).mean
            all_of_them += mean
            if age > self.slowest:
                beyond += mean
        return beyond / all_of_them if all_of_them else 0.0

    def moments(self, age: float) -> Moments:
        """Return the moments of a call that has been out for *age* seconds."""
        h = self.lognormal.deviation(age)
        bucket = math.floor(_BUCKETS * max(_YOUNGEST, min(_OLDEST, h)))
        found = self._by_age.get(bucket)
        if found is None:
            found = self._by_age[bucket] = self._moments(bucket / _BUCKETS)
        return found

    def _weigh(self, by_latency: Sequence[tuple[float, float]], ages: Sequence[float]) -> None:
        """Give each finished call its weight, and sum weights and moments from the longest latency down."""
        n, left = len(by_latency), 1.0
        weights = []
        for index, (y, _) in enumerate(by_latency):
            at_risk = n - index + len(ages) - bisect_left(ages, y)
            weights.append(left / at_risk)
            left -= weights[-1]
        self._beyond = left if left > 1e-9 else 0.0
        """Weight that no finished call could take: calls in flight that are out longer than any took."""
        sums = [(0.0, 0.0, 0.0, 0.0, 0.0)]
        w = ww = a = b = c = 0.0
        for (_, x), weight in zip(reversed(by_latency), reversed(weights), strict=True):
            cost = math.exp(x)
            w += weight
            ww += weight * weight
            part = weight * cost
            a += part
            part *= cost
            b += part
            c += part * cost
            sums.append((w, ww, a, b, c))
        sums.reverse()
        self._sums = sums

    def _moments(self, h: float) -> Moments:
        log = self.lognormal
        at = 0 if h <= _YOUNGEST else bisect_right(self._latencies, log.nu + h * log.tau)
        w, ww, *own = self._sums[at]
        if not ww:
            return _central([log.beyond(t, h) for t in (1, 2, 3)])
        raw = [log.raw(t, h) for t in (1, 2, 3)]
        calls = w * w / ww
        share = calls / (calls + _OWN)
        whole = w + self._beyond
        for t in (1, 2, 3):
            beyond = self._beyond * self._beyond_raw[t - 1]
            by_calls = (own[t - 1] * self._wider[t - 1] + beyond) / whole
            raw[t - 1] = share * by_calls + (1 - share) * raw[t - 1]
        return _central(raw)


def _central(raw: Sequence[float]) -> Moments:
    """Turn raw moments into mean, variance and third central moment."""
    mean = raw[0]
    variance = max(0.0, raw[1] - mean * mean)
    third = raw[2] - 3 * mean * raw[1] + 2 * mean**3
    return Moments(mean, variance, max(0.0, third))
