"""When the next attempt may start, so that no 60 s ever hold more starts than the rate allows.

Nothing is booked ahead. A start is decided at the instant it happens, by the log of the starts that
did happen: whoever waits, waits for one instant, asks again, and starts. So no booking can grow stale
in a queue and be used later together with others.

Two rules, and the later instant of both counts. The log of starts is the promise: with R starts in the
last 60 s (and a margin, since the network delivers unevenly) the next one waits until the oldest is out.
The spacing is good manners: starts go out evenly, but for a small burst after a pause, because a service
may count in finer windows than it publishes. Source of the spacing: the generic cell rate algorithm,
virtual scheduling form (ITU-T Recommendation I.371).

Pure: times come in, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds over which the service counts (requests per minute, as published)."""

MARGIN = 0.25
"""Seconds by which a window is taken longer: requests arrive up to so much apart from how they left."""

BURST = 5.0
"""Seconds of starts that may go out at once after a pause."""

_REMEMBERED = 20_000
"""Starts that are kept while no rate is known: twenty times the highest rate that is published."""

_CAREFUL_BURST, _CAREFUL_SPACING, _CAREFUL_ANSWERS = 8, 0.01, 32
"""Until the service has answered a few calls, only so many go out at once, the others so many seconds
apart: a limit then shows after a handful of refusals instead of one for every slot."""

_IN_USE = 0.9
"""Share of the rate above which it, and not a lack of calls, decides when the next one starts."""

_LOWEST = 0.5
"""Starts a minute below which nothing is ever learnt."""

_GROW_FIRST, _GROW_LAST, _GROW_NEXT = 300.0, 3600.0, 70.0
"""Seconds before a learnt rate is tried a little higher: at first; at most, after it failed again and
again; and after it went well, a full window later."""


@dataclass(frozen=True, slots=True)
class PacerState:
    """What a restart must know to keep the promise: ages of the last starts, in seconds, newest first."""

    ages: tuple[float, ...]
    rate: float | None


