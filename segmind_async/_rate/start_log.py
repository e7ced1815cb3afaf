"""Starts of the last minutes, in order: how many fall into any span.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

_SPARE = 1024
"""Entries at the front that may be out of date before the lists are shortened."""


class StartLog:
    """Instants and numbers of starts."""

    __slots__ = ("_at", "_first", "_numbers", "keep", "most")

    def __init__(self, keep: float, most: int) -> None:
        self.keep: float = keep
        """Seconds for which a start is remembered."""
        self.most: int = most
        """How many are remembered at most."""
        self._at: list[float] = []
        self._numbers: list[int] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._at) - self._first

    def __repr__(self) -> str:
        return f"StartLog({len(self)} starts within {self.keep:g} s)"

    def add(self, at: float, number: int) -> None:
        """Add a start, mostly the last one."""
        if not self._numbers or number > self._numbers[-1]:
            self._at.append(at)
            self._numbers.append(number)
        else:
            place = bisect_left(self._numbers, number, self._first)
            self._at.insert(place, at)
            self._numbers.insert(place, number)

    def extend(self, times: list[float]) -> None:
        """Put starts in front that are older than all others, in order."""
        self._at[:] = times + self._at[self._first :]
        self._numbers[:] = [0] * len(times) + self._numbers[self._first :]
        self._first = 0

    def trim(self, now: float) -> None:
        """Forget what is older than `keep`, or beyond `most`. Amortised constant time."""
        at, oldest = self._at, now - self.keep
        first = max(self._first, len(at) - self.most)
        while first < len(at) and at[first] <= oldest:
            first += 1
        if first > _SPARE:
            del at[:first], self._numbers[:first]
            first = 0
        self._first = first

    def before(self, number: int, at: float, span: float) -> int:
        """Return how many starts came before the one with this number, within the *span* seconds up to
        *at*.
        """
        last = bisect_left(self._numbers, number, self._first)
        return last - bisect_right(self._at, at - span, self._first, last)

    def oldest(self, now: float, span: float) -> float | None:
        """Return the first start within the *span* seconds that end at *now*; None without any."""
        place = bisect_right(self._at, now - span, self._first)
        return self._at[place] if place < len(self._at) else None

    def newest(self, number: int) -> float:
        """Return the *number*-th start from the end, the last being the first; the log must hold as many."""
        return self._at[-number]

    def ages(self, now: float) -> tuple[float, ...]:
        """Return the ages of all starts in seconds, newest first."""
        return tuple(now - at for at in reversed(self._at[self._first :]))

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept."""
        self._at = [at + seconds for at in self._at[self._first :]]
        self._numbers = self._numbers[self._first :]
        self._first = 0
