"""Whether the service as a whole is failing, and when it may be tried again.

    CLOSED ──the last attempts failed──▶ OPEN ──the cool-down is over──▶ HALF_OPEN
      ▲                                   ▲                                 │
      │                                   └────── a probe is started ───────┤
      └─────────────── any attempt succeeds (from OPEN too) ────────────────┘

Closed, every attempt may start; open, none; half-open, one: the probe. One call that fails says nothing of
the others. When 40 attempts in a row have failed, or half of the last 20 and none has succeeded for 30 s, the
next calls would most likely fail too, so the breaker opens. So it does when calls have used up their retries
without a success, and none is left that tries (`open`). It does not wait for the probe's end: the next
cool-down, twice as long, begins with the probe's start, and a success of any attempt closes the breaker.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

_RECENT = 20
"""Attempts whose share of failures counts."""

_SILENT = 30.0
"""Seconds without a success that open the breaker if half of the recent attempts failed."""

_FAILURES_IN_A_ROW = 40
"""Failures without a success between them that open the breaker at once."""

_COOL_DOWN_FIRST, _COOL_DOWN_LAST = 5.0, 60.0
"""Seconds between two probes: doubled from the first to the last."""


class BreakerState(Enum):
    """Whether attempts may start."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class CircuitBreaker:
    """Opens when the service fails for all calls, and lets one probe start after each cool-down."""

    __slots__ = ("_cool_down", "_failures_in_a_row", "_recent", "_succeeded_at", "opened_at", "probe_at")

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._failures_in_a_row = 0
        self._succeeded_at = math.inf
        self.opened_at: float | None = None
        """When it left the closed state; None while it is closed."""
        self.probe_at: float = -math.inf
        """When the cool-down ends and the next probe may start."""
        self._cool_down = _COOL_DOWN_FIRST

    def __repr__(self) -> str:
        since = "closed" if self.opened_at is None else f"open since {self.opened_at:.1f}"
        return f"CircuitBreaker({since})"

    def state(self, now: float) -> BreakerState:
        """Return the state at *now*."""
        if self.opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.probe_at else BreakerState.HALF_OPEN

    def succeeded(self, now: float) -> None:
        """Note an answer which shows that the service works; closes the breaker."""
        self._recent.append(True)
        self._failures_in_a_row = 0
        self._succeeded_at = now
        self.opened_at = None
        self._cool_down = _COOL_DOWN_FIRST

    def failed(self, now: float) -> None:
        """Note a failure of the service or of the way to it; may open the breaker."""
        self._recent.append(False)
        self._failures_in_a_row += 1
        self._succeeded_at = min(self._succeeded_at, now)  # silence is counted from the first attempt on
        half = len(self._recent) == _RECENT and 2 * self._recent.count(False) >= _RECENT
        silent = now - self._succeeded_at >= _SILENT
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW or (half and silent):
            self.open(now)

    def open(self, now: float) -> None:
        """Open it, unless it is open."""
        if self.opened_at is None:
            self.opened_at = now
            self.probe_at = now + self._cool_down

    def succeeded_after(self, when: float) -> bool:
        """Return whether an attempt has succeeded after *when*."""
        return when < self._succeeded_at < math.inf

    def fails_for_others(self, attempts: int) -> bool:
        """Return whether the service fails for more than the one call whose last *attempts* have failed.

        True while it is open, and if other calls have failed too and none has succeeded meanwhile.
        """
        return self.opened_at is not None or self._failures_in_a_row > attempts

    def take_probe(self, now: float) -> bool:
        """Return whether an attempt may start now; half-open, that attempt is the one probe."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN:
            self._cool_down = min(2 * self._cool_down, _COOL_DOWN_LAST)
            self.probe_at = now + self._cool_down
        return state is not BreakerState.OPEN

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self._succeeded_at += seconds
        self.probe_at += seconds
        if self.opened_at is not None:
            self.opened_at += seconds
