"""Evidence of what 429s are about: the number in flight, the starts within 1, 10 or 60 seconds, or nothing.

The service does not say. Each of these loads is an explanation. Where a load is limited, refusals begin at a
certain height of it, and few attempts at or above that height pass. Where it is not, refusals come as often
at any height. The evidence for an explanation is the logarithm of the ratio of the likelihoods of the two
models, with the height and the shares that fit best (generalised likelihood ratio). It is conditional on the
loads that were tried, so it does not matter how the loads came about.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

IN_FLIGHT = 0.0
"""Stands for the number in flight among the explanations; the others are spans in seconds."""

_SETTLED = math.log(30)
"""Evidence from which an explanation is settled, beyond what the best of so many heights has by chance."""

NOTICEABLE = math.log(20)
"""Evidence from which an explanation is noticeable; also by how much the best is ahead of those that are
worse. Below this for all, the refusals look like chance."""

_NAMING = math.log(20)
"""Evidence that is added by a wait that names a span, as it would once in twenty times by chance."""

_FEWEST = 2
"""Episodes at or above a height that make it evident: one proves nothing, however many echoes it has."""

_SHARE_ABOVE = 0.2
"""Share of attempts at or above the height that must be refused."""

_MOST_ECHOES = 4.0
"""Weight, in refusals, of all echoes of one episode together: they are about one moment."""

_KEPT = 800.0
"""Attempts after which the weight of all evidence is halved."""

_EXACT, _GROWTH = 40, 1.03
_EDGES = list(range(_EXACT))
"""Lowest loads of the bins in which loads are counted: exact at first, then 3 % wide."""
while _EDGES[-1] < 1_000_000:
    _EDGES.append(math.ceil(_EDGES[-1] * _GROWTH))


class _Counts:
    """Attempts by the load they met, for one explanation."""

    __slots__ = ("accepted", "episodes", "lowest", "named", "refused")

    def __init__(self) -> None:
        self.accepted: dict[int, float] = {}
        self.refused: dict[int, float] = {}
        self.episodes: dict[int, float] = {}
        """Those of the refused that began an episode."""
        self.lowest: dict[int, int] = {}
        """The lowest refused load in each bin."""
        self.named = 0.0

    def add_refused(self, load: int, weight: float, *, begins: bool) -> None:
        place = bisect_right(_EDGES, load)
        if begins:
            self.episodes[place] = self.episodes.get(place, 0.0) + 1.0
        self.refused[place] = self.refused.get(place, 0.0) + weight
        self.lowest[place] = min(load, self.lowest.get(place, load))

    def add_accepted(self, load: int) -> None:
        place = bisect_right(_EDGES, load)
        self.accepted[place] = self.accepted.get(place, 0.0) + 1.0

    def halve(self) -> None:
        for counts in (self.accepted, self.refused, self.episodes):
            for place in counts:
                counts[place] /= 2
        self.named /= 2

    def heights(self) -> Iterator[tuple[int, float, float]]:
        """Yield each height at which refusals may begin, with what was refused and accepted from there on."""
        refused = accepted = episodes = 0.0
        for place in sorted(self.accepted.keys() | self.refused.keys(), reverse=True):
            accepted += self.accepted.get(place, 0.0)
            episodes += self.episodes.get(place, 0.0)
            if place in self.refused:
                refused += self.refused[place]
                if episodes >= _FEWEST:
                    yield self.lowest[place], refused, accepted


class Finding(NamedTuple):
    """What is known of one explanation."""

    evidence: float
    """The logarithm of a ratio of likelihoods; 0 for none."""
    height: int
    """The lowest load that is then refused; 0 for none."""
    settled: bool
    """Whether that is enough to act upon."""


_NOTHING = Finding(0.0, 0, settled=False)


class RefusalEvidence:
    """Attempts, accepted and refused, by the loads they met."""

    __slots__ = ("_accepted", "_counts", "episodes", "last", "longest_told", "refused_at")

    def __init__(self, explanations: Sequence[float]) -> None:
        self._counts = {name: _Counts() for name in explanations}
        self._accepted = 0.0
        self.episodes: float = 0.0
        """Episodes of refusals; older ones count less."""
        self.refused_at: float = -math.inf
        self.last: Mapping[float, int] = {}
        """The loads of the last refusal."""
        self.longest_told: float = 0.0
        """The longest wait that came with a refusal, seconds."""

    def __repr__(self) -> str:
        return f"RefusalEvidence({self.episodes:.0f} episodes among {self._accepted:.0f} accepted)"

    @property
    def share(self) -> float:
        """Share of attempts that began an episode of refusals."""
        return self.episodes / max(1.0, self.episodes + self._accepted)

    def refused(
        self, loads: Iterable[Mapping[float, int]], at: float, told: float | None, named: float | None
    ) -> None:
        """Count an episode: the loads of the first refused attempt, then those of its echoes.

        Each load includes the attempt itself. *told* is the wait that the service asked for, seconds;
        *named* the span that this wait speaks for; None for neither.
        """
        first, *echoes = loads
        self.refused_at = at
        self.last = first
        self.longest_told = max(self.longest_told, told or 0.0)
        self.episodes += 1
        weight = min(1.0, _MOST_ECHOES / max(1, len(echoes)))
        for name, counts in self._counts.items():
            counts.add_refused(first[name], 1.0, begins=True)
            for echo in echoes:
                counts.add_refused(echo[name], weight, begins=False)
        if named is not None:
            self._counts[named].named += 1

    def accepted(self, loads: Mapping[float, int]) -> None:
        """Count an attempt that was accepted."""
        self._accepted += 1
        for name, load in loads.items():
            self._counts[name].add_accepted(load)
        if self._accepted > _KEPT:
            self._accepted /= 2
            self.episodes /= 2
            for counts in self._counts.values():
                counts.halve()

    def of(self, name: float) -> Finding:
        """Return what is known of this explanation, after a refusal."""
        counts = self._counts[name]
        all_refused, all_accepted = sum(counts.refused.values()), sum(counts.accepted.values())
        everything = _log_likelihood(all_refused, all_accepted)
        share = all_refused / (all_refused + all_accepted)
        best, at = 0.0, 0
        for height, refused, accepted in counts.heights():
            share_above = refused / (refused + accepted)
            # A limit of none at all is no limit.
            if height <= 1 or share_above < _SHARE_ABOVE or share_above <= share:
                continue
            below = _log_likelihood(all_refused - refused, all_accepted - accepted)
            ratio = _log_likelihood(refused, accepted) + below - everything
            if ratio > best:
                best, at = ratio, height
        if not at:
            return _NOTHING
        evidence = best + _NAMING * counts.named
        heights = len(counts.accepted.keys() | counts.refused.keys())
        return Finding(evidence, at, settled=evidence - math.log(heights) >= _SETTLED)


def _log_likelihood(refused: float, accepted: float) -> float:
    """Return the logarithm of the likelihood of so many refusals and acceptances, at the share that fits
    best.
    """
    both = refused + accepted
    return sum(count * math.log(count / both) for count in (refused, accepted) if count > 1e-9)
