"""Whether the service as a whole is failing, and when it may be tried again.

A call that fails is that call's own trouble. When the last attempts failed one and all, or half of them
and none has succeeded for half a minute, it is the service's: to go on would fail row after row. Then
one probe goes out per cool-down, until one succeeds.

Pure: times come in, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque

_LAST = 20
"""Attempts that are looked back upon."""

_SILENT = 30.0
"""Seconds without a success, with half of the last attempts failed, that make an outage."""

_IN_A_ROW = 40
"""Failures without a success between them that make one at once."""

_COOL_DOWN_FIRST, _COOL_DOWN_LAST = 5.0, 60.0
"""Seconds between two probes: doubled from the first to the last."""


class CircuitBreaker:
    """What the last attempts say of the service."""

    __slots__ = ("_cool_down", "_in_a_row", "_last", "_succeeded_at", "began_at", "probe_at")

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=_LAST)
        self._in_a_row = 0
        self._succeeded_at = math.inf
        self.began_at: float | None = None
        """When nothing succeeded any more; None while all is well."""
        self.probe_at = -math.inf
        """When the next probe may go."""
        self._cool_down = _COOL_DOWN_FIRST

    def __repr__(self) -> str:
        return f"CircuitBreaker({'none' if self.began_at is None else f'since {self.began_at:.1f}'})"

    def succeeded(self, now: float) -> None:
        """Note any answer that shows the service at work."""
        self._last.append(True)
        self._in_a_row = 0
        self._succeeded_at = now
        self.began_at = None
        self._cool_down = _COOL_DOWN_FIRST

    def failed(self, now: float) -> None:
        """Note an attempt that the service, or the way to it, has failed."""
        self._last.append(False)
        self._in_a_row += 1
        self._succeeded_at = min(self._succeeded_at, now)  # silence is counted from the first attempt on
        half = len(self._last) == _LAST and 2 * self._last.count(False) >= _LAST
        silent = now - self._succeeded_at >= _SILENT
        if self.began_at is None and (self._in_a_row >= _IN_A_ROW or (half and silent)):
            self.began_at = now
            self.probe_at = now + self._cool_down

    def take_probe(self, now: float) -> bool:
        """Tell whether an attempt may go now, and if it is a probe, count it as the one."""
        if self.began_at is None:
            return True
        if now < self.probe_at:
            return False
        self._cool_down = min(2 * self._cool_down, _COOL_DOWN_LAST)
        self.probe_at = now + self._cool_down
        return True

    def shift(self, seconds: float) -> None:
        """Move every instant: the client lives on in a loop whose clock has another zero."""
        self._succeeded_at += seconds
        self.probe_at += seconds
        if self.began_at is not None:
            self.began_at += seconds
