"""When to look at what the service has queued: seldom enough to leave the rate to the submissions.

The first look comes when work of its kind is usually done, later ones further and further apart. Where a
rate is in force, looks take at most half of it. Pure; seconds.
"""

from __future__ import annotations

_FIRST, _GROWTH, _LONGEST = 1.0, 1.5, 10.0
"""Seconds between two looks at first, how they grow, and the longest. The service's documentation asks
for one a second, and 5 to 10 for long work."""

_ENOUGH = 16
"""Looks after which the pause grows no more, whatever the figures above."""

_SHARE = 0.5
"""Share of the rate that looks may take."""

_EARLY = 0.8
"""Share of the usual time after which the first look comes."""

_SMOOTHING = 0.1
"""Weight of the newest time among the usual ones."""


class Polling:
    """When to look, for all that is queued by one job."""

    __slots__ = ("_usual", "out")

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}
        self.out = 0
        """Requests that are being waited for."""

    def __repr__(self) -> str:
        return f"Polling({self.out} out)"

    def began(self) -> None:
        """Count one more to wait for."""
        self.out += 1

    def left(self) -> None:
        """Count one less."""
        self.out -= 1

    def ended(self, kind: str, seconds: float) -> None:
        """Learn how long work of this kind took."""
        usual = self._usual.get(kind, seconds)
        self._usual[kind] = usual + _SMOOTHING * (seconds - usual)

    def first(self, kind: str) -> float:
        """Return how long to wait before the first look."""
        return max(_FIRST, _EARLY * self._usual.get(kind, 0.0))

    def next(self, looks: int, rate: float | None) -> float:
        """Return how long to wait after so many *looks*.

        *rate* is in force for all requests, a minute; None for no limit.
        """
        grown = min(_FIRST * _GROWTH ** min(looks, _ENOUGH), _LONGEST)
        return grown if rate is None else max(grown, self.out * 60.0 / (rate * _SHARE))
