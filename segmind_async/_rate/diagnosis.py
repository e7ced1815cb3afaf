"""Which bound to lower after 429s, and whether that helped.

- A bound is lowered when one explanation is settled. Of several that explain the refusals alike the one that
  costs least comes first.
- What was lowered is a claim. If refusals become rarer it is confirmed, and the question is closed. If they
  do not, and still come at the bound, it is lowered a little further, since loads are only known roughly; if
  a few steps have not helped, they are undone, and in the end the claim is.
- A span that was not seen whole, because this process began within it, says "at least": others may have
  filled it.
- Without any noticeable explanation refusals are chance.
- Refusals at a bound that is always in use are either chance or a bound that is too high. The evidence cannot
  tell; lowering it a little shows which.

Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .learnt_limit import LearntLimit
from .pacer import MINUTE, SECOND, TEN_SECONDS
from .refusal_cause import IN_FLIGHT, NOTICEABLE, Finding, RefusalEvidence

_MILDEST_FIRST = (SECOND, IN_FLIGHT, TEN_SECONDS, MINUTE)
"""Explanations in order: of several that explain the refusals alike, the one that costs least is tried
first."""

_EXPIRES = 75.0
"""Seconds without a refusal after which the question is closed: longer than any span."""

_FIRST_STARTS = 200
"""Starts from the first that are kept as evidence for the first refusal: enough for limits that are met at
once."""

_SEVERAL, _MANY = 3, 5
"""Refusals after which they may be called chance, or a claim be reviewed; and after which a bound that was
never lowered for them is tried."""

_A_LITTLE, _STEPS = 0.04, 3
"""Share by which a bound is lowered to see whether that helps, doubled with each further step, and how
often."""

_HELPED = 0.5
"""Share of refusals, of what it was, down to which a claim has not helped."""

_MOST_BY_CHANCE = 0.3
"""Share of refusals above which they are never called chance."""

_ROUNDED_UP = 1.5
"""Seconds by which a wait may be longer than the span that it is about."""


class _Claim:
    """A bound that was lowered, until it is seen to have made refusals rarer."""

    __slots__ = ("accepted", "name", "refused", "share_before", "since", "steps", "value", "value_before")

    def __init__(
        self, name: float, value: float, value_before: float, share_before: float, now: float
    ) -> None:
        self.name = name
        self.value = value
        """What the bound was lowered to at first."""
        self.value_before, self.share_before = value_before, share_before
        self.since = now
        self.refused = self.accepted = self.steps = 0

    def again(self) -> None:
        """Count anew: the bound has moved."""
        self.steps += 1
        self.refused = self.accepted = 0

    @property
    def has_helped(self) -> bool:
        """Whether refusals have become rarer."""
        return self.refused < _HELPED * self.share_before * (self.refused + self.accepted)

    @property
    def has_failed(self) -> bool:
        """Whether refusals that come as often as before explain what came since far better than half as
        many.
        """
        expected = self.share_before * (self.refused + self.accepted)
        return self.refused * math.log(2) - expected / 2 >= NOTICEABLE

    @property
    def is_confirmed(self) -> bool:
        """Whether they have been rarer for so long that chance hardly explains it."""
        expected, seen = (self.refused + self.accepted) * self.share_before, self.refused
        if seen >= expected:
            return False
        # Of two Poisson distributions: the logarithm of the ratio of their likelihoods.
        return expected - seen + (seen * math.log(seen / expected) if seen else 0.0) >= NOTICEABLE


class Diagnosis:
    """Weighs the explanations of refusals, and lowers bounds by them."""

    __slots__ = ("_began", "_bounds", "_claim", "_evidence", "_tried", "by_chance")

    def __init__(self, bounds: Mapping[float, LearntLimit]) -> None:
        """*bounds*: of each load, by its span or `IN_FLIGHT`."""
        self._bounds = bounds
        self._evidence: RefusalEvidence | None = RefusalEvidence(tuple(bounds))
        """Open from the beginning: before the first refusal nothing can have changed."""
        self._began: float | None = None
        """When the first attempt was counted; -inf once it does not matter any more."""
        self._claim: _Claim | None = None
        self._tried: set[float] = set()
        """Bounds that were lowered without an explanation, to see whether that helps: each once."""
        self.by_chance: bool = False
        """Whether refusals look like chance."""

    def __repr__(self) -> str:
        return f"Diagnosis({self._evidence!r}, {'chance' if self.by_chance else 'no chance'})"

    @property
    def is_open(self) -> bool:
        """Whether attempts are counted."""
        return self._evidence is not None

    @property
    def asks(self) -> bool:
        """Whether it is open what refusals are about."""
        return self._evidence is not None and self._evidence.episodes > 0

    def is_testing(self, now: float) -> bool:
        """Return whether a bound was lowered shortly ago, and it is not known yet whether that helped."""
        return self._claim is not None and now < self._claim.since + MINUTE

    def accepted(self, number: int, loads: Mapping[float, int], now: float, *, gate_open: bool) -> None:
        """Count an accepted attempt, the *number*-th start; may close the question."""
        evidence, claim = self._evidence, self._claim
        assert evidence is not None
        if self._began is None:
            self._began = now
        evidence.accepted(loads)
        if claim is not None:
            claim.accepted += 1
        if not evidence.episodes:
            done = number >= _FIRST_STARTS
        else:
            quiet = gate_open and now - evidence.refused_at > _EXPIRES
            done = quiet or (claim is not None and claim.is_confirmed)
        if done:
            self.close()

    def refused(
        self,
        loads: Sequence[Mapping[float, int]],
        on_their_way: int,
        now: float,
        *,
        told: float | None,
        named: float | None,
    ) -> bool:
        """Count an episode, as `RefusalEvidence.refused`; return whether a bound has moved.

        *on_their_way*: starts from the first that was refused until the gate closed.
        """
        if self._evidence is None:
            self._evidence = RefusalEvidence(tuple(self._bounds))
        evidence = self._evidence
        evidence.refused(loads, now, told, named)
        if self._claim is not None:
            self._claim.refused += 1
        found = {name: evidence.of(name) for name in _MILDEST_FIRST if self._is_possible(name)}
        best = max(finding.evidence for finding in found.values())
        name = self._settled(found, best)
        if name is not None:
            self._lower(name, found[name].height - 1, now)
        moved = name is not None or self._review(now)
        likely = name is None and evidence.episodes >= _SEVERAL and best < NOTICEABLE
        # A limit refuses nearly all that are on their way.
        alone = len(loads) - 1 <= _MOST_BY_CHANCE * on_their_way
        self.by_chance = likely and alone and evidence.share < _MOST_BY_CHANCE
        return moved

    def _is_possible(self, name: float) -> bool:
        """Return whether the waits that the service asked for leave this explanation possible."""
        assert self._evidence is not None
        return name == IN_FLIGHT or name > self._evidence.longest_told - _ROUNDED_UP

    def _settled(self, found: Mapping[float, Finding], best: float) -> float | None:
        """Return the mildest settled explanation that its bound does not cover yet."""
        claim = self._claim
        for name, finding in found.items():
            if claim is not None and claim.name == name and claim.refused < _SEVERAL:
                continue  # what it has just been lowered to must fail first
            uncovered = finding.height - 1 < self._bounds[name].value
            if finding.settled and uncovered and finding.evidence > best - NOTICEABLE:
                return name
        return None

    def _lower(self, name: float, load: int, now: float) -> None:
        """Lower a bound to *load*, the most that passed, as a new claim."""
        claim, evidence, bound = self._claim, self._evidence, self._bounds[name]
        assert evidence is not None
        if claim is not None and claim.name != name:
            self._end_claim(claim, now)
        before = claim.value_before if claim is not None and claim.name == name else bound.value
        seen_for = math.inf if self._began is None else now - self._began
        bound.lower(load, now, f"429 with {load + 1} {_written(name)}", at_least=seen_for < name)
        self._claim = _Claim(name, bound.value, before, evidence.share, now)

    def _review(self, now: float) -> bool:
        """Lower the bound of a claim that has not helped further, or undo it; return whether a bound has
        moved.
        """
        claim, evidence = self._claim, self._evidence
        assert evidence is not None
        if claim is None:
            return evidence.episodes >= _MANY and self._try_lower(now)
        if claim.refused < _SEVERAL or claim.has_helped:
            return False
        if claim.steps < _STEPS and self._lower_a_little(claim.name, claim.steps, now):
            claim.again()
        elif claim.steps == _STEPS:
            # The steps have not helped; the claim itself may still be true, with refusals by chance besides.
            self._bounds[claim.name].undo(claim.value, now)
            claim.again()
        elif claim.has_failed:
            self._end_claim(claim, now)
            self._claim = None
        else:
            return False
        return True

    def _end_claim(self, claim: _Claim, now: float) -> None:
        """Undo a claim unless it has helped."""
        if not claim.has_helped:
            self._bounds[claim.name].undo(claim.value_before, now)

    def _try_lower(self, now: float) -> bool:
        """Lower a bound at which refusals come, each once; return whether there was one."""
        evidence = self._evidence
        assert evidence is not None
        for name in _MILDEST_FIRST:
            bound = self._bounds[name]
            before = bound.value
            if bound.learnt and name not in self._tried and self._lower_a_little(name, 0, now):
                self._tried.add(name)
                self._claim = _Claim(name, before, before, evidence.share, now)
                self._claim.steps = 1
                return True
        return False

    def _lower_a_little(self, name: float, step: int, now: float) -> bool:
        """Lower a bound if the last refusal came at it; return whether it was."""
        evidence, bound = self._evidence, self._bounds[name]
        assert evidence is not None
        if bound.on_trial or not 1 <= bound.value - 1 <= evidence.last[name]:
            return False
        share = 1 - _A_LITTLE * 2**step
        load = min(int(bound.value) - 1, int(share * bound.value))
        bound.lower(load, now, f"429s at {bound.value:g} {_written(name)}")
        return True

    def close(self) -> None:
        """Close the question; the bounds stay."""
        self._evidence = self._claim = None
        self._began = -math.inf
        self._tried.clear()
        self.by_chance = False


def _written(name: float) -> str:
    return "in flight" if name == IN_FLIGHT else f"starts within {name:g} s"
