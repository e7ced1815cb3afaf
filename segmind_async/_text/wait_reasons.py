"""Why the next call is not sent yet, as a value and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import ceil

from .quantities import credits_text, duration


class WaitReason(StrEnum):
    """What keeps the next call from being sent."""

    SLOT = "slot"
    """As many attempts are in flight as the client allows."""
    SCOPE_SLOT = "scope_slot"
    """As many attempts are in flight as `max_in_flight` of its own budget allows."""
    PACE = "pace"
    """The pace of the key: its start time has not come."""
    ASKED = "asked"
    """The service answered 429 and named a time for which nothing is to be sent."""
    REFUSED = "refused"
    """The service answered 429 without naming a time."""
    PROBE = "probe"
    """After a 429, the first calls show whether the service accepts them again."""
    FIRST_COSTS = "first_costs"
    """Too few calls of its kind have shown what they cost."""
    FIRST_BALANCE = "first_balance"
    """The service has not named the balance yet."""
    CREDITS = "credits"
    """The calls in flight may cost all that is left above the floor."""
    BUDGET = "budget"
    """The calls in flight may cost all that is left in its budget."""
    TOP_UP = "top_up"
    """The balance does not suffice, and is read from time to time until it does."""
    DOUBTS = "doubts"
    """Calls whose answer was lost may have been billed; a later balance will show it."""
    OUTAGE = "outage"
    """The service fails for all; one call at a time tries it."""
    RETRY = "retry"
    """A failed attempt is followed by a pause."""


_WAIT_TEXTS = {
    WaitReason.SLOT: "as many calls are in flight as the limit allows",
    WaitReason.SCOPE_SLOT: "as many calls are in flight as its own max_in_flight allows",
    WaitReason.PACE: "the pace allows the next start in {left}",
    WaitReason.ASKED: "closed for {total}: the service asked for it, {left} left",
    WaitReason.REFUSED: "closed for {total} after a 429, {left} left",
    WaitReason.PROBE: "after a 429, first calls try whether the service accepts them again",
    WaitReason.FIRST_COSTS: "few calls at a time until the first costs are known",
    WaitReason.FIRST_BALANCE: "few calls at a time until the balance is known",
    WaitReason.CREDITS: "calls in flight may need the {available} credits left above the floor",
    WaitReason.BUDGET: "calls in flight may need the {available} credits left in the budget",
    WaitReason.TOP_UP: (
        "waiting for a top-up: {available} credits left above the floor, the next call may need {needed}; "
        "the balance is read again in {left}"
    ),
    WaitReason.DOUBTS: "calls without an answer may have been billed: the balance shows it in {left}",
    WaitReason.OUTAGE: "the service fails for all calls, for {lasted} now; the next try is in {left}",
    WaitReason.RETRY: "a failed call is sent again in {left}",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What the next call is waiting for; `str()` says it in a sentence.

    Times are in seconds, amounts in credits.
    """

    reason: WaitReason
    lasted: float = 0.0
    """For how long it has been waited for."""
    left: float | None = None
    """Until the next call is sent or the balance is read again; None if an answer must come first."""
    available: Decimal | None = None
    """What is left above the floor or in the budget; None where credits are not what is missing."""
    needed: Decimal | None = None
    """What the next call may cost; None as above."""
    at_gateway: bool = False
    """Whether calls wait at the gateway, which has them wait, and not here."""

    def __str__(self) -> str:
        left = self.left or 0.0
        text = _WAIT_TEXTS[self.reason]
        return (f"at the gateway: {text}" if self.at_gateway else text).format(
            left=duration(ceil(left)),  # a countdown does not stand at 0
            lasted=duration(self.lasted),
            total=duration(self.lasted + left),
            available=credits_text(self.available),
            needed=credits_text(self.needed),
        )
