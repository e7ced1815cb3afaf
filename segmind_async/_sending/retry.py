"""Whether a failed attempt is followed by another one, and after which wait.

Pure: time comes in as an argument, and chance stays outside: a decision names the least wait and how
much may be added by chance on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import backoff

from .._wire.failures import Billing, Failure, Resend
from ..config import RetryPolicy

_LEAST_TIME = 0.01
"""Seconds that an attempt needs at least: with less it would be sent, perhaps billed, and not awaited. Clocks
round, so that a total which is used up may seem to have a nanosecond left."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Send again after at least `wait` seconds, plus up to `spread` by chance."""

    wait: float
    spread: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise now. `reason` says why another attempt was not made, where the failure alone does not."""

    reason: str | None = None


@dataclass(slots=True)
class Progress:
    """What one call has used up so far."""

    total: float
    """Seconds that attempts and the waits between them may take together; inf for no bound."""
    used: float = 0.0
    """Seconds they have taken. Queueing for a slot, credits or a start time does not count: it is the
    account's own limits at work, and says nothing about this call."""
    attempts: int = 0
    retries: int = 0
    server_errors: int = 0
    in_doubt: int = 0

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.total - self.used

    def failed(self, failure: Failure) -> None:
        """Count an attempt's failure, after it was decided upon."""
        if failure.resend in (Resend.YES, Resend.RARELY):
            self.retries += 1
        if failure.resend is Resend.RARELY:
            self.server_errors += 1
        if failure.billing is Billing.IN_DOUBT:
            self.in_doubt += 1


class RetryBudget:
    """Keeps retries a small share of all calls, so that a dead service is not hammered.

    A bucket: each retry takes one, each success gives a tenth back; it holds 10, and a tenth of the
    last 1 000 calls more. Source: the retry budget of Finagle; the figures are the contract's.
    """

    _LEAST = 10.0
    _SHARE = 0.1
    _RECENT = 1000.0

    __slots__ = ("_calls", "_tokens")

    def __init__(self) -> None:
        self._calls = 0.0
        self._tokens = self._LEAST

    def __repr__(self) -> str:
        return f"RetryBudget({self._tokens:.1f} of {self.capacity:.1f})"

    @property
    def capacity(self) -> float:
        """Retries that may be made in a row."""
        return self._LEAST + self._SHARE * self._calls

    def called(self) -> None:
        """Count one call."""
        self._calls = min(self._calls + 1, self._RECENT)

    def succeeded(self) -> None:
        """Give back for one success."""
        self._tokens = min(self._tokens + self._SHARE, self.capacity)

    def take(self) -> bool:
        """Take one retry, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def decide(failure: Failure, progress: Progress, policy: RetryPolicy, budget: RetryBudget) -> Retry | GiveUp:
    """Decide what follows *failure*; takes from *budget* if that is a retry.

    `progress` counts what happened before this failure, its own attempt included in `attempts` and `used`.
    """
    rule = failure.resend
    if rule is Resend.NEVER:
        return GiveUp()
    refusal = _exhausted(failure, progress, policy)
    if refusal is not None:
        return GiveUp(refusal)
    pause = _pause(failure, progress, policy)
    if pause.wait > policy.max_retry_after:
        return GiveUp(
            f"the server asks to wait {pause.wait:g} s, more than max_retry_after={policy.max_retry_after:g}"
        )
    if pause.wait + _LEAST_TIME >= progress.left:
        return GiveUp(f"timeouts.total={progress.total:g} leaves no time for another attempt")
    if rule in (Resend.YES, Resend.RARELY) and not budget.take():
        return GiveUp("too many calls of this client are failing: its retry budget is used up")
    return pause


def _exhausted(failure: Failure, progress: Progress, policy: RetryPolicy) -> str | None:
    """Say which allowance of the policy is used up, None if none is."""
    rule = failure.resend
    if rule in (Resend.YES, Resend.RARELY) and progress.retries >= policy.retries:
        return f"retries={policy.retries} are used up"
    if rule is Resend.RARELY and progress.server_errors >= policy.server_error_retries:
        return "a repeated 500 usually is a bad parameter"
    if failure.billing is Billing.IN_DOUBT and progress.in_doubt >= policy.resend_in_doubt:
        return f"it may have been billed, and resend_in_doubt={policy.resend_in_doubt}"
    return None


def _pause(failure: Failure, progress: Progress, policy: RetryPolicy) -> Retry:
    told = failure.retry_after
    if told is not None:
        # Never less than told. Some on top, so that all that were told the same do not come back at once.
        return Retry(told, min(1.0, 0.1 * told))
    if failure.resend in (Resend.WHEN_OPEN, Resend.WHEN_FUNDED):
        # The gate, or the ledger, says when.
        return Retry(0.0, 0.0)
    return Retry(0.0, _exponential(policy.base, policy.cap, progress.retries))


@lru_cache(maxsize=256)
def _exponential(base: float, cap: float, retries: int) -> float:
    """Return the upper end of the wait after *retries* earlier ones: base × 2ⁿ, at most *cap*, seconds."""
    waits = backoff.expo(base=2, factor=base, max_value=cap)
    next(waits)  # the generator's first step only starts it
    return float(next(islice(waits, min(retries, 64), None)))
