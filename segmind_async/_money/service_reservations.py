"""What the service itself reserves for the calls it runs, learnt from its refusals for want of credits.

The service puts an estimate aside for each call, and refuses the next one when these fill the balance. Its
estimates may be dearer than the calls. They are fixed when a call starts, so its age says nothing, and are
taken to spread as costs do. One call alone is always tried: only the service knows what it reserves for it.

Pure. Amounts are units of 10⁻¹⁰ credit.
"""

from __future__ import annotations

import math

from .cost_model import CostModel

_Z_RESERVED = 2.0
"""Standard deviations of a sum of the service's own estimates that are kept free."""

_ON_THE_WAY = 1.1
"""Calls in flight here over those in flight there: answers and requests on the way count here alone."""

_FEW = 5
"""Calls in flight under which what they share says less of an estimate than the one that was named."""

_FREE = 0.5
"""Share of what the calls in flight are expected to cost by which a balance named in a 406 must lie below
the known one to be what is free of reservations: a smaller difference is answers on their way."""


class ServiceReservations:
    """Mean reservation of a call, by its model."""

    __slots__ = ("each",)

    def __init__(self) -> None:
        self.each: dict[CostModel, float] = {}
        """Units reserved for a call, by the whole of its model; empty as long as nothing was refused."""

    def __repr__(self) -> str:
        each = ", ".join(f"{model.name}: {units:.0f}" for model, units in self.each.items())
        return f"ServiceReservations({each})"

    def with_one_more(self, candidate: CostModel) -> float:
        """Return what is reserved for all in flight and one more, as far as the service told."""
        mean = variance = 0.0
        for model, units in self.each.items():
            count = len(model.running) + (model is candidate.whole)
            mean += units * count
            variance += units * units * model.relative_variance() * max(0, count - 1)
        return mean + _Z_RESERVED * math.sqrt(variance)

    def refused(
        self, model: CostModel, free: int | None, needed: int | None, known: int, others: int
    ) -> None:
        """Learn from a refusal: *others* calls fill the *known* balance, so that *needed* does not fit.

        *free* is what the service named as free of reservations, if it did. Where it names nothing, one
        call more than are in flight did not fit.
        """
        if free is not None and others:
            each = _ON_THE_WAY * (known - free) / others
        elif needed is None:
            each = known / (others + 1)
        else:
            each = needed if others < _FEW else _ON_THE_WAY * (known - needed) / others
        whole = model.whole
        self.each[whole] = max(each, self.each.get(whole, 0.0))

    def forget(self) -> None:
        """Drop what was learnt: a top-up or a probe asks anew."""
        self.each.clear()


def is_free(named: int, known: int, needed: int | None, expected: float) -> bool:
    """Return whether a balance named in a 406 is what is free of reservations, and no reading of the balance.

    *expected* is what the calls in flight are expected to cost.
    """
    if needed is not None:
        return named < needed and named < known
    return known - named > _FREE * expected
