"""Calls that may have been billed although their answer was lost: what they may have cost together.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

import math
from bisect import insort

from .cost_model import Z
from .lognormal import Moments

DOUBT_SETTLES_AFTER = 60.0
"""Seconds after which a call whose answer was lost has surely ended on the server, and a balance shows
whether it was billed. The slowest published mean is 67 s, of all models but three under 30 s."""


class Doubts:
    """Means and variances of calls in doubt; a sum of many needs less than each of them alone."""

    __slots__ = ("_calls", "_mean", "_variance")

    def __init__(self) -> None:
        self._calls: list[tuple[float, float, float]] = []
        """When each came in doubt, in that order; mean and variance of what it may have cost."""
        self._mean = self._variance = 0.0

    def __repr__(self) -> str:
        return f"Doubts({len(self._calls)} calls, {self.units} units)"

    @property
    def units(self) -> int:
        """Units that all of them hardly ever exceed; 0 if there is none."""
        return math.ceil(self._mean + Z * math.sqrt(self._variance)) if self._calls else 0

    @property
    def settle_at(self) -> float | None:
        """From when on a balance shows of all of them whether they were billed; None if there is none."""
        return self._calls[-1][0] + DOUBT_SETTLES_AFTER if self._calls else None

    def add(self, at: float, moments: Moments) -> None:
        """Put a call in doubt, or several together; also one that came in doubt before others."""
        insort(self._calls, (at, moments.mean, moments.variance))
        self._sum()

    def settle(self, asked_at: float) -> None:
        """Drop those that a balance shows which was asked for at *asked_at*."""
        # Told by the same sum as `settle_at`: a rounded difference could miss that very instant.
        settled = 0
        for at, _, _ in self._calls:
            if at + DOUBT_SETTLES_AFTER > asked_at:
                break
            settled += 1
        if settled:
            del self._calls[:settled]
            self._sum()

    def shift(self, seconds: float) -> None:
        """Move every instant."""
        self._calls = [(at + seconds, mean, variance) for at, mean, variance in self._calls]

    def _sum(self) -> None:
        self._mean = math.fsum(mean for _, mean, _ in self._calls)
        self._variance = math.fsum(variance for _, _, variance in self._calls)
