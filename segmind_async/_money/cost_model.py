"""What calls of one kind have cost, and what a further one will.

What is in flight is no sample of what has finished: dear calls last longer, so the longer a call has been
out, the dearer it will be. Each call's cost is therefore taken *given its age*, from a distribution that
rests on finished calls and calls in flight alike. Sums over calls are in `exposure`.

Amounts are units of 10⁻¹⁰ credit, as floats inside a statistic and as integers at its border; ages are
seconds. Pure; the time comes in as an argument.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .distribution import Distribution
from .hindsight import Hindsight
from .lognormal import Moments, prior_calls

KEPT = 400
"""Finished calls that the statistics rest on: enough for a tail, few enough to follow a change."""

_KEPT_OF_FLIGHT = 2
"""The same, at least, over the calls in flight: fewer would be finished within less than one call's time."""

Z = 2.6
"""Quantile of the sum, in standard deviations. Found by simulation: see benchmarks/README.md."""

Z_LAST = 2.33
"""The same for one call with nothing else in flight: its 99th percentile."""

_Z_ALONE = 4.0
"""Quantile of a single call that no sum of quantiles exceeds: the cheap bound far from the floor."""

_Z_OUTLIER = 3.3
"""Standard deviations of ln(cost) beyond which a fall of the balance holds more than one call's cost."""

_RARE = 0.03
"""Share of calls above which such falls are a dear kind of call all the same."""

_GUESS_SIGMA = 1.5
"""Spread of ln(cost) around a first guess: the published means say nothing of this prompt's length."""

_PRIOR_SIGMA = 1.0
"""Spread of ln(cost) that is believed of single calls before any is known."""

_MUCH_THE_SAME = 0.1
"""Spread of ln(predicted) below which nothing can be learnt of how costs follow it."""

_UNSEEN_TIMES = 60.0
"""How many times dearer than the mean a call may be of a kind of which none has finished. With 10 and 30
floors and budgets broke more often, with 100 short runs took longer for little; tried on 24 of the situations
in benchmarks/README.md, and compared on all of them with other seeds."""

ENOUGH = 8
"""Finished calls of a template from which its own statistics are used in place of those of its whole model;
before them an estimate is a guess."""

_BLOCK = 25
"""Calls that are compared with the older ones together."""

_CHANGED = 4.0
"""Standard errors by which a block lies off if costs have changed."""

_NO_CHANGE = 0.02
"""ln(cost) by which a block's mean may be off where all costs are the same."""

_LARGEST = 70.0
"""ln(units) that nothing exceeds."""

_ABSURD = 1000.0
"""A cost over the dearest one known so far, beyond which it teaches no more than this."""


Finished: TypeAlias = tuple[int, float, float, float, bool]
"""A finished call: its cost, ln(cost), ln(latency), ln(predicted) or 0, and whether it was predicted."""


class CostState(NamedTuple):
    """What is kept of a cost model over a restart."""

    ever: int
    """Calls that have finished."""
    calls: Sequence[tuple[int, float, float | None]]
    """The newest of them: cost in units, latency in seconds, and what was predicted."""


@dataclass(slots=True, eq=False)
class InFlightCall:
    """One call in flight, or about to be."""

    model: CostModel
    started_at: float
    predicted: float | None
    summand_bound: int
    """See `CostModel.summand_bound`."""
    expected: float = field(default=0.0, init=False)
    cohort: int = field(default=0, init=False)
    """What `Hindsight` remembers of it."""


