"""What an attempt lacks when it is not admitted: what that means for the queue, and for the caller. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from .._money.protocol import Shortfall
from .._money.units import credits_of
from .._text.wait_reasons import WaitReason
from ..errors import BudgetExceededError, ErrorDetails, InsufficientCreditsError, SegmindError
from .accounts.account import Account
from .call_queue import Scope


@dataclass(frozen=True, slots=True)
class NoSlot:
    """As many attempts are in flight in `scope` as it allows; the root scope stands for the whole client."""

    scope: Scope[Any]


@dataclass(frozen=True, slots=True)
class NotBefore:
    """`account` allows no start before the instant `at` (seconds); inf if an answer must come first."""

    at: float
    account: Account


Missing: TypeAlias = NoSlot | NotBefore | Shortfall
"""Why an attempt gets no lease now."""


def delay(missing: Missing) -> tuple[int, float]:
    """Return what sorts the reasons of several accounts by how soon each may be over."""
    if isinstance(missing, NotBefore):
        return 0, missing.at
    if isinstance(missing, NoSlot):
        return 1, 0.0
    return 2 + missing.final, -missing.available


@dataclass(frozen=True, slots=True)
class Block:
    """What a missing resource means for the queue."""

    reason: WaitReason
    level: Scope[Any] | None = None
    """Where something must end before the scope is tried again; None if every other scope is blocked too."""
    wake_at: float = math.inf
    """When to try again, seconds; inf if only the end of an attempt or a balance can change it."""
    until: float = math.inf
    """When that reason is over, seconds: the gate opens before the pace allows a start."""
    shortfall: Shortfall | None = None
    """The money that is missing; None if something else is."""


def block_of(missing: Missing, scope: Scope[Any], unknown: WaitReason | None, now: float) -> Block:
    """Return what *missing* means for a call's scope, and for the scopes behind it in the queue.

    *unknown* is what the ledger would have to know first, so that money is missing; None: it knows it.
    """
    root = scope.line[-1]
    if isinstance(missing, NoSlot):
        full = missing.scope
        return Block(WaitReason.SLOT) if full is root else Block(WaitReason.SCOPE_SLOT, full)
    if isinstance(missing, NotBefore):
        gate = missing.account.throttle.gate
        reason = missing.account.throttled(missing.at, now)
        closed = reason in (WaitReason.ASKED, WaitReason.REFUSED)
        # The pace may have the call wait longer; that is said when the gate is open.
        return Block(reason, wake_at=missing.at, until=gate.closed_until if closed else missing.at)
    if missing.budget is None:
        # A floor of its own blocks this scope alone; the floor of the client blocks every scope.
        level = root if scope.budget.floor > root.budget.floor else None
        return Block(unknown or WaitReason.CREDITS, level, shortfall=missing)
    short = next(level for level in scope.line if level.budget is missing.budget)
    return Block(unknown or WaitReason.BUDGET, short, shortfall=missing)


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
