"""How many attempts may be in flight: all that the user allows, less if the service allows fewer.

Latency is no signal here, because the length of an answer rules it; a 5xx or a timeout does not cut.
"""

from __future__ import annotations

from .learnt_limit import LearntLimit

_PROOF = 6
"""Accepted attempts above a limit that prove it to be higher: answers on their way count here and no longer
there, so one alone may pass where the next does not."""

_LONGEST_PAUSE = 300.0
"""Seconds between two trials at most: unlike with a full window, all that a refused one keeps back is
lost."""


class ConcurrencyLimit(LearntLimit):
    """The in-flight limit of one API key."""

    __slots__ = ()

    def __init__(self, max_in_flight: int) -> None:
        super().__init__(max_in_flight, "max_in_flight", proof=_PROOF, longest_pause=_LONGEST_PAUSE)

    @property
    def limit(self) -> int:
        """Attempts that may be in flight now."""
        return int(self.value)
