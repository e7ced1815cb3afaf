"""What hooks are told: values without behaviour. `trace` in each is the path of names set by `trace()`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """One HTTP request of a call has ended; given to `SegmindClient(on_attempt=…)`."""

    model: str
    attempt: int
    """Which one of its call, from 1."""
    outcome: str
    """`answered`, `cancelled`, or what went wrong: `rate_limited`, `server_error`, `timed_out`, …"""
    status: int | None
    """HTTP status; None if no answer came."""
    seconds: float
    """From sending to the last byte."""
    cost: Decimal | None
    """Credits it took; None where the service did not say."""
    in_doubt: bool
    """Whether it may have been billed although no readable answer came."""
    request_id: str | None
    trace: str


@dataclass(frozen=True, slots=True)
class RetryPlanned:
    """A call goes on after a failed attempt; given to `SegmindClient(on_retry=…)` before the wait."""

    model: str
    attempt: int
    """The one that failed, from 1."""
    wait: float
    """Seconds until the next may start; queueing comes on top."""
    reason: str
    """What went wrong, in one line."""
    trace: str


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """The service has told the balance; given to `SegmindClient(on_balance=…)`.

    Balances come with answers, and so out of order: what the ledger makes of them is
    `client.statistics().balance`.
    """

    balance: Decimal
    """Credits on the account."""
    asked: bool
    """Whether it was asked for; otherwise it came with an answer."""
    trace: str
