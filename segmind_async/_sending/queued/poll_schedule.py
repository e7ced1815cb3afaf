"""When to poll queued requests: seldom enough to leave the rate to the submissions.

The first poll comes when requests of the same model usually end, later ones at growing intervals. Where a
rate is in force, polls take at most half of it. Pure; times in seconds.
"""

from __future__ import annotations

_FIRST, _GROWTH, _LONGEST = 1.0, 1.5, 10.0
"""Seconds between two polls: the first interval, its growth and the longest. The service's documentation
(2026-08) recommends one second, and 5 to 10 for long work."""

_GROWING_POLLS = 16
"""Polls after which the interval no longer grows: bounds the power computed."""

_SHARE = 0.5
"""Share of the rate that polls may take."""

_EARLY = 0.8
"""Share of the usual duration after which the first poll comes."""

_SMOOTHING = 0.1
"""Weight of the newest duration in the usual one."""


class Polling:
    """Polling times of all requests queued by one job."""

    __slots__ = ("_usual", "waiting")

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}
        self.waiting = 0
        """Requests that are waited for."""

    def __repr__(self) -> str:
        return f"Polling({self.waiting} waiting)"

    def began(self) -> None:
        """Count one more waiting request."""
        self.waiting += 1

    def left(self) -> None:
        """Count one less waiting request."""
        self.waiting -= 1

    def ended(self, path: str, seconds: float) -> None:
        """Learn the duration of a request to *path*, which names its model."""
        usual = self._usual.get(path, seconds)
        self._usual[path] = usual + _SMOOTHING * (seconds - usual)

    def first(self, path: str) -> float:
        """Return the seconds before the first poll of a request to *path*."""
        return max(_FIRST, _EARLY * self._usual.get(path, 0.0))

    def next(self, polls: int, rate: float | None) -> float:
        """Return the seconds before the next poll after *polls* ones.

        *rate* is the pace in force, requests a minute; None: no limit.
        """
        grown = min(_FIRST * _GROWTH ** min(polls, _GROWING_POLLS), _LONGEST)
        return grown if rate is None else max(grown, self.waiting * 60.0 / (rate * _SHARE))
