"""What calls have ended in, and what they have cost, minute by minute for an hour. Pure."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import NamedTuple

MINUTES = 60
"""Minutes that are kept."""

_RECENT = 10
"""Minutes that the present cost per hour is taken from: shorter ones jump with each dear answer."""

_SOONEST = 10.0
"""Seconds after the start before which there is no cost per hour."""


class Minute(NamedTuple):
    """Calls that have ended in one minute."""

    answered: int = 0
    failed: int = 0
    cost: Decimal = Decimal(0)
    """Credits of all of them."""


class History:
    """Counts the calls that end; a minute is one of this gateway's own, from when it started.

    Each *now* is at least the one before it.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._newest = 0
        """Number of the last minute that is kept."""
        self._minutes: deque[Minute] = deque([Minute()], maxlen=MINUTES)

    def uptime(self, now: float) -> float:
        """Return the seconds since it started."""
        return now - self._began

    def add(self, now: float, cost: Decimal | None, *, failed: bool) -> None:
        """Count a call that ended at *now* (seconds of a monotonic clock); None: its cost is not known."""
        self._move_to(now)
        last = self._minutes[-1]
        self._minutes[-1] = Minute(
            last.answered + (not failed), last.failed + failed, last.cost + (cost or Decimal(0))
        )

    def minutes(self, now: float) -> tuple[Minute, ...]:
        """Return the last minutes, 60 at most, oldest first; the last one is not over yet."""
        self._move_to(now)
        return tuple(self._minutes)

    def cost_per_hour(self, now: float) -> Decimal | None:
        """Return the credits of an hour as the last ten minutes were; None if it has just started."""
        if self.uptime(now) < _SOONEST:
            return None
        found = self.minutes(now)[-_RECENT:]
        seconds = self.uptime(now) % 60 + 60 * (len(found) - 1)
        return sum((one.cost for one in found), Decimal(0)) * 3600 / Decimal(seconds)

    def _move_to(self, now: float) -> None:
        """Begin the minute of *now*, and those before it in which nothing has ended."""
        number = int(self.uptime(now) // 60)
        self._minutes.extend([Minute()] * min(MINUTES, number - self._newest))
        self._newest = number
