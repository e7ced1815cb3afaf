"""What others spend from the same account, as the balance shows it: mean, spread and bursts.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

from .lognormal import NO_MOMENTS, Moments

_STEP = 1.0
"""Seconds that are taken together."""

_REMEMBERED = 60
"""Steps that are kept: bursts that are rarer than this are missed."""

_NOW = 5
"""Steps whose mean is taken to go on: a spender that has stopped is soon forgotten."""

_TWICE = 2.0
"""Factor on the spread: bursts go on until the last call in flight has ended, and that may be long."""

_SILENCE = 4.0
"""Mean gaps between steps with spending after which the spender is taken to have stopped."""

_SILENT_FOR = 15
"""The same, in steps, at least."""

_ACTIVE = 0.05
"""Share of the largest step from which one counts as spending."""

_SETTLING = 3
"""First steps, in which answers get on their way: what is charged and not answered yet looks like others."""

_NOISE = 0.02
"""Share of all that was spent below which a difference is rounding, and no other spender."""

_DIPS = 2.0
"""Factor on the largest fall of what is unexplained, below which it is readings out of order."""


class ExternalSpend:
    """What the balance falls by beyond what our own calls cost."""

    __slots__ = (
        "_ahead", "_ahead_at", "_base", "_began", "_fallen", "_last",
        "_least", "_spent", "_steps", "_unexplained", "silent",
    )  # fmt: skip

    def __init__(self) -> None:
        self._began: float | None = None
        self._steps: deque[tuple[int, float, float]] = deque()
        """Numbers of the last steps, what was unexplained in each, and all that was spent."""
        self._unexplained = self._least = self._base = 0.0
        """What was unexplained since the beginning, its least value in this step, and in the one before."""
        self._spent = self._fallen = 0.0
        """What was spent in all kept steps, and in the current one."""
        self._last = 0
        """Number of the current step."""
        self.silent = True
        """Whether all that was spent lately is our own, as far as readings out of order let it be told."""
        self._ahead, self._ahead_at = NO_MOMENTS, -1
        """Moments for a second ahead, and the step in which they were made."""

    def __repr__(self) -> str:
        return f"ExternalSpend({len(self._steps)} steps, {self._unexplained:.0f} unexplained)"

    def add(self, unexplained: int, fall: int, now: float) -> None:
        """Take in a fall of the balance, and the part of it that no call of ours explains.

        A call that is charged and not answered yet is unexplained for that time. So the least value of each
        step is compared with the one before: what others spend stays.
        """
        if self._began is None:
            self._began = now
        number = int((now - self._began) / _STEP)
        self._unexplained += unexplained
        if number > self._last:
            self._next(number)
        elif self._unexplained < self._least:
            self._least = self._unexplained
        self._fallen += fall

    def _next(self, number: int) -> None:
        """End the current step, and begin a new one."""
        part = self._least - self._base if self._last >= _SETTLING else 0.0
        self._steps.append((self._last, part, self._fallen))
        self._spent += self._fallen
        self._base, self._least = self._least, self._unexplained
        self._last, self._fallen = number, 0.0
        while self._steps and self._steps[0][0] <= number - _REMEMBERED:
            self._spent -= self._steps.popleft()[2]
        more = sum(part for _, part, _ in self._steps)
        dip = -min((part for _, part, _ in self._steps), default=0.0)
        self.silent = more <= max(_NOISE * self._spent, _DIPS * dip)

    def until(self, now: float, seconds: float) -> Moments:
        """Return the moments of what others are to be expected to spend within *seconds*.

        The mean is that of the last seconds; the spread is that of a compound Poisson process: what came in
        bursts will come in bursts.
        """
        if self.silent or self._began is None:
            return NO_MOMENTS
        number = int((now - self._began) / _STEP)
        if number != self._ahead_at:
            self._ahead, self._ahead_at = self._second_ahead(number), number
        mean, variance, third = self._ahead
        return Moments(mean * seconds, _TWICE * variance * seconds, _TWICE * third * seconds)

    def _second_ahead(self, number: int) -> Moments:
        """Return the moments for a second: a mean, and a spread from bursts alone.

        A burst is a step with more than both its neighbours together. Regular spending, cut into steps,
        varies too, but does not add up to more.
        """
        span = number - self._steps[0][0] + 1
        parts = [part for _, part, _ in self._steps]
        dip = -min(0.0, *parts)
        least = max(dip, _ACTIVE * max(parts))
        active = [at for at, part, _ in self._steps if part > least]
        gap = (active[-1] - active[0]) / (len(active) - 1) if len(active) > 1 else _REMEMBERED
        if active and number - active[-1] > max(_SILENT_FOR, _SILENCE * gap):
            return NO_MOMENTS  # whoever spent has stopped
        around = zip([0.0, *parts], parts, [*parts[1:], 0.0], strict=False)
        bursts = [part for before, part, after in around if part > least and part > before + after]
        variance = sum(part**2 for part in bursts) / span
        third = sum(part**3 for part in bursts) / span
        lately = sum(part for at, part, _ in self._steps if at >= number - _NOW) / min(span, _NOW)
        return Moments(max(0.0, lately) / _STEP, variance / _STEP, third / _STEP)

    def shift(self, seconds: float) -> None:
        """Move every instant."""
        if self._began is not None:
            self._began += seconds
