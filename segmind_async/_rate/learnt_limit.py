"""A bound on a load, learnt from refusals, and the trials that raise it again.

A load is the number of attempts in flight, or of starts within some seconds. The bound holds two pieces of
evidence: the highest load that is known to pass, and the bound itself, at or above it. While the load is at
the bound, now and then a trial goes one above it; passed, it is followed at once by one twice as far, so
that a limit that was raised is found again within seconds. A trial that is refused costs one 429 and what
the gate is then closed for; it puts the bound back, and the next one comes later. What has passed may do so
by chance, so a refusal soon after takes the last step back.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math

_FIRST_CALLS, _LAST_CALLS = 12.0, 30.0
"""Loads at the bound between two trials, at first and at most: refused trials are then under one call in
30."""

_FIRST_PAUSE, _LAST_PAUSE = 10.0, 45.0
"""Seconds between two trials, so that a change of the service is met within a window of a minute."""

_SOON_CALLS, _SOON_PAUSE = 2.0, 5.0
"""The same before the first trial of a bound that says only "at least"."""

_BACK_OFF = 1.5
"""Factor on both after a refused trial."""

_CLOSED_SHARE = 8.0
"""Times the seconds for which a refused trial has kept everything back before the next one: trials then cost
at most a ninth of the rate."""

_LARGEST_STEP = 0.25
"""Share of the bound by which one trial may exceed it."""

_NEARLY = 0.25
"""Share of a step that may be left over when the trial has passed."""

_ABOUT = 0.9
"""Share of what is known to pass from which a refused load ends a trial: loads are only known roughly, and a
trial that ends too early costs little."""


class LearntLimit:
    """An upper bound on a load."""

    __slots__ = (
        "_above", "_at_bound", "_calls", "_ceiling", "_held", "_least_pause", "_longest_pause",
        "_lowest_above", "_pause", "_proof", "_refused", "_since", "_size", "_step",
        "passed", "reason", "value",
    )  # fmt: skip

    def __init__(self, ceiling: float, reason: str, *, proof: int, longest_pause: float) -> None:
        """*proof*: how many loads above what is known to pass must be accepted before that is known to pass
        too.

        *longest_pause*: seconds between two trials at most, however long the refused ones keep everything
        back.
        """
        self._proof = proof
        self._longest_pause = longest_pause
        self.set_ceiling(ceiling, reason)

    def set_ceiling(self, ceiling: float, reason: str) -> None:
        """Start anew with a bound that was set from outside; inf for none."""
        self._ceiling = ceiling
        self.value: float = ceiling
        """The load that is allowed; inf for any."""
        self.passed: float = ceiling
        """The highest load that is known to pass, at most the bound."""
        self._held = ceiling
        """The bound before the last step, until the present one has been in use for as long as a trial
        waits."""
        self.reason: str = reason
        """Why the bound last moved."""
        self._above = 0
        self._lowest_above = math.inf
        """Accepted loads above what is known to pass, and the lowest of them."""
        self._step = self._size = 1.0
        """How far the next trial goes beyond the bound, if it may, and how far the last one went."""
        self._at_bound = 0
        """Accepted loads at the bound since it last moved."""
        self._refused = 0
        """Refusals since then that a trial may explain."""
        self._since = -math.inf
        self._calls, self._pause, self._least_pause = _FIRST_CALLS, _FIRST_PAUSE, 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value:g} of {self._ceiling:g}, {self.reason})"

    @property
    def is_set(self) -> bool:
        """Whether there is any bound."""
        return self.value < math.inf

    @property
    def learnt(self) -> bool:
        """Whether a refusal has lowered it."""
        return self.value < self._ceiling

    @property
    def on_trial(self) -> bool:
        """Whether it stands above what is known to pass."""
        return self.value > self.passed

    def lower(self, load: float, now: float, reason: str, *, at_least: bool = False) -> None:
        """Set the bound to *load*, the most that passed. Never raises it.

        *at_least*: others may have had a part in the load, so that the first trial comes soon.
        """
        value = min(self.value, max(1.0, load))
        self.reason = f"{reason}: {_written(self.value)} lowered to {value:g}"
        self._step = 1.0
        self._calls, self._pause = _FIRST_CALLS, max(_FIRST_PAUSE, self._least_pause)
        if at_least:
            self._calls, self._pause = _SOON_CALLS, _SOON_PAUSE
        self._set(value, now)

    def undo(self, value: float, now: float) -> None:
        """Raise the bound to *value* again: lowering it has not made refusals rarer."""
        self.reason = f"{self.value:g} raised to {_written(value)}: 429s came as often below it"
        self._set(max(self.value, value), now)

    def _set(self, value: float, now: float) -> None:
        self.value = self.passed = self._held = value
        self._above, self._lowest_above = 0, math.inf
        self._at_bound = self._refused = 0
        self._since = now

    def accepted(self, load: float, now: float, *, in_use: bool = False) -> float:
        """Record that *load* was accepted; return by how much the bound has risen, mostly 0.

        *in_use*: the bound held the attempt back, although the load is below it.
        """
        if self.on_trial:
            return self._accepted_on_trial(load, now)
        if self.value >= self._ceiling or not (in_use or load >= self.value - 1):
            return 0.0
        self._at_bound += 1
        if self._at_bound < self._calls or now - self._since < self._pause:
            return 0.0
        self._held = self.value
        return self._raise(now)

    def _accepted_on_trial(self, load: float, now: float) -> float:
        if load <= self.passed:
            return 0.0
        self._above += 1
        self._lowest_above = min(self._lowest_above, load)
        if self._above < self._proof:
            return 0.0
        self._held, self.passed = self.passed, min(self._lowest_above, self.value)
        self._above, self._lowest_above = 0, math.inf
        if self.value >= self._ceiling or self.value - self.passed > _NEARLY * (self._size - 1):
            return 0.0
        self._step *= 2
        self._calls, self._pause = _FIRST_CALLS, max(_FIRST_PAUSE, self._least_pause)
        return self._raise(now)

    def _raise(self, now: float) -> float:
        """Begin a trial; return by how much the bound has risen."""
        self._size = max(1.0, math.floor(min(self._step, _LARGEST_STEP * self.value)))
        before, self.value = self.value, min(self.value + self._size, self._ceiling)
        self.reason = f"{before:g} passed for {now - self._since:.0f} s: trying {self.value:g}"
        self._at_bound = self._above = self._refused = 0
        self._lowest_above = math.inf
        self._since = now
        return self.value - before

    def refused(self, load: float, now: float, *, by_chance: bool = False) -> bool:
        """Return whether a trial, or the step before, may explain that *load* was refused; it is then taken
        back.

        *by_chance*: refusals look like chance, so that one alone does not end a trial.
        """
        known = self.passed if self.on_trial else self._held
        if self.value <= known or load < _ABOUT * known:
            return False
        self._refused += 1
        if by_chance and self._refused < 2:
            return False
        self.reason = f"429 at {load:g}: back to {known:g}"
        self._step = 1.0
        self._calls = min(_BACK_OFF * self._calls, _LAST_CALLS)
        self._pause = max(min(_BACK_OFF * self._pause, _LAST_PAUSE), self._least_pause)
        held = self._held
        self._set(known, now)
        self._held = min(held, known)
        return True

    def closed_for(self, seconds: float) -> None:
        """Record how long a refused trial has kept everything back: dear trials come seldom."""
        self._least_pause = min(_CLOSED_SHARE * seconds, self._longest_pause)
        self._pause = max(self._pause, self._least_pause)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept."""
        self._since += seconds


def _written(value: float) -> str:
    return "no bound" if value == math.inf else f"{value:g}"