class Pacer:
    """Hands out start times for one API key."""

    __slots__ = (
        "_answered", "_ceiling", "_due", "_grow_at", "_grow_every", "_kept", "_kept_for", "_learnt",
        "_refused", "_starts", "_step", "rate", "reason",
    )  # fmt: skip

    def __init__(self, requests_per_minute: float | None = None) -> None:
        self.rate = requests_per_minute
        """Starts a minute, None while no limit was met."""
        self.reason = "no limit met" if requests_per_minute is None else "as set"
        self._ceiling = math.inf if requests_per_minute is None else requests_per_minute
        self._learnt = False
        self._starts: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._due = -math.inf
        self._answered = 0
        self._grow_at = math.inf
        self._grow_every = _GROW_FIRST
        self._step = 0.0
        self._keep()

    def __repr__(self) -> str:
        return f"Pacer({'no rate' if self.rate is None else f'{self.rate:g} a minute'}, {self.reason})"

    def next_start(self, now: float) -> float:
        """Return the earliest instant for the next start; *now*, or earlier, means at once."""
        if self.rate is None:
            careful = self._answered < _CAREFUL_ANSWERS and len(self._starts) >= _CAREFUL_BURST
            return self._starts[-1] + _CAREFUL_SPACING if careful else now
        return max(self._due - self._tolerance(self.rate), self._window_opens(self.rate))

    def _window_opens(self, rate: float) -> float:
        most = max(1, math.floor(rate))
        if len(self._starts) < most:
            return -math.inf
        return self._starts[-most] + (WINDOW + MARGIN) * max(1.0, 1 / rate)

    @staticmethod
    def _tolerance(rate: float) -> float:
        """Return how far ahead of the even spacing a start may be: the burst, less the one that is due."""
        return max(0.0, BURST - WINDOW / rate)

    def start(self, now: float) -> None:
        """Note a start, which must be allowed."""
        self._starts.append(now)
        self._forget(now)
        if self.rate is not None:
            self._due = max(now, self._due) + (WINDOW + MARGIN) / self.rate

    def _keep(self) -> None:
        """Note how many starts, and those of how many seconds, the rate needs to be known."""
        self._kept = _REMEMBERED if self.rate is None else max(_REMEMBERED, math.floor(self.rate))
        self._kept_for = (WINDOW + MARGIN) * max(1.0, 1 / (self.rate or 1.0))

    def _forget(self, now: float) -> None:
        oldest = now - self._kept_for
        while self._starts and (self._starts[0] < oldest or len(self._starts) > self._kept):
            self._starts.popleft()
        while self._refused and self._refused[0] < oldest:
            self._refused.popleft()

    def answered(self, now: float) -> None:
        """Note any answer but a 429."""
        self._answered += 1
        if now >= self._grow_at and self.rate is not None:
            self._grow(now, self.rate)

    @property
    def in_use(self) -> bool:
        """Whether starts go out about as fast as the rate allows."""
        return self.rate is not None and len(self._starts) >= _IN_USE * math.floor(self.rate)

    def _grow(self, now: float, rate: float) -> None:
        """Try a learnt rate a little higher, if it was in use."""
        if not self.in_use:
            self._grow_at = now + _GROW_NEXT
            return
        self._step = max(1.0, 0.02 * rate, 2 * self._step)
        self._grow_at = now + _GROW_NEXT
        self._set(min(rate + self._step, self._ceiling), f"no 429 for a while at {rate:g}")

    def refused(self, started_at: float) -> None:
        """Note that the start at this instant was refused."""
        self._refused.append(started_at)

    def learn(self, now: float, since: float) -> None:
        """Learn from a 429 that the starts accepted after *since* fill a window."""
        accepted = sum(at >= since for at in self._starts) - sum(at >= since for at in self._refused)
        rate = float(max(accepted, _LOWEST))
        if self.rate is not None and rate >= self.rate:
            # Refused although no faster than before: somebody else uses the key too.
            rate = max(_LOWEST, 0.9 * self.rate)
        if self._learnt:
            self._grow_every = min(2 * self._grow_every, _GROW_LAST)
        self._learnt = True
        self._step = 0.0
        self._grow_at = now + self._grow_every
        self._set(rate, f"429 after {accepted} starts within {min(now - since, WINDOW):.0f} s")

    def set_rate(self, requests_per_minute: float | None) -> None:
        """Change the rate while running; the promise holds over the change."""
        self._learnt = False
        self._grow_at = math.inf
        self._ceiling = math.inf if requests_per_minute is None else requests_per_minute
        self._set(requests_per_minute, "as set")

    def _set(self, rate: float | None, reason: str) -> None:
        self.rate, self.reason = rate, reason
        self._keep()
        if rate is not None and self._starts:
            # What has just gone out counts as spaced: a new rate begins even, without a burst.
            self._due = max(self._due, self._starts[-1] + (WINDOW + MARGIN) / rate + self._tolerance(rate))

    def state(self, now: float) -> PacerState:
        """Return what a restart must know."""
        return PacerState(
            tuple(now - at for at in reversed(self._starts)), self.rate if self._learnt else None
        )

    def restore(self, state: PacerState, now: float, elapsed: float) -> None:
        """Go on from *state*, taken *elapsed* seconds ago, before anything has started here."""
        if self.rate is None and state.rate is not None:
            self._learnt = True
            self._grow_at = now + self._grow_every
            self._set(state.rate, "learnt earlier")
        self._starts.extend(now - elapsed - age for age in reversed(state.ages))
        self._forget(now)

    def shift(self, seconds: float) -> None:
        """Move every instant: the client lives on in a loop whose clock has another zero."""
        self._starts = deque(at + seconds for at in self._starts)
        self._refused = deque(at + seconds for at in self._refused)
        self._due += seconds
        self._grow_at += seconds
