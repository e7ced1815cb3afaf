"""The throttle of one API key: decides for each 429 whether to lower the pace or the concurrency limit.

The service does not say which. Four signs point to the pace: a long Retry-After, a refusal with nothing else
in flight, one with far fewer in flight than were accepted before, and one while a known rate is in use. In
any other case a probe decides: a limit on the number in flight accepts the next call as soon as few are in
flight, while a full rate window does not. So the probe after such a refusal waits until half of the attempts
in flight have ended. If it is accepted, the number was the cause; if it is refused, the pace.

The number in flight is only known roughly: an answer in transit counts here and no longer at the service.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from .concurrency_limit import ConcurrencyLimit
from .gate import Gate, Phase
from .pacer import WINDOW, Pacer

_LONG_WAIT = 10.0
"""Seconds of Retry-After from which it means a rate: a number in flight goes down sooner."""

_ROUND_TRIP = 1.0
"""Seconds that a request and its refusal take together, at most, under normal conditions."""

_FAR_FEWER = 0.7
"""Share of the most attempts accepted at once below which the number in flight cannot be the limit."""


class StartTag(NamedTuple):
    """Identifies one start."""

    number: int
    """From 1, in the order of starts."""
    at: float
    """When it started, seconds."""
    others: int
    """Attempts that were in flight besides it."""


@dataclass(frozen=True, slots=True)
class _Undecided:
    """An episode whose cause, pace or number in flight, is still unknown."""

    accepted: int
    """Attempts in flight that were not refused."""
    refused_at: int
    """Others in flight with the refused one."""
    began_at: float
    """When its first refusal arrived, seconds."""


class Throttle:
    """Pacer, concurrency limit and gate of one API key."""

    __slots__ = ("_numbers", "_refused_at", "_undecided", "concurrency_limit", "gate", "pacer")

    def __init__(self, max_in_flight: int, requests_per_minute: float | None = None) -> None:
        self.pacer: Pacer = Pacer(requests_per_minute)
        self.concurrency_limit: ConcurrencyLimit = ConcurrencyLimit(max_in_flight)
        self.gate: Gate = Gate()
        self._undecided: _Undecided | None = None
        self._refused_at = -math.inf
        self._numbers = 0

    def __repr__(self) -> str:
        return f"Throttle({self.pacer!r}, {self.concurrency_limit!r}, {self.gate!r})"

    @property
    def limit(self) -> int:
        """Attempts that may be in flight now."""
        return self.concurrency_limit.limit

    def next_start(self, now: float, in_flight: int) -> float:
        """Return the earliest instant of the next start, *now* at least; inf if an answer must come first."""
        start = self.pacer.next_start(now)
        if self.gate.phase is not Phase.OPEN:
            start = max(start, self.gate.next_start(now, in_flight))
        return start if start > now else now

    def start(self, now: float, others: int) -> StartTag:
        """Count a start, which must be allowed, with so many *others* in flight."""
        self._numbers += 1
        self.pacer.start(now)
        if self.gate.phase is not Phase.OPEN:
            self.gate.start(self._numbers)
        return StartTag(self._numbers, now, others)

    def answered(self, tag: StartTag, now: float, *, succeeded: bool) -> None:
        """Count any answer but a 429; *succeeded*: it was a 200."""
        if self.gate.phase is not Phase.OPEN:
            if self._undecided is not None and self.gate.is_probe(tag.number):
                self.concurrency_limit.cut(self._undecided.accepted, self._undecided.refused_at)
                self._decided()
            self.gate.answered(tag.number)
        self.pacer.answered(now)
        if succeeded:
            # The others in flight count as accepted only if none of them was refused since.
            self.concurrency_limit.succeeded(tag.others if tag.at > self._refused_at else 0)
        else:
            self.concurrency_limit.failed()

    def abandoned(self, tag: StartTag, now: float) -> None:
        """Count a start without an answer; the request may have arrived all the same."""
        self.gate.abandoned(tag.number)
        self.concurrency_limit.failed()

    def refused(self, tag: StartTag, now: float, retry_after: float | None, in_flight: int) -> None:
        """Learn from a 429. *retry_after* is in seconds, None if not named; *in_flight* excludes this one."""
        self.pacer.refused(tag.at)
        self._refused_at = now
        if self.gate.is_echo(tag.at):
            self.gate.echo(now, retry_after)
            if self._undecided is not None:
                accepted = min(self._undecided.accepted, in_flight)
                self._leave_open(accepted, self._undecided.refused_at, now)
            return
        undecided, since = self._undecided, now - WINDOW
        if retry_after is not None:
            # After the wait, the starts that fill the window are a window old; requests arrive after they are
            # sent.
            since += retry_after - _ROUND_TRIP
        if self._is_pace(tag, retry_after):
            self.pacer.learn(now, min(since, undecided.began_at - WINDOW) if undecided else since)
            self._decided()
        else:
            self._leave_open(in_flight, tag.others, now)
        self.gate.close(now, retry_after)

    def _is_pace(self, tag: StartTag, retry_after: float | None) -> bool:
        """Return whether a refusal shows that the pace is too high."""
        if retry_after is not None and retry_after >= _LONG_WAIT:
            return True
        few = tag.others == 0 or tag.others <= _FAR_FEWER * self.concurrency_limit.highest
        again = self._undecided is not None and self.gate.is_probe(tag.number)
        return few or again or self.pacer.in_use

    def _leave_open(self, accepted: int, refused_at: int, now: float) -> None:
        """Leave the cause of this episode to the next probe, with half of *accepted* in flight."""
        began_at = now if self._undecided is None else self._undecided.began_at
        self._undecided = _Undecided(accepted, refused_at, began_at)
        self.gate.most_in_flight = accepted // 2

    def _decided(self) -> None:
        self._undecided = None
        self.gate.most_in_flight = math.inf

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self._refused_at += seconds
        if self._undecided is not None:
            self._undecided = replace(self._undecided, began_at=self._undecided.began_at + seconds)
        self.pacer.shift(seconds)
        self.gate.shift(seconds)
