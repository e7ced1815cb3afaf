"""What calls were expected to cost when they were sent, against what they came to.

Costs that drift, or rows that come sorted, leave every estimate behind by as much as happened since. So
cohorts of calls are followed from their sending to their end; the ratio of the real sum to the expected one
says how far estimates lag. One cohort says little, so it is believed as far as its own spread allows.

Pure. Amounts are units of 10⁻¹⁰ credit.
"""

from __future__ import annotations

COHORT = 64
"""Calls of a cohort: enough for a mean, few enough to follow."""

_KEPT = 0.6
"""Weight that earlier cohorts keep with every new one."""

_PRIOR = 0.3
"""How far off estimates usually are, as a share: standard deviation."""

_LEAST, _MOST = 1.0, 5.0
"""Bounds of the factor. Estimates that are too high are left to new calls: they correct these soon."""


class Hindsight:
    """A factor on what is expected, learnt from what was expected before."""

    __slots__ = (
        "_expected",
        "_noise",
        "_out",
        "_paid",
        "_ratio",
        "_sent",
        "_squares",
        "_sum",
        "factor",
        "number",
    )

    def __init__(self) -> None:
        self.factor: float = 1.0
        """What expected costs are to be multiplied by."""
        self.number: int = 1
        """The cohort that is followed; a call remembers the one it belongs to."""
        self._ratio = self._noise = self._sum = 0.0
        self._begin()

    def __repr__(self) -> str:
        return f"Hindsight(× {self.factor:.3g})"

    def _begin(self) -> None:
        self._sent = self._out = 0
        self._expected = self._paid = self._squares = 0.0

    def drop_cohort(self) -> None:
        """Follow a new cohort: what was expected of this one rests on calls that are forgotten now."""
        self.number += 1
        self._begin()

    def sent(self, expected: float) -> int:
        """Take a call into the cohort, as long as it is not full; return the cohort's number, 0 for none."""
        if self._sent >= COHORT:
            return 0
        self._sent += 1
        self._out += 1
        self._expected += expected
        return self.number

    def ended(self, cohort: int, expected: float, cost: int | None) -> None:
        """Count the cost of a call of *cohort*; None if it was not billed, or nobody knows."""
        if cohort != self.number:
            return
        self._out -= 1
        if cost is None:
            self._expected -= expected
        else:
            self._paid += cost
            self._squares += float(cost) * cost
        if self._sent >= COHORT and not self._out:
            self._learn()
            self.drop_cohort()

    def _learn(self) -> None:
        if self._expected <= 0 or self._paid <= 0:
            return
        self._sum = _KEPT * self._sum + 1.0
        self._ratio = _KEPT * self._ratio + self._paid / self._expected
        self._noise = _KEPT**2 * self._noise + self._squares / self._paid**2
        ratio = self._ratio / self._sum
        noise = self._noise / self._sum**2
        self.factor = max(_LEAST, min(_MOST, 1 + (ratio - 1) * _PRIOR**2 / (_PRIOR**2 + noise)))
