"""After a 429 nothing starts for a while; then one probe starts, and two more with every answer.

    OPEN ──429──▶ CLOSED ──time is up──▶ PROBING ──answered──▶ RAMPING ──enough answers──▶ OPEN
                    ▲                       │                     │
                    └────────── 429 ────────┴─────────────────────┘

A 429 counts for the whole key. A refused request that was already sent when the gate closed is a late echo of
the same episode: it prolongs the wait if its Retry-After says so, but it begins no new episode. (Open is the
state in which attempts start; of a circuit breaker the word means the opposite.)

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from enum import Enum, auto

_FIRST_WAIT, _LAST_WAIT = 1.0, 30.0
"""Seconds it stays closed without a Retry-After: doubled with every episode in a row, up to the last."""

_RAMP_ENDS = 64
"""Starts allowed at once at which the ramp is over and the gate open."""


class Phase(Enum):
    """The state of the gate."""

    OPEN = auto()
    """Every attempt may start."""
    CLOSED = auto()
    """No attempt may start until the wait is over; then one may, the probe."""
    PROBING = auto()
    """The probe is in flight; no other attempt may start."""
    RAMPING = auto()
    """As many attempts may start as the answers so far allow."""


class Gate:
    """Opens and closes for all attempts of one API key."""

    __slots__ = ("_allowed", "_closed_at", "_probe", "_wait", "closed_until", "most_in_flight", "phase")

    def __init__(self) -> None:
        self.phase: Phase = Phase.OPEN
        self.closed_until: float = -math.inf
        self.most_in_flight: float = math.inf
        """Attempts in flight above which the next probe waits; inf for no condition. See `Throttle`."""
        self._closed_at = -math.inf
        self._wait = _FIRST_WAIT
        self._allowed = 0
        self._probe: int | None = None

    def __repr__(self) -> str:
        return f"Gate({self.phase.name.lower()})"

    def next_start(self, now: float, in_flight: int) -> float:
        """Return the earliest instant of the next start; inf if an answer must come first."""
        if self.phase is Phase.CLOSED and now < self.closed_until:
            return self.closed_until
        allowed = (
            self.phase is Phase.OPEN
            or (self.phase is Phase.CLOSED and in_flight <= self.most_in_flight)
            or (self.phase is Phase.RAMPING and self._allowed > 0)
        )
        return now if allowed else math.inf

    def start(self, number: int) -> None:
        """Count a start, which must be allowed; *number* identifies it."""
        if self.phase is Phase.CLOSED:
            self.phase, self._probe = Phase.PROBING, number
        elif self.phase is Phase.RAMPING:
            self._allowed -= 1

    def is_probe(self, number: int) -> bool:
        """Return whether start *number* is the probe in flight."""
        return self.phase is Phase.PROBING and number == self._probe

    def is_echo(self, started_at: float) -> bool:
        """Return whether a request that started at *started_at* was already sent when the gate closed."""
        return started_at <= self._closed_at

    def answered(self, number: int) -> None:
        """Count any answer but a 429."""
        if self.is_probe(number):
            self.phase, self._allowed = Phase.RAMPING, 2
        elif self.phase is Phase.RAMPING:
            self._allowed += 2
            if self._allowed >= _RAMP_ENDS:
                self.phase, self._wait = Phase.OPEN, _FIRST_WAIT

    def abandoned(self, number: int) -> None:
        """Count a start without an answer: it proves nothing, and another one may take its place."""
        if self.is_probe(number):
            self.phase = Phase.CLOSED
        elif self.phase is Phase.RAMPING:
            self._allowed += 1

    def close(self, now: float, retry_after: float | None) -> None:
        """Begin an episode: close for *retry_after* seconds; None: for twice as long as the last time."""
        wait = self._wait if retry_after is None else retry_after
        self._wait = min(2 * self._wait, _LAST_WAIT)
        self.phase, self._closed_at = Phase.CLOSED, now
        self.closed_until = max(self.closed_until, now + wait)

    def echo(self, now: float, retry_after: float | None) -> None:
        """Take in a late refusal of the current episode: it may prolong the wait."""
        if retry_after is not None and self.phase is Phase.CLOSED:
            self.closed_until = max(self.closed_until, now + retry_after)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.closed_until += seconds
        self._closed_at += seconds
