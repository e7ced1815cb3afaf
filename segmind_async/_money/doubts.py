"""Calls that may have been billed although their answer was lost: what they may have cost together.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque

from .cost_model import Z
from .lognormal import Moments


class Doubts:
    """Means and variances of calls in doubt; a sum of many needs less than each of them alone."""

    __slots__ = ("_calls", "_mean", "_variance")

    def __init__(self) -> None:
        self._calls: deque[tuple[float, float, float]] = deque()
        self._mean = self._variance = 0.0

    def __repr__(self) -> str:
        return f"Doubts({len(self._calls)} calls, {self.units} units)"

    @property
    def units(self) -> int:
        """Units that all of them hardly ever exceed; 0 if there is none."""
        return math.ceil(self._mean + Z * math.sqrt(self._variance)) if self._calls else 0

    @property
    def last(self) -> float | None:
        """When the last of them came in doubt; None if there is none."""
        return self._calls[-1][0] if self._calls else None

    def add(self, at: float, moments: Moments) -> None:
        """Put a call in doubt."""
        self._calls.append((at, moments.mean, moments.variance))
        self._sum()

    def add_first(self, at: float, units: int) -> None:
        """Put calls of an earlier run in doubt."""
        self._calls.appendleft((at, units, 0.0))
        self._sum()

    def settle(self, before: float) -> None:
        """Drop those that came in doubt at *before* at the latest."""
        if self._calls and self._calls[0][0] <= before:
            while self._calls and self._calls[0][0] <= before:
                self._calls.popleft()
            self._sum()

    def shift(self, seconds: float) -> None:
        """Move every instant."""
        self._calls = deque((at + seconds, mean, variance) for at, mean, variance in self._calls)

    def _sum(self) -> None:
        self._mean = math.fsum(mean for _, mean, _ in self._calls)
        self._variance = math.fsum(variance for _, _, variance in self._calls)
