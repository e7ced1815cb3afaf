"""Ends what takes too long: one timer for all that is under way, in place of one for each.

A timer of the loop costs more to set and cancel than all else that a deadline needs, and hardly one in
ten thousand ever fires. So the one timer stands at the earliest deadline that was known when it was
set; when it fires, it looks who is due by then, and is set anew.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class Deadline:
    """The instant by which one task must have left what stands under `with`; TimeoutError if it has not.

    It may be entered again, for the next step of the same work: the instant stays. Like
    `asyncio.timeout`, it ends the work by cancelling its task, and lets pass a cancellation from outside.
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
        self._all.watch(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.forget(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the work."""
        self._expired = True
        self._task.cancel()


class Deadlines:
    """All deadlines of one transport."""

    def __init__(self) -> None:
        self._under_way: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf

    def __repr__(self) -> str:
        return f"Deadlines({len(self._under_way)} under way)"

    def after(self, loop: asyncio.AbstractEventLoop, seconds: float) -> Deadline:
        """Return the deadline so many seconds from now in *loop*, which runs; inf: none."""
        if loop is not self._loop:
            # The client has outlived the loop of the timer that was set.
            self._loop, self._timer, self._looks_at = loop, None, math.inf
            self._under_way.clear()
        return Deadline(self, loop, loop.time() + seconds)

    def watch(self, deadline: Deadline) -> None:
        """Take in a deadline that was entered."""
        self._under_way.add(deadline)
        if deadline.at < self._looks_at:
            self._look_at(deadline.at)

    def forget(self, deadline: Deadline) -> None:
        """Let go of one that was left. The timer stays: the next call may need it as it is."""
        self._under_way.discard(deadline)

    def close(self) -> None:
        """Let go of the timer, unless something is still under way: then it ends that, and itself."""
        if not self._under_way:
            self._forget_timer()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._looks_at = None, math.inf

    def _look_at(self, at: float) -> None:
        self._forget_timer()
        assert self._loop is not None
        self._timer, self._looks_at = self._loop.call_at(at, self._look, at), at

    def _look(self, due_by: float) -> None:
        """End what is due, and come back for the next."""
        if due_by != self._looks_at:
            return  # the timer of a loop that was left, and lives on
        self._looks_at = math.inf
        for deadline in [each for each in self._under_way if each.at <= due_by]:
            self._under_way.discard(deadline)
            deadline.expire()
        first = min((each.at for each in self._under_way), default=math.inf)
        if first < math.inf:
            self._look_at(first)
