"""After a 429 nothing starts for a while; then one probe starts, and more with every start that is not
refused.

    OPEN ──429──▶ CLOSED ──time is up──▶ PROBING ──not refused──▶ RAMPING ──enough──▶ OPEN
                    ▲                       │                        │
                    └────────── 429 ────────┴────────────────────────┘

A 429 counts for the whole key. A refused request that was already sent when the gate closed is a late echo of
the same episode: it prolongs the wait if its Retry-After says so, but it begins no new episode. (Open is the
state in which attempts start; of a circuit breaker the word means the opposite.)

The wait is what the service asks for. If it names none, it is a second, twice as long with every probe that
is refused, and half as long each time while refusals are chance: what lets nearly everything pass is not
worth a pause.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from enum import Enum, auto

_FIRST_WAIT, _SHORTEST_WAIT, _LAST_WAIT = 1.0, 0.05, 30.0
"""Seconds it stays closed without a Retry-After: at first, at least and at most."""

_PATIENCE = 2
"""Refused probes in a row after which a named wait is not believed any more, and prolonged."""

_ENOUGH = 64
"""Starts that were not refused, after which the gate is open again."""


class Phase(Enum):
    """The state of the gate."""

    OPEN = auto()
    """Every attempt may start."""
    CLOSED = auto()
    """No attempt may start until the wait is over; then one may, the probe."""
    PROBING = auto()
    """The probe is in flight; no other attempt may start."""
    RAMPING = auto()
    """As many attempts may start as the starts so far allow."""


class Gate:
    """Opens and closes for all attempts of one API key."""

    __slots__ = (
        "_closed_at", "_passed", "_probe", "_probes_refused", "_ramped", "_wait",
        "by_chance", "closed_until", "phase",
    )  # fmt: skip

    def __init__(self) -> None:
        self.phase: Phase = Phase.OPEN
        self.closed_until: float = -math.inf
        self.by_chance: bool = False
        """Whether refusals look like chance: then long waits and slow starts help nobody."""
        self._closed_at = -math.inf
        self._wait = _FIRST_WAIT
        self._passed = 0
        """Starts since the gate was last closed that were not refused."""
        self._ramped = 0
        """Starts since it began to open again."""
        self._probe: int | None = None
        self._probes_refused = 0

    def __repr__(self) -> str:
        return f"Gate({self.phase.name.lower()})"

    def next_start(self, now: float) -> float:
        """Return the earliest instant of the next start; inf if a start in flight must pass first."""
        if self.phase is Phase.CLOSED:
            return max(now, self.closed_until)
        allowed = self.phase is Phase.OPEN or (
            self.phase is Phase.RAMPING and self._ramped <= 2 * self._passed
        )
        return now if allowed else math.inf

    def start(self, number: int) -> None:
        """Count a start, which must be allowed; *number* identifies it."""
        if self.phase is Phase.CLOSED:
            self.phase, self._probe, self._ramped = Phase.PROBING, number, 0
        elif self.phase is Phase.RAMPING:
            self._ramped += 1

    def is_probe(self, number: int) -> bool:
        """Return whether start *number* is the probe in flight."""
        return self.phase is Phase.PROBING and number == self._probe

    def is_echo(self, started_at: float) -> bool:
        """Return whether a request that started at *started_at* was already sent when the gate closed."""
        return started_at <= self._closed_at

    def passed(self, number: int) -> None:
        """Count a start that was answered, or not refused for as long as refusals take."""
        self._passed += 1
        if self.is_probe(number):
            self.phase = Phase.OPEN if self.by_chance else Phase.RAMPING
        elif self.phase is Phase.RAMPING and self._passed >= _ENOUGH:
            self.phase = Phase.OPEN

    def abandoned(self, number: int) -> None:
        """Count a start without an answer: it proves nothing, and another one may take its place."""
        if self.is_probe(number):
            self.phase = Phase.CLOSED
        elif self.phase is Phase.RAMPING:
            self._ramped -= 1

    def close(self, now: float, retry_after: float | None, number: int) -> float:
        """Begin an episode with the refusal of start *number*; return for how many seconds the gate is
        closed.

        *retry_after* is in seconds; None if the service names none.
        """
        if self.is_probe(number):
            self._probes_refused += 1
        else:
            self._probes_refused = 0
            longer, shorter = min(2 * self._wait, _FIRST_WAIT), max(self._wait / 2, _SHORTEST_WAIT)
            self._wait = shorter if self.by_chance else longer
        if retry_after is None:
            wait = min(self._wait * 2.0**self._probes_refused, _LAST_WAIT)
        elif self._probes_refused < _PATIENCE:
            wait = retry_after
        else:
            wait = max(retry_after, min(2.0 ** (self._probes_refused - _PATIENCE), _LAST_WAIT))
        self.phase, self._closed_at, self._passed = Phase.CLOSED, now, 0
        self.closed_until = max(self.closed_until, now + wait)
        return wait

    def echo(self, now: float, retry_after: float | None) -> None:
        """Take in a late refusal of the current episode: it may prolong the wait."""
        if retry_after is not None and self.phase is Phase.CLOSED:
            self.closed_until = max(self.closed_until, now + retry_after)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.closed_until += seconds
        self._closed_at += seconds
