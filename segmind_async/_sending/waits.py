"""What keeps calls from being sent: the block of the queue, and the pauses of calls outside of it. Pure.

Of several waits one is shown: that which explains why nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .._money.units import credits_of
from .._text.wait_reasons import Wait, WaitReason

_ORDER = (WaitReason.OUTAGE, None, WaitReason.TOP_UP, WaitReason.DOUBTS, WaitReason.RETRY)
"""Which wait is shown first; None stands for the block of the queue."""


@dataclass(slots=True, eq=False)
class Pause:
    """One wait; times in seconds."""

    reason: WaitReason
    since: float
    until: float = math.inf
    """When it ends or something is tried; inf if an answer must come first."""
    available: int | None = None
    """Units left; None if money is not what is missing."""
    needed: int | None = None
    """Units that the next call may cost; None as above."""

    def seen(self, now: float) -> Wait:
        """Return it as it is at *now*."""
        return Wait(
            self.reason,
            max(0.0, now - self.since),
            None if self.until == math.inf else max(0.0, self.until - now),
            None if self.available is None else credits_of(max(0, self.available)),
            None if self.needed is None else credits_of(self.needed),
        )


class Waits:
    """The waits of one client. *began* is told of each new one that nothing in flight can end."""

    __slots__ = ("_began", "_block", "_pauses", "_told")

    def __init__(self, began: Callable[[Wait], None] | None = None) -> None:
        self._began = began
        self._block: Pause | None = None
        self._pauses: list[Pause] = []
        self._told: WaitReason | None = None

    def __repr__(self) -> str:
        return f"Waits({self._block!r}, {len(self._pauses)} pauses)"

    @property
    def paused(self) -> bool:
        """Whether any call waits outside of the queue."""
        return bool(self._pauses)

    def block(self, pause: Pause) -> None:
        """Note what the first call of the queue waits for, since when it began to."""
        if self._block is not None and self._block.reason is pause.reason:
            pause.since = self._block.since
        self._block = pause

    def unblock(self) -> None:
        """Note that a call of the queue was sent."""
        self._block = None

    @contextmanager
    def pause(self, pause: Pause) -> Iterator[Pause]:
        """Note a wait outside of the queue while the context lasts; its `until` may be moved."""
        self._pauses.append(pause)
        try:
            yield pause
        finally:
            self._pauses.remove(pause)

    def now(self, now: float, *, queued: bool) -> Wait | None:
        """Return the wait that is shown; *queued*: whether any call is in the queue."""
        found = self._first(queued)
        return None if found is None else found.seen(now)

    def tell(self, now: float, in_flight: int, *, queued: bool) -> None:
        """Tell of the wait if it is a new one, and nothing is in flight; forget the last one otherwise."""
        found = None if in_flight else self._first(queued)
        reason = None if found is None else found.reason
        if reason is self._told:
            return
        self._told = reason
        # A pause before a retry is an event of its own.
        if found is not None and reason is not WaitReason.RETRY and self._began is not None:
            self._began(found.seen(now))

    def _first(self, queued: bool) -> Pause | None:
        for reason in _ORDER:
            if reason is None:
                found = [self._block] if queued and self._block is not None else []
            else:
                found = [pause for pause in self._pauses if pause.reason is reason]
            if found:
                return min(found, key=lambda pause: pause.until)
        return None
