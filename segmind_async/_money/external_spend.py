"""What others spend from the same account, as the balance shows it: a rate, and what it may take meanwhile.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

_OVER, _AT_LEAST = 5.0, 8
"""Seconds over which the rate is taken, and points, where they are further apart."""

_STEP = 0.5
"""Seconds between two points, at least."""

_NOISE = 0.05
"""Share of all that was spent below which a difference is readings out of order, and no other spender."""


class ExternalSpend:
    """The rate at which the balance falls beyond what our own calls cost."""

    __slots__ = ("_points", "_spent", "_unexplained")

    def __init__(self) -> None:
        self._points: deque[tuple[float, int, int]] = deque()
        self._unexplained = self._spent = 0

    def __repr__(self) -> str:
        return f"Drift({len(self._points)} points, {self._unexplained} unexplained)"

    def add(self, unexplained: int, fall: int, now: float) -> None:
        """Take in a fall of the balance, and the part of it that no call of ours explains."""
        self._unexplained += unexplained
        self._spent += fall
        if self._points and now - self._points[-1][0] < _STEP:
            return
        self._points.append((now, self._unexplained, self._spent))
        while len(self._points) > _AT_LEAST and now - self._points[0][0] > _OVER:
            self._points.popleft()

    def until(self, now: float, seconds: float) -> int:
        """Return what others are to be expected to spend within *seconds*."""
        if len(self._points) < 3:
            return 0
        since, unexplained, spent = self._points[0]
        more, all_of_it = self._unexplained - unexplained, self._spent - spent
        if more <= _NOISE * all_of_it:
            return 0
        return int(more / (now - since) * seconds)

    def shift(self, seconds: float) -> None:
        """Move every instant."""
        self._points = deque((at + seconds, more, spent) for at, more, spent in self._points)
