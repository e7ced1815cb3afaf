"""The throttle of one API key: when an attempt may start, and what a 429 teaches.

What is known, and how surely:

- A start is accepted when it was answered, or was not refused for as long as refusals take (`StartTracker`).
- A 429 closes the gate for the whole key and proves nothing more (`Gate`).
- Which load it was about is weighed by all attempts since the first refusal, accepted and refused
  (`Diagnosis`, `RefusalEvidence`); a bound is lowered when one explanation is settled.
- A refusal while a bound stands above what is known to pass ends that trial, and is no further evidence.
- Every bound in use is raised again by trials, since the service may have changed (`LearntLimit`).

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .concurrency_limit import ConcurrencyLimit
from .diagnosis import Diagnosis
from .gate import Gate, Phase
from .learnt_limit import LearntLimit
from .pacer import MINUTE, SPANS, TEN_SECONDS, Pacer
from .refusal_cause import IN_FLIGHT
from .start_tracker import StartTag, StartTracker

_NAMED = (MINUTE, TEN_SECONDS)
"""Spans that a wait can name, seconds: one second is too short for waits that are told in whole ones."""

_NAMED_EARLY, _NAMED_LATE = 0.3, 1.5
"""Seconds by which the end of a named wait may be off the end of its span: waits are rounded up to
seconds."""

_COUNTED_DOWN = 2.0
"""Seconds by which a wait must be shorter than its span to name it: a longer one may be a constant."""

_ON_THEIR_WAY = 10
"""Starts that may be on their way, unseen, while it is open what refusals are about: the order of starts is
then about that of arrivals, and a refusal has few echoes."""

_HEADWAY = 0.5
"""The same spacing is at most this share of the mean one of the last ten seconds, so that it costs no
rate."""


class _Episode(NamedTuple):
    """The refusal that closed the gate and its echoes, until the gate opens again."""

    tags: list[StartTag]
    told: float | None
    seen_at: float
    last: int
    """The number of the last start before the gate closed."""


class Throttle:
    """Pacer, concurrency limit and gate of one API key."""

    __slots__ = (
        "_diagnosis", "_episode", "_number", "_starts", "concurrency_limit", "gate", "keeps_pace", "pacer",
    )  # fmt: skip

    def __init__(self, max_in_flight: int, requests_per_minute: float | None = None) -> None:
        self.pacer: Pacer = Pacer(requests_per_minute)
        self.concurrency_limit: ConcurrencyLimit = ConcurrencyLimit(max_in_flight)
        self.gate: Gate = Gate()
        self.keeps_pace: bool = True
        """Whether starts are paced here; a gateway does it for all who call it."""
        self._number = 0
        self._starts = StartTracker()
        self._episode: _Episode | None = None
        self._diagnosis = Diagnosis({**self.pacer.bounds, IN_FLIGHT: self.concurrency_limit})

    def __repr__(self) -> str:
        return f"Throttle({self.pacer!r}, {self.concurrency_limit!r}, {self.gate!r})"

    @property
    def limit(self) -> int:
        """Attempts that may be in flight now."""
        return self.concurrency_limit.limit

    def next_start(self, now: float, in_flight: int) -> float:
        """Return the earliest instant of the next start, *now* at least; inf if an answer must come first."""
        while (due := self._starts.due(now)) is not None:
            self._pass(due, now)
        # First the gate: what it learns as it opens may change the pace.
        opens = now if self.gate.phase is Phase.OPEN else self._gate_opens(now, in_flight)
        return max(now, opens, self.pacer.next_start(now) if self.keeps_pace else now)

    def _gate_opens(self, now: float, in_flight: int) -> float:
        """Return when the gate lets the next start pass; inf if an answer must come first."""
        opens = self.gate.next_start(now)
        if self.gate.phase is Phase.CLOSED and opens <= now:
            if self._episode is not None:
                self._diagnose(self._episode, now)
            # The probe keeps to what has just been learnt.
            return math.inf if in_flight >= self.limit else opens
        if opens == math.inf and self._starts.next_due is not None:
            # It opens further when the oldest start turns out not to be refused.
            return self._starts.next_due
        return opens

    def start(self, now: float, others: int) -> StartTag:
        """Count a start, which must be allowed, with so many *others* in flight."""
        self._number += 1
        tag = StartTag(self._number, now, others, self.pacer.start(now, self._number))
        if self.gate.phase is not Phase.OPEN:
            self.gate.start(self._number)
        if self._watches:
            self._starts.add(tag)
        return tag

    @property
    def _watches(self) -> bool:
        """Whether it matters what becomes of a start: not while no limit has ever been met."""
        return (
            self._diagnosis.is_open
            or self.gate.phase is not Phase.OPEN
            or self.concurrency_limit.learnt
            or self.pacer.learnt
        )

    def answered(self, tag: StartTag, now: float) -> None:
        """Count any answer but a 429."""
        self.pacer.answered()
        self._pass(tag, now)

    def abandoned(self, tag: StartTag) -> None:
        """Count a start without an answer; the request may have arrived all the same."""
        self.gate.abandoned(tag.number)
        self._starts.end(tag)

    def refused(self, tag: StartTag, now: float, told: float | None) -> None:
        """Learn from a 429. *told* is the wait that the service asks for, in seconds, None if not named."""
        self._starts.refused_after(now - tag.at)
        self._starts.end(tag)
        if self.gate.is_echo(tag.at):
            self.pacer.refused(tag.number, tag.at)
            self.gate.echo(now, told)
            if self._episode is not None:
                self._episode.tags.append(tag)
            return
        while (due := self._starts.due(now)) is not None:
            self._pass(due, now)
        trials = self._end_trials(tag, now)
        self.pacer.refused(tag.number, tag.at)
        wait = self.gate.close(now, told, tag.number)
        for bound in trials:
            bound.closed_for(wait)
        if not trials:
            self._episode = _Episode([tag], told, now, self._number)

    def asked_to_wait(self, tag: StartTag, now: float, told: float | None) -> None:
        """Close the gate for a 429 that is about no limit of the key, and so teaches nothing."""
        self._starts.end(tag)
        if self.gate.is_echo(tag.at):
            self.gate.echo(now, told)
        else:
            self.gate.close(now, told, tag.number)

    def _end_trials(self, tag: StartTag, now: float) -> list[LearntLimit]:
        """End the trials that may explain a refusal, and return their bounds."""
        by_chance = self._diagnosis.by_chance
        ended: list[LearntLimit] = []
        if self.concurrency_limit.refused(tag.others + 1, now, by_chance=by_chance):
            ended.append(self.concurrency_limit)
        for span, bound in self.pacer.bounds.items():
            if bound.refused(self.pacer.load(span, tag.number, tag.at), now, by_chance=by_chance):
                ended.append(bound)
        if ended:
            self.pacer.changed()
        return ended

    def _diagnose(self, episode: _Episode, now: float) -> None:
        """Add an episode to the evidence, now that its echoes are in."""
        self._episode = None
        loads = [self._loads(tag) for tag in episode.tags]
        on_their_way = episode.last - min(tag.number for tag in episode.tags)
        named = self._named_by(episode)
        if self._diagnosis.refused(loads, on_their_way, now, told=episode.told, named=named):
            self.pacer.changed()
        self._heed_diagnosis(now)

    def _heed_diagnosis(self, now: float) -> None:
        """Let the gate know of chance, and space starts while it is open what refusals are about."""
        self.gate.by_chance = self._diagnosis.by_chance
        self.pacer.spacing = 0.0
        if self._diagnosis.asks and not self._diagnosis.by_chance:
            recent = self.pacer.load(TEN_SECONDS, self._number, now)
            self.pacer.spacing = min(self._starts.delay / 2 / _ON_THEIR_WAY, _HEADWAY * TEN_SECONDS / recent)

    def _named_by(self, episode: _Episode) -> float | None:
        """Return the span whose oldest start leaves it when the wait is over, as the service told it."""
        if episode.told is None:
            return None
        for span in _NAMED:
            # Short waits fit any span that has been full for long: its oldest start is about to leave it.
            if not span / 3 <= episode.told <= span - _COUNTED_DOWN:
                continue
            oldest = self.pacer.log.oldest(episode.tags[0].at, span)
            assert oldest is not None  # the refused start is there itself
            if -_NAMED_EARLY <= episode.told + episode.seen_at - oldest - span <= _NAMED_LATE:
                return span
        return None

    def _pass(self, tag: StartTag, now: float) -> None:
        """Count a start as accepted, once."""
        if not self._starts.end(tag):
            return
        self.gate.passed(tag.number)
        loads = self._loads(tag)
        if not self._diagnosis.is_testing(now):
            self._raise(tag, loads, now)
        if self._diagnosis.is_open:
            self._diagnosis.accepted(tag.number, loads, now, gate_open=self.gate.phase is Phase.OPEN)
            if not self._diagnosis.is_open:
                self._heed_diagnosis(now)

    def _loads(self, tag: StartTag) -> dict[float, int]:
        """Return the loads that a start met, itself included, without what was refused."""
        pacer = self.pacer
        loads = {span: pacer.load(span, tag.number, tag.at) for span in SPANS}
        # Those that are refused take up no place at the service while they are on their way.
        refused = pacer.refused_before(tag.number, tag.at, self._starts.delay / 2)
        loads[IN_FLIGHT] = max(1, tag.others + 1 - refused)
        return loads

    def _raise(self, tag: StartTag, loads: dict[float, int], now: float) -> None:
        """Let the bounds that were in use try more."""
        self.concurrency_limit.accepted(loads[IN_FLIGHT], now)
        more = 0.0
        for span, bound in self.pacer.bounds.items():
            before = bound.value
            risen = bound.accepted(loads[span], now, in_use=tag.paced)
            if risen:
                more = max(more, risen + max(0.0, before - loads[span]))
        if more:
            self.pacer.changed()
            self.pacer.allow_more(more)

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.pacer.shift(seconds)
        self.gate.shift(seconds)
        self.concurrency_limit.shift(seconds)
        self._starts.clear()
        self._episode = None
        self._diagnosis.close()
        self._heed_diagnosis(-math.inf)
