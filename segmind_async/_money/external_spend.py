"""External spend: what others spend from the same account, learnt from falls of the balance.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

_OVER, _MIN_POINTS = 5.0, 8
"""Seconds over which the rate is taken, or as many points where these span more."""

_STEP = 0.5
"""Least seconds between two points."""

_NOISE = 0.05
"""Share of all spending below which an unexplained fall comes from balances out of order."""


class ExternalSpend:
    """The rate at which the balance falls faster than our own calls explain."""

    __slots__ = ("_points", "_spent", "_unexplained")

    def __init__(self) -> None:
        self._points: deque[tuple[float, int, int]] = deque()
        self._unexplained = self._spent = 0

    def __repr__(self) -> str:
        return f"ExternalSpend({len(self._points)} points, {self._unexplained} unexplained)"

    def add(self, unexplained: int, fall: int, now: float) -> None:
        """Add a fall of the balance, and the part of it that none of our calls explains."""
        self._unexplained += unexplained
        self._spent += fall
        if self._points and now - self._points[-1][0] < _STEP:
            return
        self._points.append((now, self._unexplained, self._spent))
        while len(self._points) > _MIN_POINTS and now - self._points[0][0] > _OVER:
            self._points.popleft()

    def until(self, now: float, seconds: float) -> int:
        """Return the units that others are expected to spend within *seconds*; 0 without evidence."""
        if len(self._points) < 3:
            return 0
        since, unexplained, spent = self._points[0]
        external, total = self._unexplained - unexplained, self._spent - spent
        if external <= _NOISE * total:
            return 0
        return int(external / (now - since) * seconds)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept."""
        self._points = deque((at + seconds, external, spent) for at, external, spent in self._points)
