"""When the next attempt may start, so that no 60 s ever contain more starts than the rate allows.

Nothing is booked ahead. A start is decided at the instant it happens, from the log of past starts: an attempt
waits until that instant, asks again, and starts. So no booking can grow stale in a queue and be used later
together with others.

There are two rules, and the later instant of both counts. The log of starts keeps the promise: with R starts
in the last 60 s (and a margin, since the network delivers unevenly) the next one waits until the oldest is
out of them. The spacing keeps starts even, but for a small burst after a pause, because a service may count
in shorter windows than it publishes. Source of the spacing: the generic cell rate algorithm, virtual
scheduling form (ITU-T Recommendation I.371).

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds over which the service counts (requests per minute, as published)."""

MARGIN = 0.25
"""Seconds added to the window: the delays of two requests in transit differ by up to this much."""

BURST = 5.0
"""Starts that may go out at once after a pause, as seconds of the rate."""

_KEPT_STARTS = 20_000
"""Starts that are kept while no rate is known: twenty times the highest published rate."""

_CAREFUL_BURST, _CAREFUL_SPACING, _CAREFUL_ANSWERS = 8, 0.01, 32
"""Starts at once, seconds between further starts, and the answers after which neither applies any more: a
limit of the service then shows after a few refusals instead of one for every slot."""

_IN_USE = 0.9
"""Share of the rate from which the rate, and not a lack of calls, delays the next start."""

_LOWEST = 0.5
"""Least rate that is learnt, in starts a minute."""

_GROW_FIRST, _GROW_LAST, _GROW_NEXT = 300.0, 3600.0, 70.0
"""Seconds before a learnt rate is raised: at first; at most, after repeated refusals; and after a raise that
was not refused, which is a full window later."""


@dataclass(frozen=True, slots=True)
class PacerState:
    """The state that a later process needs to keep the promise."""

    ages: tuple[float, ...]
    """Seconds since the last starts, newest first."""
    rate: float | None
    """The learnt rate in starts a minute; None if none was learnt."""


class Pacer:
    """Allows starts for one API key, at a rate that is set, learnt or unlimited. Never sleeps."""

    __slots__ = (
        "_answered", "_ceiling", "_due", "_grow_at", "_grow_every", "_kept", "_kept_for", "_learnt",
        "_refused", "_starts", "_step", "rate", "reason",
    )  # fmt: skip

    def __init__(self, requests_per_minute: float | None = None) -> None:
        self.rate = requests_per_minute
        """Starts a minute; None while none is set or learnt."""
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
        self._set_kept()

    def __repr__(self) -> str:
        return f"Pacer({'no rate' if self.rate is None else f'{self.rate:g} a minute'}, {self.reason})"

    def next_start(self, now: float) -> float:
        """Return the earliest instant of the next start; *now* or earlier means at once."""
        if self.rate is None:
            careful = self._answered < _CAREFUL_ANSWERS and len(self._starts) >= _CAREFUL_BURST
            return self._starts[-1] + _CAREFUL_SPACING if careful else now
        return max(self._due - self._tolerance(self.rate), self._window_admits_at(self.rate))

    def _window_admits_at(self, rate: float) -> float:
        most = max(1, math.floor(rate))
        if len(self._starts) < most:
            return -math.inf
        return self._starts[-most] + (WINDOW + MARGIN) * max(1.0, 1 / rate)

    @staticmethod
    def _tolerance(rate: float) -> float:
        """Return by how many seconds a start may precede the even spacing: the burst less one start."""
        return max(0.0, BURST - WINDOW / rate)

    def start(self, now: float) -> None:
        """Count a start, which must be allowed."""
        self._starts.append(now)
        self._forget(now)
        if self.rate is not None:
            self._due = max(now, self._due) + (WINDOW + MARGIN) / self.rate

    def _set_kept(self) -> None:
        """Set how many starts, and of how many seconds, are kept for the rate in force."""
        self._kept = _KEPT_STARTS if self.rate is None else max(_KEPT_STARTS, math.floor(self.rate))
        self._kept_for = (WINDOW + MARGIN) * max(1.0, 1 / (self.rate or 1.0))

    def _forget(self, now: float) -> None:
        oldest = now - self._kept_for
        while self._starts and (self._starts[0] < oldest or len(self._starts) > self._kept):
            self._starts.popleft()
        while self._refused and self._refused[0] < oldest:
            self._refused.popleft()

    def answered(self, now: float) -> None:
        """Count any answer but a 429; may raise a learnt rate."""
        self._answered += 1
        if now >= self._grow_at and self.rate is not None:
            self._grow(now, self.rate)

    @property
    def in_use(self) -> bool:
        """Whether starts go out about as fast as the rate allows."""
        return self.rate is not None and len(self._starts) >= _IN_USE * math.floor(self.rate)

    def _grow(self, now: float, rate: float) -> None:
        """Raise a learnt rate if it was in use."""
        if not self.in_use:
            self._grow_at = now + _GROW_NEXT
            return
        self._step = max(1.0, 0.02 * rate, 2 * self._step)
        self._grow_at = now + _GROW_NEXT
        self._set(min(rate + self._step, self._ceiling), f"no 429 for a while at {rate:g}")

    def refused(self, started_at: float) -> None:
        """Count a 429 for the start at *started_at*."""
        self._refused.append(started_at)

    def learn(self, now: float, since: float) -> None:
        """Learn from a 429 that the starts accepted since *since* fill a window; may lower the rate."""
        accepted = sum(at >= since for at in self._starts) - sum(at >= since for at in self._refused)
        rate = float(max(accepted, _LOWEST))
        if self.rate is not None and rate >= self.rate:
            # Refused although no faster than before: another process uses the key too.
            rate = max(_LOWEST, 0.9 * self.rate)
        if self._learnt:
            self._grow_every = min(2 * self._grow_every, _GROW_LAST)
        self._learnt = True
        self._step = 0.0
        self._grow_at = now + self._grow_every
        self._set(rate, f"429 after {accepted} starts within {min(now - since, WINDOW):.0f} s")

    def set_rate(self, requests_per_minute: float | None) -> None:
        """Set the rate, also while running; None for no rate. The promise holds over the change."""
        self._learnt = False
        self._grow_at = math.inf
        self._ceiling = math.inf if requests_per_minute is None else requests_per_minute
        self._set(requests_per_minute, "as set")

    def _set(self, rate: float | None, reason: str) -> None:
        self.rate, self.reason = rate, reason
        self._set_kept()
        if rate is not None and self._starts:
            # The last start counts as evenly spaced: a new rate begins without a burst.
            self._due = max(self._due, self._starts[-1] + (WINDOW + MARGIN) / rate + self._tolerance(rate))

    def state(self, now: float) -> PacerState:
        """Return the state for a later process."""
        return PacerState(
            tuple(now - at for at in reversed(self._starts)), self.rate if self._learnt else None
        )

    def restore(self, state: PacerState, now: float, elapsed: float) -> None:
        """Go on from *state*, taken *elapsed* seconds ago; to be called before the first start.

        A rate set by the user stays as it is.
        """
        if self.rate is None and state.rate is not None:
            self._learnt = True
            self._grow_at = now + self._grow_every
            self._set(state.rate, "learnt earlier")
        self._starts.extend(now - elapsed - age for age in reversed(state.ages))
        self._forget(now)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self._starts = deque(at + seconds for at in self._starts)
        self._refused = deque(at + seconds for at in self._refused)
        self._due += seconds
        self._grow_at += seconds
