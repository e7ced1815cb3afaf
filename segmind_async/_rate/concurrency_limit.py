"""How many attempts may be in flight: as many as the user allows, or fewer if the service allows fewer.

It grows slowly, since a step too far costs refusals: by one after many answers with the limit in use, then by
two, then by four; after a step that was refused, by one again, after twice as many answers. Latency is no
signal, because it depends on the length of the answer. A 5xx or a timeout stops growth and does not cut.
"""

from __future__ import annotations

_GROW_FIRST, _GROW_LAST = 200, 6400
"""Answers at the limit before it grows: at first, and at most."""


class ConcurrencyLimit:
    """The in-flight limit of one API key."""

    __slots__ = ("_at_limit", "_ceiling", "_grow_after", "_step", "highest", "limit", "reason")

    def __init__(self, max_in_flight: int) -> None:
        self._ceiling = max_in_flight
        self.limit: int = max_in_flight
        self.reason: str = "max_in_flight"
        self.highest: int = -1
        """The most others in flight with which a call was accepted since the last cut; -1 for none."""
        self._grow_after = _GROW_FIRST
        self._at_limit = 0
        """Answers at the limit since it last moved or a call failed."""
        self._step = 1

    def __repr__(self) -> str:
        return f"ConcurrencyLimit({self.limit} of {self._ceiling}, {self.reason})"

    def succeeded(self, others: int) -> None:
        """Count an answer to a call that was sent with *others* in flight; may grow the limit."""
        self.highest = max(self.highest, others)
        if self.limit >= self._ceiling or others < self.limit - 1:
            return
        self._at_limit += 1
        if self._at_limit >= self._grow_after:
            self._at_limit = 0
            self.reason = f"{self._grow_after} answers with {self.limit} in flight"
            self.limit = min(self.limit + self._step, self._ceiling)
            self._step *= 2

    def failed(self) -> None:
        """Count a 5xx or a timeout: the count of answers at the limit starts again."""
        self._at_limit = 0

    def cut(self, accepted: int, refused_at: int) -> None:
        """Lower the limit: *accepted* calls at once were accepted, and one with *refused_at* others was not.

        The accepted number decides: requests overtake each other in transit, so the refused one need not be
        the last one sent.
        """
        limit = max(1, min(accepted, self.limit - 1))
        if limit < self._ceiling and self.limit < self._ceiling:
            self._grow_after = min(2 * self._grow_after, _GROW_LAST)
        self.reason = f"429 with {refused_at} in flight: {self.limit} cut to {limit}"
        self.limit = limit
        self.highest = limit - 1
        self._at_limit = 0
        self._step = 1