class CostModel:
    """What calls of one kind have cost, and what a further one will.

    `first_guess`, in units, stands in until a call has finished. `predicted`, where given, was known before
    the send; where costs follow it, they are measured against it. As long as it was much the same for all
    calls nobody can tell: a call of which more is predicted is then taken to cost more, and one of which
    less is predicted not to cost less.
    """

    __slots__ = (
        "_absurd", "_block", "_calls", "_due", "_ever", "_fit", "_most", "_most_due", "_most_usual", "_moved",
        "_outliers",
        "_ratio_fit", "_sum_t", "_sum_x", "_sum_xx", "_total", "_usual", "first_guess", "hindsight", "name",
        "running", "version", "whole",
    )  # fmt: skip

    def __init__(self, first_guess: int, name: str = "", whole: CostModel | None = None) -> None:
        self.first_guess: int = first_guess
        self.name: str = name
        self.whole: CostModel = whole or self
        """The statistics of all calls of this name, of which these are a part."""
        self.running: dict[InFlightCall, None] = {}
        """Calls in flight."""
        self.hindsight: Hindsight = Hindsight()
        self.version: int = 0
        """Changes with every fit."""
        self._calls: deque[Finished] = deque()
        self._ever = 0
        """Calls that have finished, kept or not."""
        self._absurd = 0
        """Absurd costs that were named."""
        self._outliers = 0
        """Falls of the balance that were hardly one call's cost."""
        self._total = 0
        """What they cost together."""
        self._sum_x = self._sum_xx = self._sum_t = 0.0
        self._block: list[float] = []
        """ln(cost) of the newest calls, until they are enough to be compared with the older ones."""
        self._moved = 0
        """Whether the last block lay far above (1) or below (-1) the older ones."""
        self._usual: float | None = None
        """What was predicted of all calls, if it was much the same."""
        self._due = 0
        """Finished calls until the next fit."""
        self._most, self._most_usual, self._most_due = 0, math.inf, 0
        """See `most`: its value, up to which prediction, and finished calls until it is made anew."""
        self._fit: Distribution | None = None
        self._ratio_fit: Distribution | None = None

    def __repr__(self) -> str:
        return f"CostModel(typical={self.typical()}, calls={len(self._calls)})"

    @property
    def known(self) -> bool:
        """Whether any call has finished."""
        return bool(self._calls)

    @property
    def guessed(self) -> bool:
        """Whether too few calls have finished for the estimate to be more than a guess."""
        return len(self._calls) < ENOUGH

    @property
    def predictor(self) -> CostModel:
        """The statistics that predict a next call: its template's once there are enough, else its model's."""
        return self if len(self._calls) >= ENOUGH else self.whole

    @property
    def reason(self) -> str:
        """What the estimate rests on."""
        if not self._calls:
            return "a first guess"
        by_length = ", by their length" if self._ratio_fit is not None else ""
        return f"the last {len(self._calls)} calls{by_length}"

    def started(self, held: InFlightCall) -> None:
        """Count a call in flight of this template, and of its whole model."""
        self.running[held] = None
        if self.whole is not self:
            self.whole.running[held] = None
        if len(self._calls) > 2 * len(self.running):
            # Before that the mean rests on early finishers, which are the cheap ones.
            held.expected = self._total / len(self._calls)
            held.cohort = self.hindsight.sent(held.expected)

    def released(self, held: InFlightCall) -> None:
        """Count it no more; it was not billed, or nobody knows its cost."""
        self._ended(held, None)

    def learn(self, held: InFlightCall, cost: int, latency: float) -> None:
        """Count it no more, and take in its cost."""
        self._ended(held, cost)
        self.finished(cost, latency, held.predicted)

    def state(self, most: int) -> CostState:
        """Return what a later process needs to know of these calls: the newest ones, *most* at most."""
        newest = [*self._calls][-most:]
        calls = [
            (cost, round(math.exp(y), 3), round(math.exp(t)) if predicted else None)
            for cost, _, y, t, predicted in newest
        ]
        return CostState(self._ever, calls)

    def restore(self, state: CostState) -> None:
        """Go on from what an earlier process knew, unless calls have finished here."""
        if self._calls:
            return
        for cost, latency, predicted in state.calls:
            self.finished(cost, latency, predicted)
        self._ever = max(self._ever, state.ever)

    def _ended(self, held: InFlightCall, cost: int | None) -> None:
        del self.running[held]
        if self.whole is not self:
            del self.whole.running[held]
        if held.cohort:
            self.hindsight.ended(held.cohort, held.expected, cost)

    def finished(self, cost: int, latency: float, predicted: float | None = None) -> None:
        """Take in what a call has cost, and how long it was out."""
        y = math.log(latency if latency > 1e-6 else 1e-6)
        # Without a prediction anything will do: it is used only where all kept calls have one.
        t = math.log(predicted) if predicted else 0.0
        self._take(cost, y, t, predicted is not None)
        if self.whole is not self:
            self.whole._take(cost, y, t, predicted is not None)

    def _take(self, cost: int, y: float, t: float, predicted: bool) -> None:
        calls = self._calls
        if cost > _ABSURD * self.first_guess:
            # Also the first: where it is believed, no second could ever correct it.
            known = max((call[0] for call in calls), default=self.first_guess)
            cost = min(cost, int(_ABSURD * known) + 1)
        x = math.log(cost if cost > 1 else 1)
        calls.append((cost, x, y, t, predicted))
        self._ever += 1
        self._total += cost
        self._sum_x += x
        self._sum_xx += x * x
        self._sum_t += t
        while len(calls) > KEPT and len(calls) > _KEPT_OF_FLIGHT * len(self.running):
            self._forget_oldest()
        self._due -= 1
        self._most_due -= 1
        self._block.append(x)
        if len(self._block) == _BLOCK:
            self._compare_block()

    def _compare_block(self) -> None:
        """Forget earlier calls once two blocks in a row lie far from them, on the same side."""
        n = len(self._calls) - _BLOCK
        newest = math.fsum(self._block)
        spread = sum((x - newest / _BLOCK) ** 2 for x in self._block)
        side = 0
        if n > 2 * (len(self.running) + _BLOCK):
            older = (self._sum_x - newest) / n
            squares = max(0.0, self._sum_xx - newest * newest / _BLOCK - spread - n * older * older)
            error = math.sqrt(max(squares / n, spread / _BLOCK) / _BLOCK) + _NO_CHANGE
            step = newest / _BLOCK - older
            side = 0 if abs(step) < _CHANGED * error else 1 if step > 0 else -1
        if side and side == self._moved:
            while len(self._calls) > 2 * _BLOCK:
                self._forget_oldest()
            self.hindsight.drop_cohort()
            self._due = side = 0
        self._moved = side
        self._block.clear()

    def _forget_oldest(self) -> None:
        cost, x, _, t, _ = self._calls.popleft()
        self._total -= cost
        self._sum_x -= x
        self._sum_xx -= x * x
        self._sum_t -= t

    def typical(self) -> int:
        """Return the mean cost in units, the first guess before any is known."""
        return self._total // len(self._calls) if self._calls else self.first_guess

    def not_its_own(self, cost: int) -> int:
        """Return the part of a fall that is hardly this call's cost: 0, unless it is far too large, and rare.

        What comes often is a dear kind of call.
        """
        n = len(self._calls)
        if n < _BLOCK:
            return 0
        mean = self._sum_x / n
        spread = math.sqrt(max(0.0, self._sum_xx / n - mean * mean))
        if math.log(max(cost, 1)) <= mean + _Z_OUTLIER * max(spread, _MUCH_THE_SAME):
            return 0
        self._outliers += 1
        if self._outliers > _RARE * self._ever:
            return 0
        return cost - self.typical()

    def is_absurd(self, named: int) -> bool:
        """Return whether a named cost is far beyond all that calls of this model have cost."""
        if named <= _ABSURD * self.first_guess:
            return False
        return named > _ABSURD * max((call[0] for call in self.whole._calls), default=0)

    def believed(self, named: int) -> int:
        """Return what is to be booked of a named cost that no balance shows: all, unless absurd and rare.

        One answer is no proof. What comes often is a dear kind of call.
        """
        if not self.is_absurd(named):
            return named
        whole = self.whole
        whole._absurd += 1
        return named if whole._absurd > max(1, _RARE * whole._ever) else self.typical()

    def summand_bound(self, predicted: float | None) -> int:
        """Return the units for a single call that no quantile of a sum counts for one: far from the floor,
        these are enough to tell that all fits.

        From running sums alone: no fit is made for it.
        """
        if self._most_due <= 0:
            self._look_at_most()
        if not predicted or predicted <= self._most_usual:
            return self._most
        return math.ceil(self._most * predicted / self._most_usual)

    def _look_at_most(self) -> None:
        n = len(self._calls)
        if not n:
            self._most = math.ceil(self.first_guess * math.exp(_Z_ALONE * _GUESS_SIGMA))
            return
        self._most_due = max(1, n // 16)
        mean, prior = self._sum_x / n, prior_calls(n)
        squares = max(0.0, self._sum_xx - n * mean * mean) + prior * _PRIOR_SIGMA**2
        sigma = math.sqrt(squares / (prior + n - 1))
        log = mean + sigma * (_Z_ALONE + 2 / math.sqrt(n))
        most = self.hindsight.factor * math.exp(min(log, _LARGEST))
        self._most = math.ceil(max(most, self.typical() * (1 + self.unseen(1))))
        self._most_usual = math.exp(self._sum_t / n)

    def fitted(self, now: float) -> Distribution | None:
        """Return the fit, made anew if enough has come since; None before any call has finished.

        Often while they are few, then as the picture changes.
        """
        if self._due <= 0 and self._calls:
            self._refit(now)
        return self._fit

    def _refit(self, now: float) -> None:
        calls = self._calls
        n = len(calls)
        self._due = max(1, n // 16)
        self.version += 1
        ages = [now - held.started_at for held in self.running]
        self._fit = Distribution([(x, y) for _, x, y, _, _ in calls], ages, self._ever)
        all_predicted = all(call[4] for call in calls)
        spread = _spread([t for _, _, _, t, _ in calls]) if all_predicted and n > 1 else 0.0
        varied = spread > _MUCH_THE_SAME**2
        follows = varied and _spread([x - t for _, x, _, t, _ in calls]) < _spread(
            [x for _, x, _, _, _ in calls]
        )
        self._ratio_fit = (
            Distribution([(x - t, y) for _, x, y, t, _ in calls], ages, self._ever) if follows else None
        )
        self._usual = math.exp(self._sum_t / n) if all_predicted and not varied else None

    @property
    def slowest(self) -> float:
        """Seconds that the slowest call of the last fit took; inf before any is known."""
        return math.inf if self._fit is None else self._fit.slowest

    def latency(self) -> float:
        """Return how long a call typically takes, seconds; 0 before any is known."""
        return 0.0 if self._fit is None else self._fit.latency

    def longest(self) -> float:
        """Return how long one call in twenty takes at least, seconds; 0 before any is known."""
        return 0.0 if self._fit is None else self._fit.longest

    def bound(self, now: float, predicted: float | None = None) -> int:
        """Return what a single call hardly ever exceeds, in units."""
        fit = self.fitted(now)
        if fit is None:
            return math.ceil(self.first_guess * math.exp(Z * _GUESS_SIGMA))
        fit, scale = self._basis(fit, predicted)
        return math.ceil(scale * fit.lognormal.quantile(Z))

    def moments(self, age: float, predicted: float | None) -> Moments:
        """Return the moments of a call that has been out for *age* seconds, by the last fit."""
        fit = self._fit
        if fit is None:
            # How far the guess is off is the same for all: see `uncertainty`.
            mean = self.first_guess * math.exp(_GUESS_SIGMA**2 / 2)
            return Moments(mean, 0.0, 0.0)
        fit, scale = self._basis(fit, predicted)
        scale *= self.hindsight.factor
        mean, variance, third = fit.moments(age)
        return Moments(scale * mean, scale**2 * variance, scale**3 * third)

    def uncertainty(self) -> float:
        """Return the relative variance of the mean itself, an error that all calls share."""
        fit = self._ratio_fit or self._fit
        return math.expm1(_GUESS_SIGMA**2) if fit is None else fit.uncertainty

    def unseen(self, calls: int, outlasting: int = 0) -> float:
        """Return what *calls* in flight may cost more, in calls, because of kinds that have not finished yet.

        After n calls the next one is of such a kind with probability 1 / (n + 1), by the rule of succession.
        A call that outlasts all finished ones has shown to be of such a kind; *outlasting* is their number.
        """
        share = (outlasting + 1) / (self._ever + outlasting + 1)
        return _UNSEEN_TIMES * (outlasting + (calls - outlasting) * share)

    def relative_variance(self) -> float:
        """Return the variance of a fresh call's cost over the square of its mean."""
        fit = self._fit
        return math.expm1(_GUESS_SIGMA**2) if fit is None else fit.relative_variance

    def _basis(self, fit: Distribution, predicted: float | None) -> tuple[Distribution, float]:
        """Return the fit to predict a call by, and the factor on its amounts."""
        if not predicted:
            return fit, 1.0
        if self._ratio_fit is not None:
            return self._ratio_fit, predicted
        return fit, 1.0 if self._usual is None else max(1.0, predicted / self._usual)


def _spread(values: Sequence[float]) -> float:
    """Return the variance of two values at least."""
    mean = math.fsum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
