"""When the next attempt may start, so that no window of the service holds more starts than it allows.

Nothing is booked ahead. A start is decided at the instant it happens, from the log of past starts: an attempt
waits until that instant, asks again, and starts. So no booking can grow stale in a queue and be used later
together with others.

The service may count over any span; three stand for all: a second, ten seconds, a minute (as published).
Each has a bound of its own. There are two rules, and the later instant of both counts. The log of starts
keeps the promise: with as many starts in a span as its bound allows (and a margin, since the network
delivers unevenly) the next one waits until the oldest is out of it. The spacing keeps starts even, but for a
small burst after a pause, because a service may count in finer windows than it publishes. Source of the
spacing: the generic cell rate algorithm, virtual scheduling form (ITU-T Recommendation I.371).

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .learnt_limit import LearntLimit
from .start_log import StartLog

SECOND, TEN_SECONDS, MINUTE = 1.0, 10.0, 60.0
"""Spans over which starts are counted, seconds."""

SPANS = (MINUTE, TEN_SECONDS, SECOND)
"""All of them, longest first."""

_PROOF = {MINUTE: 2, TEN_SECONDS: 3, SECOND: 6}
"""Accepted starts above a bound that prove it to be too low, by the span: a fixed window is passed by
chance, and in a shorter span more often."""

MARGIN = 0.25
"""Seconds added to a minute: the delays of two requests in transit differ by up to this much. Shorter spans
get the smaller part that `Pacer.length` says: there a longer one costs more of the rate."""

BURST = 1 / 12
"""Share of the shortest bounded span whose starts may go out at once after a pause: 5 s of a minute."""

_KEPT_FOR, _KEPT_STARTS = 90.0, 20_000
"""Seconds for which a start is kept: until all refusals within its minute are in; and how many, twenty times
the highest published rate, unless a higher one is set."""

_SOON = 0.1
"""Share of the spacing within which a start follows the instant that the pace allowed: it waited for that."""

_CAREFUL_BURST, _CAREFUL_SPACING, _CAREFUL_ANSWERS = 8, 0.01, 32
"""Starts at once, seconds between further starts, and the answers after which neither applies any more: a
limit of the service then shows after a few refusals instead of one for every slot."""


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
        "_answered", "_due", "_extra", "_interval", "_last", "_lengths", "_refused", "_tolerance",
        "bounds", "log", "spacing",
    )  # fmt: skip

    def __init__(self, requests_per_minute: float | None = None) -> None:
        self.bounds: dict[float, LearntLimit] = {
            span: LearntLimit(math.inf, "no limit met", proof=_PROOF[span], longest_pause=MINUTE)
            for span in SPANS
        }
        """The most starts within each span; the spans are in seconds."""
        self.log: StartLog = StartLog(_KEPT_FOR, _KEPT_STARTS)
        """The last starts."""
        self.spacing: float = 0.0
        """Seconds between any two starts."""
        self._refused = StartLog(_KEPT_FOR, _KEPT_STARTS)
        """Those of the starts that were refused. Bounds are learnt without them; against a bound they count,
        since some services count them."""
        self._due = -math.inf
        self._last = -math.inf
        self._answered = 0
        self._extra = 0.0
        """Starts that may go out beyond the even spacing."""
        self._lengths: tuple[tuple[float, float], ...] = ()
        self._interval = self._tolerance = 0.0
        if requests_per_minute is not None:
            self.set_rate(requests_per_minute)

    def __repr__(self) -> str:
        return f"Pacer({'no rate' if self.rate is None else f'{self.rate:g} a minute'}, {self.reason})"

    @property
    def rate(self) -> float | None:
        """Starts a minute that the tightest bound allows; None without one."""
        return min((self.bounds[span].value * MINUTE / span for span, _ in self._lengths), default=None)

    @property
    def reason(self) -> str:
        """Why the tightest bound last moved."""
        spans = (span for span, _ in self._lengths)
        tightest = min(spans, key=lambda span: self.bounds[span].value / span, default=MINUTE)
        return self.bounds[tightest].reason

    @property
    def learnt(self) -> bool:
        """Whether a refusal has lowered any bound."""
        return any(self.bounds[span].learnt for span, _ in self._lengths)

    def changed(self) -> None:
        """Take up bounds that have moved."""
        self._extra = 0.0
        self._lengths = tuple((span, self.length(span)) for span in SPANS if self.bounds[span].is_set)
        self._interval = max(
            (length / max(1.0, self.bounds[span].value) for span, length in self._lengths), default=0.0
        )
        self.log.keep = max([_KEPT_FOR, *(length for _, length in self._lengths)])
        self.log.most = max(
            [_KEPT_STARTS, *(math.ceil(self.bounds[span].value) for span, _ in self._lengths)]
        )
        # How far ahead of the even spacing a start may be: the burst less one start.
        shortest = min((span for span, _ in self._lengths), default=0.0)
        self._tolerance = max(0.0, BURST * shortest - self._interval)
        if self._lengths:
            # The last start counts as evenly spaced: a new bound begins without a burst.
            self._due = max(self._due, self._last + self._interval + self._tolerance)

    def length(self, span: float) -> float:
        """Return the seconds over which starts are counted for *span*; a bound under 1 stretches them."""
        margin = MARGIN * math.sqrt(span / MINUTE) * (1.5 if span == SECOND else 1.0)
        return (span + margin) * max(1.0, 1 / self.bounds[span].value)

    def allow_more(self, starts: float) -> None:
        """Let so many starts go out at once, beyond the even spacing: a trial then shows at once whether it
        passes.
        """
        self._extra += starts

    def next_start(self, now: float) -> float:
        """Return the earliest instant of the next start; *now* or earlier means at once."""
        earliest = self._last + self.spacing
        if not self._lengths:
            careful = self._answered < _CAREFUL_ANSWERS and len(self.log) >= _CAREFUL_BURST
            return max(earliest, self._last + _CAREFUL_SPACING) if careful else earliest
        if self._extra < 1:
            earliest = max(earliest, self._due - self._tolerance)
        for span, length in self._lengths:
            most = max(1, math.floor(self.bounds[span].value))
            if len(self.log) >= most:
                earliest = max(earliest, self.log.newest(most) + length)
        return earliest

    def start(self, now: float, number: int) -> bool:
        """Count a start, which must be allowed; return whether the pace alone had held it back."""
        paced = bool(self._lengths) and now - (self._due - self._tolerance) <= _SOON * self._interval
        self.log.add(now, number)
        self.log.trim(now)
        self._last = now
        if self._extra >= 1:
            self._extra -= 1
        elif self._lengths:
            self._due = max(now, self._due) + self._interval
        return paced

    def refused(self, number: int, at: float) -> None:
        """Count a refused start, which started *at*."""
        self._refused.trim(at)
        self._refused.add(at, number)

    def answered(self) -> None:
        """Count any answer but a 429."""
        self._answered += 1

    def load(self, span: float, number: int, at: float) -> int:
        """Return how many starts count together with this one, itself included and refused ones not."""
        length = self.length(span) if self.bounds[span].is_set else span
        return 1 + self.log.before(number, at, length) - self._refused.before(number, at, length)

    def refused_before(self, number: int, at: float, span: float) -> int:
        """Return how many starts before this one, within the *span* seconds up to it, were refused."""
        return self._refused.before(number, at, span)

    def set_rate(self, requests_per_minute: float | None) -> None:
        """Set the rate, also while running; None for no rate. The promise holds over the change."""
        self.bounds[MINUTE].set_ceiling(
            math.inf if requests_per_minute is None else requests_per_minute, "as set"
        )
        self.changed()

    def state(self, now: float) -> PacerState:
        """Return the state for a later process."""
        bound = self.bounds[MINUTE]
        ages = tuple(age for age in self.log.ages(now) if age <= self.length(MINUTE))
        return PacerState(ages, bound.value if bound.learnt else None)

    def restore(self, state: PacerState, now: float, elapsed: float) -> None:
        """Go on from *state*, taken *elapsed* seconds ago; to be called before the first start.

        A rate set by the user stays as it is.
        """
        if state.rate is not None and not self.bounds[MINUTE].is_set:
            self.bounds[MINUTE].lower(state.rate, now, "learnt earlier")
        times = [now - elapsed - age for age in reversed(state.ages)]
        self.log.extend(times)
        self._last = max([self._last, *times])
        self.changed()

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.log.shift(seconds)
        self._refused.shift(seconds)
        self._due += seconds
        self._last += seconds
        for bound in self.bounds.values():
            bound.shift(seconds)
