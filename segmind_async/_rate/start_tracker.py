"""Which starts were accepted: a start that was answered, or was not refused for as long as refusals take.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_FIRST_DELAY, _LEAST_DELAY, _MOST_DELAY = 0.5, 0.05, 10.0
"""Seconds within which a refusal comes, before one was seen, and the bounds of what is learnt of it."""

_FADE, _MARGIN = 0.9, 2.0
"""Share of the former delay that stays with each refusal, and how many times the time of the last one
counts."""


class StartTag(NamedTuple):
    """Identifies one start."""

    number: int
    """From 1, in the order of starts."""
    at: float
    """When it started, seconds."""
    others: int
    """Attempts that were in flight besides it."""
    paced: bool = False
    """Whether it waited for the pace alone."""


class StartTracker:
    """Starts of which it is not known yet whether they were refused."""

    __slots__ = ("_ended", "_pending", "delay")

    def __init__(self) -> None:
        self.delay: float = _FIRST_DELAY
        """Seconds within which a refusal comes."""
        self._pending: deque[StartTag] = deque()
        self._ended: set[int] = set()
        """Numbers of those that ended before an older one did."""

    def __repr__(self) -> str:
        return f"StartTracker({len(self._pending) - len(self._ended)} open, {self.delay:g} s)"

    def add(self, tag: StartTag) -> None:
        """Add the newest start."""
        self._pending.append(tag)

    def end(self, tag: StartTag) -> bool:
        """Remove a start; return whether it was still open."""
        pending, ended = self._pending, self._ended
        if not pending or tag.number < pending[0].number or tag.number in ended:
            return False
        ended.add(tag.number)
        while pending and pending[0].number in ended:
            ended.discard(pending.popleft().number)
        return True

    def refused_after(self, seconds: float) -> None:
        """Record how long a refusal took."""
        self.delay = min(max(_FADE * self.delay, _MARGIN * seconds, _LEAST_DELAY), _MOST_DELAY)

    @property
    def next_due(self) -> float | None:
        """When the oldest start counts as accepted; None without one."""
        return self._pending[0].at + self.delay if self._pending else None

    def due(self, now: float) -> StartTag | None:
        """Return the oldest start if it counts as accepted by now."""
        return self._pending[0] if self._pending and self._pending[0].at + self.delay <= now else None

    def clear(self) -> None:
        """Forget all starts."""
        self._pending.clear()
        self._ended.clear()
