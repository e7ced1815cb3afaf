"""What a call cost where the service names no cost but a balance: by how much it fell for this call alone.

Every answer carries the balance right after its own call was charged, and on the server balances only fall.
Sorted, each lies below its predecessor by the cost of its own call, whatever the order of arrival. An answer
that is late would leave its cost with its successor, so each waits until those before it should have come.

What others spend, and calls whose answer was lost, lie within the costs of the calls that follow them.

Pure. Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_LATENESS = 0.25
"""Seconds by which answers are late at most, before any was seen to be."""

_SURE = 2.0
"""Factor on the largest lateness seen, for how long an answer waits."""

_FADES = 0.98
"""What remains of the largest lateness with every answer."""

_LATEST = 10.0
"""Seconds that an answer waits at most."""


class _Answer(NamedTuple):
    below: int
    """The balance, negated, so that the highest sorts first."""
    number: int
    at: float
    call: object


class BalanceCosts(Generic[T]):
    """Answers with a balance, until the cost of their call is known."""

    __slots__ = ("_above", "_answers", "_lateness", "_numbers")

    def __init__(self) -> None:
        self._answers: list[_Answer] = []
        self._above: int | None = None
        """The lowest balance whose call's cost is known."""
        self._lateness = _LATENESS
        self._numbers = 0

    def __repr__(self) -> str:
        return f"BalanceCosts({len(self._answers)} wait, below {self._above})"

    def begin(self, balance: int) -> None:
        """Start from a balance that was read."""
        if self._above is None:
            self._above = balance

    def add(self, call: T | None, balance: int, now: float) -> None:
        """Take in an answer's balance; *call* is None if its cost is known already."""
        self._numbers += 1
        answer = _Answer(-balance, self._numbers, now, call)
        insort(self._answers, answer)
        after = [other.at for other in self._answers if other.below > -balance]
        if after:
            self._lateness = max(self._lateness, min(_LATEST, now - min(after)))

    def known(self, now: float, in_flight: int) -> list[tuple[T, int | None]]:
        """Return, and forget, the calls whose cost is known now; None if it lies within another's."""
        if not self._answers:
            return []
        self._lateness = max(_LATENESS, _FADES * self._lateness)
        sent_before = math.inf if in_flight == 0 else now - min(_LATEST, _SURE * self._lateness)
        known: list[tuple[T, int | None]] = []
        taken = 0
        for answer in self._answers:
            if answer.at > sent_before:
                break
            taken += 1
            cost = None if self._above is None else self._above + answer.below
            if cost is None or cost >= 0:
                self._above = -answer.below
            else:
                cost = None  # it came too late: its successor was charged for both
            if answer.call is not None:
                known.append((answer.call, cost))  # type: ignore[arg-type]  # what `add` was given
        del self._answers[:taken]
        return known

    def restart(self, balance: int) -> list[T]:
        """Go on from *balance*, which was paid in to; return the calls whose cost cannot be told any more."""
        lost = [answer.call for answer in self._answers if answer.call is not None]
        self._answers.clear()
        self._above = balance
        return lost  # type: ignore[return-value]  # what `add` was given
