"""Deadlines of requests, with one timer for all of them instead of one for each.

Setting and cancelling a timer of the loop costs more than the rest of a deadline, and hardly one in ten
thousand ever fires. So a single timer is set to the earliest deadline known at that moment; when it fires,
it expires the deadlines that are due, and is set to the next.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class Deadline:
    """The instant by which one task must have left the `with` block; else TimeoutError is raised.

    It may be entered again for the next step of the same work; the instant stays the same. Like
    `asyncio.timeout`, it cancels the task, and does not swallow a cancellation from outside.
    """

    __slots__ = ("_all", "_cancelling", "_expired", "_loop", "_task", "at")

    def __init__(self, deadlines: Deadlines, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._all = deadlines
        self._loop = loop
        self.at = at
        """In seconds of the loop's time; inf: never."""
        self._expired = False

    def __repr__(self) -> str:
        return f"Deadline({'expired' if self._expired else self.at})"

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._all.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.remove(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task."""
        self._expired = True
        self._task.cancel()


class Deadlines:
    """All deadlines of one transport."""

    def __init__(self) -> None:
        self._active: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def __repr__(self) -> str:
        return f"Deadlines({len(self._active)} active)"

    def after(self, loop: asyncio.AbstractEventLoop, seconds: float) -> Deadline:
        """Return a deadline *seconds* from now in *loop*, the running one; inf: never."""
        if loop is not self._loop:
            # The client has outlived the loop in which the timer was set.
            self._loop, self._timer, self._fires_at = loop, None, math.inf
            self._active.clear()
        return Deadline(self, loop, loop.time() + seconds)

    def add(self, deadline: Deadline) -> None:
        """Add a deadline that was entered."""
        self._active.add(deadline)
        if deadline.at < self._fires_at:
            self._set_timer(deadline.at)

    def remove(self, deadline: Deadline) -> None:
        """Remove a deadline that was left. The timer stays: the next call may need it unchanged."""
        self._active.discard(deadline)

    def close(self) -> None:
        """Cancel the timer, unless a deadline is still active: then the timer fires, and is not set again."""
        if not self._active:
            self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires_at = None, math.inf

    def _set_timer(self, at: float) -> None:
        self._cancel_timer()
        assert self._loop is not None
        self._timer, self._fires_at = self._loop.call_at(at, self._fire, at), at

    def _fire(self, due_by: float) -> None:
        """Expire the deadlines that are due, and set the timer to the next."""
        if due_by != self._fires_at:
            return  # the timer of an earlier loop that still runs
        self._fires_at = math.inf
        for deadline in [each for each in self._active if each.at <= due_by]:
            self._active.discard(deadline)
            deadline.expire()
        first = min((each.at for each in self._active), default=math.inf)
        if first < math.inf:
            self._set_timer(first)
