"""How many attempts may be in flight: all that the user allows, less if the service allows fewer.

Grown with care, since every step too far costs refusals: one more after many answers with the limit in
use, then two, then four; and after a step that went wrong one again, after twice as many answers. Latency
is no signal here, because the length of an answer rules it; a 5xx or a timeout stops growth and does not
cut.
"""

from __future__ import annotations

_GROW_FIRST, _GROW_LAST = 200, 6400
"""Answers at the limit before it is tried higher: at first, and at most."""


class ConcurrencyLimit:
    """The in-flight limit of one API key."""

    __slots__ = ("_ceiling", "_full", "_grow_after", "_step", "highest", "limit", "reason")

    def __init__(self, max_in_flight: int) -> None:
        self._ceiling = max_in_flight
        self.limit = max_in_flight
        self.reason = "max_in_flight"
        self.highest = -1
        """The most others in flight with which a call was let in, since the last cut."""
        self._grow_after = _GROW_FIRST
        self._full = 0
        self._step = 1

    def __repr__(self) -> str:
        return f"ConcurrencyLimit({self.limit} of {self._ceiling}, {self.reason})"

    def succeeded(self, others: int) -> None:
        """Note an answer to a call that was sent with *others* in flight."""
        self.highest = max(self.highest, others)
        if self.limit >= self._ceiling or others < self.limit - 1:
            return
        self._full += 1
        if self._full >= self._grow_after:
            self._full = 0
            self.reason = f"{self._grow_after} answers with {self.limit} in flight"
            self.limit = min(self.limit + self._step, self._ceiling)
            self._step *= 2

    def failed(self) -> None:
        """Note a 5xx or a timeout: not the moment to grow."""
        self._full = 0

    def cut(self, fits: int, refused_at: int) -> None:
        """Learn that *fits* calls at once were accepted, and one with *refused_at* others was not.

        What was accepted decides: requests overtake each other on their way, and the one that is refused
        need not be the one that left last.
        """
        limit = max(1, min(fits, self.limit - 1))
        if limit < self._ceiling and self.limit < self._ceiling:
            self._grow_after = min(2 * self._grow_after, _GROW_LAST)
        self.reason = f"429 with {refused_at} in flight: {self.limit} cut to {limit}"
        self.limit = limit
        self.highest = limit - 1
        self._full = 0
        self._step = 1
