"""The error of a call that its account, or its budget, cannot pay. Pure."""

from __future__ import annotations

from .._money.protocol import Shortfall
from .._money.units import credits_of
from ..errors import BudgetExceededError, ErrorDetails, InsufficientCreditsError, SegmindError


def shortfall_error(
    shortfall: Shortfall, details: ErrorDetails, floor: int, balance: int | None
) -> SegmindError:
    """Return the error for the caller; *floor* and the known *balance* of the account are units."""
    available, needed = credits_of(shortfall.available), credits_of(shortfall.needed)
    budget = shortfall.budget
    if budget is not None:
        cap, spent = credits_of(budget.cap or 0), credits_of(budget.spent)
        message = f"a budget of {cap} credits has {available} left, and this call may need {needed}"
        return BudgetExceededError(message, details, cap, spent, needed, budget.id)
    kept_free = credits_of(floor)
    has = f"has {available} credits" + (f" above the floor of {kept_free}" if floor else "")
    if available < 0:
        has = (
            f"is {-available} credits below the floor of {kept_free}"
            if floor
            else f"owes {-available} credits"
        )
    message = f"the account {has}, and this call may need {needed}"
    known = None if balance is None else credits_of(balance)
    return InsufficientCreditsError(message, details, known, needed, kept_free)
