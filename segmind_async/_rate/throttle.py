"""What a 429 teaches: whether it was the pace or the number in flight, and so which of them to lower.

The service says neither. A wait that it names and that is longer than any queue speaks for the pace; so
does a refusal with nothing else in flight, with far fewer than were let in before, or as fast as a known
rate allows. For the rest, a limit on what is in flight lets the next call in as soon as few are, while a
full rate window does not: the probe after such a refusal waits until half of what was in flight has
ended. Let in, it was the number; refused again, the pace.

How many are in flight is only known roughly: an answer on its way counts here and no longer there.

Pure: times come in, in monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from .concurrency_limit import ConcurrencyLimit
from .gate import Gate, Phase
from .pacer import WINDOW, Pacer

_TOLD_OF_A_WINDOW = 10.0
"""Seconds: a wait this long is told by who counts per minute, not by who counts what is in flight."""

_ON_THE_WAY = 1.0
"""Seconds that a request and its refusal take together, at most, on a good day."""

_FAR_FEWER = 0.7
"""Share of the most that were let in at once under which a number in flight cannot be the limit."""


class StartTag(NamedTuple):
    """One start."""

    number: int
    at: float
    others: int
    """Attempts that were in flight besides it."""


@dataclass(frozen=True, slots=True)
class _Question:
    """An episode of which it is still open what it was."""

    fits: int
    """Attempts in flight that were not refused."""
    refused_at: int
    began_at: float


class Throttle:
    """Pace, in-flight limit and gate of one API key."""

    __slots__ = ("_numbers", "_question", "_refused_at", "concurrency_limit", "gate", "pacer")

    def __init__(self, max_in_flight: int, requests_per_minute: float | None = None) -> None:
        self.pacer = Pacer(requests_per_minute)
        self.concurrency_limit = ConcurrencyLimit(max_in_flight)
        self.gate = Gate()
        self._question: _Question | None = None
        self._refused_at = -math.inf
        self._numbers = 0

    def __repr__(self) -> str:
        return f"Throttle({self.pacer!r}, {self.concurrency_limit!r}, {self.gate!r})"

    @property
    def limit(self) -> int:
        """Attempts that may be in flight."""
        return self.concurrency_limit.limit

    def next_start(self, now: float, in_flight: int) -> float:
        """Return the earliest instant for the next start; inf if an answer must come first."""
        start = self.pacer.next_start(now)
        if self.gate.phase is not Phase.OPEN:
            start = max(start, self.gate.next_start(now, in_flight))
        return start if start > now else now

    def start(self, now: float, others: int) -> StartTag:
        """Note a start, which must be allowed, with so many *others* in flight."""
        self._numbers += 1
        self.pacer.start(now)
        if self.gate.phase is not Phase.OPEN:
            self.gate.start(self._numbers)
        return StartTag(self._numbers, now, others)

    def answered(self, tag: StartTag, now: float, *, well: bool) -> None:
        """Note any answer but a 429; *well* if the call succeeded."""
        if self.gate.phase is not Phase.OPEN:
            if self._question is not None and self.gate.is_probe(tag.number):
                self.concurrency_limit.cut(self._question.fits, self._question.refused_at)
                self._settle()
            self.gate.answered(tag.number)
        self.pacer.answered(now)
        if well:
            # Those that were in flight with it count only if none of them was refused meanwhile.
            self.concurrency_limit.succeeded(tag.others if tag.at > self._refused_at else 0)
        else:
            self.concurrency_limit.failed()

    def abandoned(self, tag: StartTag, now: float) -> None:
        """Note that no answer came; the request may have arrived all the same."""
        self.gate.abandoned(tag.number)
        self.concurrency_limit.failed()

    def refused(self, tag: StartTag, now: float, told: float | None, in_flight: int) -> None:
        """Learn from a 429. *told* is how long the service asks to wait; *in_flight* excludes this one."""
        self.pacer.refused(tag.at)
        self._refused_at = now
        if self.gate.is_echo(tag.at):
            self.gate.echo(now, told)
            if self._question is not None:
                self._ask(min(self._question.fits, in_flight), self._question.refused_at, now)
            return
        question, since = self._question, now - WINDOW
        if told is not None:
            # When it has room again, what filled it is a window old; requests arrive later than they left.
            since += told - _ON_THE_WAY
        if self._is_pace(tag, told):
            self.pacer.learn(now, min(since, question.began_at - WINDOW) if question else since)
            self._settle()
        else:
            self._ask(in_flight, tag.others, now)
        self.gate.close(now, told)

    def _is_pace(self, tag: StartTag, told: float | None) -> bool:
        if told is not None and told >= _TOLD_OF_A_WINDOW:
            return True
        few = tag.others == 0 or tag.others <= _FAR_FEWER * self.concurrency_limit.highest
        again = self._question is not None and self.gate.is_probe(tag.number)
        return few or again or self.pacer.in_use

    def _ask(self, fits: int, refused_at: int, now: float) -> None:
        began_at = now if self._question is None else self._question.began_at
        self._question = _Question(fits, refused_at, began_at)
        self.gate.most_in_flight = fits // 2

    def _settle(self) -> None:
        self._question = None
        self.gate.most_in_flight = math.inf

    def shift(self, seconds: float) -> None:
        """Move every instant: the client lives on in a loop whose clock has another zero."""
        self._refused_at += seconds
        self.pacer.shift(seconds)
        self.gate.shift(seconds)
