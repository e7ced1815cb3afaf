"""Interim: when the next attempt may start."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartTag:
    at: float
    in_flight: int


class Pacer:
    def __init__(self, requests_per_minute: float | None = None) -> None:
        self.rate = requests_per_minute
        self.reason = "given" if requests_per_minute else "no limit met yet"
        self.closed_until = -math.inf
        self._starts: deque[float] = deque()

    def next_start(self, now: float) -> float:
        at = max(now, self.closed_until)
        if self.rate is None:
            return at
        most = int(self.rate)
        if self._starts:
            at = max(at, self._starts[-1] + 60.0 / self.rate)
        if len(self._starts) >= most:
            at = max(at, self._starts[-most] + 60.001)
        return at

    def start(self, now: float, in_flight: int) -> StartTag:
        if self.rate is not None:
            self._starts.append(now)
            if len(self._starts) > self.rate + 1:
                self._starts.popleft()
        return StartTag(now, in_flight)

    def answered(self, tag: StartTag, now: float) -> None: ...

    def abandoned(self, tag: StartTag, now: float) -> None: ...

    def refused(self, tag: StartTag, now: float, told: float | None) -> None:
        self.closed_until = max(self.closed_until, now + (told if told is not None else 1.0))
        self.reason = "closed by a 429"

    def shift(self, seconds: float) -> None:
        self.closed_until += seconds
        self._starts = deque(at + seconds for at in self._starts)
