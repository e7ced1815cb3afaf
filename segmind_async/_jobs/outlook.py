"""The cost of the rest of a job, as far as it is known before and while it runs.

Before the first answers it is a guess, by published means and the first rows of the input; then it is
measured. Unlike a forecast it does not read the input to its end. Pure: it neither waits nor does any IO.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .._money.units import ceil_units, credits_of
from .cost_estimate import UPPER_BOUND_IN_MEANS, Forecast, Interval, Moments, Terms, mean_of_rest
from .known_rows import KnownRow
from .rows import Row

FIRST_ROWS = 200
"""Rows whose length a guess takes into account."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Predicted cost of the *rows* still to be sent."""

    rows: int
    mean: float
    """Of a row, in units."""
    between: Interval
    """Bounds of the mean: with 95 % confidence if it is measured, else as far as a guess may err."""
    by: int = 0
    """Answered rows that it is measured by; 0 for a guess."""

    @property
    def expected(self) -> Decimal:
        """Credits that the rows are expected to cost."""
        return credits_of(round(self.mean * self.rows))

    @property
    def expected_between(self) -> tuple[Decimal, Decimal]:
        """Interval of `expected`."""
        low, high = self.between
        return credits_of(math.floor(low * self.rows)), credits_of(math.ceil(high * self.rows))

    def lasts_for(self, credits: Decimal) -> int:
        """Return how many of the rows *credits* are expected to pay for."""
        if credits >= self.expected:
            return self.rows
        return math.floor(ceil_units(credits) / self.mean) if credits > 0 else 0


def measured(costs: Moments, rows: int) -> Outlook | None:
    """Return the outlook on further *rows* by the *costs* of answered ones; None if they are too few."""
    between = mean_of_rest(costs, rows)
    return None if between is None else Outlook(rows, costs.mean, between, costs.count)


def guessed(first: Iterable[Row], rows: int, terms: Terms) -> Outlook | None:
    """Return the outlook on *rows* of which the *first* are given; None if none of these can be sent."""
    found = Forecast(terms)
    for row in first:
        found.add(KnownRow(row, "", b"", None, None), again=False, repeated=False)
    if not found.to_send or rows < 1:
        return None
    mean, high = (float(ceil_units(whole)) / found.to_send for whole in (found.expected, found.upper_bound))
    # A mean that is published errs downwards as far as upwards: by the same factor.
    return Outlook(rows, mean, Interval(mean / UPPER_BOUND_IN_MEANS, max(mean, high)))
