"""Decides whether a failed attempt is retried, and after which wait.

Pure: times are arguments, and random numbers are drawn outside: a decision names the least wait and the
range of the jitter on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import backoff

from .._wire.failures import Billing, Failure, Resend
from ..config import RetryPolicy

_MIN_ATTEMPT = 0.01
"""Seconds that an attempt needs at least: with less it would be sent, perhaps billed, and cancelled at once.
Clocks round, so that a total which is used up may seem to have a nanosecond left."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Send again after `wait` seconds plus a random part of `spread` seconds."""

    wait: float
    spread: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise now. `reason` names the limit that forbids a retry; None if the failure itself does."""

    reason: str | None = None


@dataclass(slots=True)
class RetryState:
    """The time, attempts and retries that one call has used."""

    total: float
    """Seconds that attempts and the waits between them may take together; inf for no bound."""
    used: float = 0.0
    """Seconds that they have taken. The wait in the queue for a slot, credits or a start time does not count:
    it comes from the limits of the account, not from this call."""
    attempts: int = 0
    retries: int = 0
    server_errors: int = 0
    in_doubt: int = 0

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.total - self.used

    def failed(self, failure: Failure) -> None:
        """Count a failed attempt; to be called after `decide`."""
        if failure.resend in (Resend.YES, Resend.RARELY):
            self.retries += 1
        if failure.resend is Resend.RARELY:
            self.server_errors += 1
        if failure.billing is Billing.IN_DOUBT:
            self.in_doubt += 1


class RetryBudget:
    """Bounds retries to a small share of all calls, so that a failing service gets no flood of them.

    A token bucket: each retry takes one token, each success returns a tenth; its capacity is 10 plus a tenth
    of the last 1 000 calls. Source: the retry budget of Finagle. 1 000 calls to a dead server, with 3
    retries each, then make fewer than 1 200 requests.
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
        """Retries that may follow each other without a success, at most."""
        return self._LEAST + self._SHARE * self._calls

    @property
    def is_empty(self) -> bool:
        """Whether no call may retry before one has succeeded."""
        return self._tokens < 1

    def called(self) -> None:
        """Count one call."""
        self._calls = min(self._calls + 1, self._RECENT)

    def succeeded(self) -> None:
        """Return a tenth of a token for one success."""
        self._tokens = min(self._tokens + self._SHARE, self.capacity)

    def take(self) -> bool:
        """Take one token; return False if there is none."""
        if self.is_empty:
            return False
        self._tokens -= 1
        return True


def decide(failure: Failure, state: RetryState, policy: RetryPolicy, budget: RetryBudget) -> Retry | GiveUp:
    """Decide what follows *failure*; takes a token from *budget* for a retry that counts.

    *state* includes the failed attempt in `attempts` and `used`, and not yet in the other counts.
    """
    rule = failure.resend
    if rule is Resend.NEVER:
        return GiveUp()
    refusal = _limit_reached(failure, state, policy)
    if refusal is not None:
        return GiveUp(refusal)
    pause = _pause(failure, state, policy)
    if pause.wait > policy.max_retry_after:
        return GiveUp(
            f"the server asks to wait {pause.wait:g} s, more than max_retry_after={policy.max_retry_after:g}"
        )
    spare = state.left - pause.wait - _MIN_ATTEMPT
    if spare <= 0:
        return GiveUp(_no_time_left(state))
    if rule in (Resend.YES, Resend.RARELY) and not budget.take():
        return GiveUp("too many calls of this client are failing: its retry budget is used up")
    # Jitter must not use up the time of the attempt that follows.
    return Retry(pause.wait, min(pause.spread, spare))


def decide_for_other_key(state: RetryState) -> Retry | GiveUp:
    """Decide what follows a failure that another key may not meet: nothing was billed, and nothing waits."""
    return Retry(0.0, 0.0) if state.left > _MIN_ATTEMPT else GiveUp(_no_time_left(state))


def _no_time_left(state: RetryState) -> str:
    return f"timeouts.total={state.total:g} leaves no time for another attempt"


def _limit_reached(failure: Failure, state: RetryState, policy: RetryPolicy) -> str | None:
    """Return which limit of the policy is reached; None if none is."""
    rule = failure.resend
    if rule in (Resend.YES, Resend.RARELY) and state.retries >= policy.retries:
        return f"retries={policy.retries} are used up"
    if rule is Resend.RARELY and state.server_errors >= policy.server_error_retries:
        return "a repeated 500 usually is a bad parameter"
    if failure.billing is Billing.IN_DOUBT and state.in_doubt >= policy.resend_in_doubt:
        return f"it may have been billed, and resend_in_doubt={policy.resend_in_doubt}"
    return None


def _pause(failure: Failure, state: RetryState, policy: RetryPolicy) -> Retry:
    retry_after = failure.retry_after
    if retry_after is not None:
        # Never less than the Retry-After, with jitter on top so that calls with the same one spread.
        return Retry(retry_after, min(1.0, 0.1 * retry_after))
    if failure.resend in (Resend.WHEN_OPEN, Resend.WHEN_FUNDED):
        # The admission makes it wait, for the gate or for credits.
        return Retry(0.0, 0.0)
    tries = state.attempts if failure.resend is Resend.WHEN_BACK else state.retries
    return Retry(0.0, _exponential(policy.base, policy.cap, tries))


@lru_cache(maxsize=256)
def _exponential(base: float, cap: float, retries: int) -> float:
    """Return the upper end of the wait after *retries* earlier ones: base × 2ⁿ, at most *cap*, seconds."""
    waits = backoff.expo(base=2, factor=base, max_value=cap)
    next(waits)  # the generator's first step only starts it
    return float(next(islice(waits, min(retries, 64), None)))
