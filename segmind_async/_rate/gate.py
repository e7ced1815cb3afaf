"""After a 429 nothing starts for a while; then one probe, and more with every answer.

    OPEN ──429──▶ CLOSED ──time is up──▶ PROBING ──answered──▶ RAMPING ──enough answers──▶ OPEN
                    ▲                       │                     │
                    └────────── 429 ────────┴─────────────────────┘

One 429 speaks for the whole key. Refusals of requests that were on their way when the gate closed are
late echoes of the same episode: they may keep it closed longer if they say so, but they are no new one.

Pure: times come in, in monotonic seconds.
"""

from __future__ import annotations

import math
from enum import Enum, auto

_FIRST_WAIT, _LAST_WAIT = 1.0, 30.0
"""Seconds it stays closed if the service names no time: doubled with every episode in a row."""

_ENOUGH = 64
"""Starts a ramp allows at once when it is over."""


class Phase(Enum):
    """Where the gate stands."""

    OPEN = auto()
    CLOSED = auto()
    PROBING = auto()
    RAMPING = auto()


class Gate:
    """Opens and closes for all attempts of one API key."""

    __slots__ = ("_allowed", "_closed_at", "_probe", "_wait", "closed_until", "most_in_flight", "phase")

    def __init__(self) -> None:
        self.phase = Phase.OPEN
        self.closed_until = -math.inf
        self.most_in_flight: float = math.inf
        """In flight above which the next probe waits: see `Throttle`."""
        self._closed_at = -math.inf
        self._wait = _FIRST_WAIT
        self._allowed = 0
        self._probe: int | None = None

    def __repr__(self) -> str:
        return f"Gate({self.phase.name.lower()})"

    def next_start(self, now: float, in_flight: int) -> float:
        """Return when the next start may be; inf if that depends on an answer still to come."""
        if self.phase is Phase.CLOSED and now < self.closed_until:
            return self.closed_until
        may = (
            self.phase is Phase.OPEN
            or (self.phase is Phase.CLOSED and in_flight <= self.most_in_flight)
            or (self.phase is Phase.RAMPING and self._allowed > 0)
        )
        return now if may else math.inf

    def start(self, number: int) -> None:
        """Note a start, by its number."""
        if self.phase is Phase.CLOSED:
            self.phase, self._probe = Phase.PROBING, number
        elif self.phase is Phase.RAMPING:
            self._allowed -= 1

    def is_probe(self, number: int) -> bool:
        """Tell whether this start was the one that tries whether the gate may open."""
        return self.phase is Phase.PROBING and number == self._probe

    def is_echo(self, started_at: float) -> bool:
        """Tell whether a request that started then was already on its way when the gate closed."""
        return started_at <= self._closed_at

    def answered(self, number: int) -> None:
        """Note any answer but a 429."""
        if self.is_probe(number):
            self.phase, self._allowed = Phase.RAMPING, 2
        elif self.phase is Phase.RAMPING:
            self._allowed += 2
            if self._allowed >= _ENOUGH:
                self.phase, self._wait = Phase.OPEN, _FIRST_WAIT

    def abandoned(self, number: int) -> None:
        """Note that a start never got an answer: it says nothing, and another may take its place."""
        if self.is_probe(number):
            self.phase = Phase.CLOSED
        elif self.phase is Phase.RAMPING:
            self._allowed += 1

    def close(self, now: float, told: float | None) -> None:
        """Begin an episode: closed for as long as *told*, else for longer each time."""
        wait = self._wait if told is None else told
        self._wait = min(2 * self._wait, _LAST_WAIT)
        self.phase, self._closed_at = Phase.CLOSED, now
        self.closed_until = max(self.closed_until, now + wait)

    def echo(self, now: float, told: float | None) -> None:
        """Take in a late refusal of the episode under way."""
        if told is not None and self.phase is Phase.CLOSED:
            self.closed_until = max(self.closed_until, now + told)

    def shift(self, seconds: float) -> None:
        """Move every instant."""
        self.closed_until += seconds
        self._closed_at += seconds
