"""Tells hooks and the log what happens to attempts, retries and the balance, and costs nothing unheard.

A log record's message is a constant name; what it is about stands in its fields. Neither prompts nor
answers are in any, and no key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TypeAlias, TypeVar

from ..events import AttemptEnded, BalanceSeen, RetryPlanned
from .trace import current_trace

T = TypeVar("T")

LOG = logging.getLogger("segmind_async")

OnAttempt: TypeAlias = Callable[[AttemptEnded], None]
OnRetry: TypeAlias = Callable[[RetryPlanned], None]
OnBalance: TypeAlias = Callable[[BalanceSeen], None]


def call_hook(name: str, hook: Callable[[T], None], event: T) -> None:
    """Call a user's hook; what it raises is logged, and never costs the call that was just paid for."""
    try:
        hook(event)
    except Exception:  # whatever a user wrote
        LOG.exception("hook failed", extra={"hook": name})


@dataclass(frozen=True, slots=True)
class Notify:
    """Who wants to hear of what; None: nobody."""

    on_attempt: OnAttempt | None = None
    on_retry: OnRetry | None = None
    on_balance: OnBalance | None = None

    def hears_attempts(self) -> bool:
        """Tell whether anybody would hear of an attempt or of a balance."""
        return self.on_attempt is not None or self.on_balance is not None or LOG.isEnabledFor(logging.DEBUG)

    def attempt(self, event: AttemptEnded) -> None:
        """Tell that an attempt has ended."""
        _log(logging.DEBUG, "attempt", event)
        if self.on_attempt is not None:
            call_hook("on_attempt", self.on_attempt, event)

    def balance(self, balance: Decimal, *, asked: bool) -> None:
        """Tell a balance that was read."""
        if self.on_balance is None and not LOG.isEnabledFor(logging.DEBUG):
            return
        event = BalanceSeen(balance, asked, current_trace())
        _log(logging.DEBUG, "balance", event)
        if self.on_balance is not None:
            call_hook("on_balance", self.on_balance, event)

    def hears_retries(self) -> bool:
        """Tell whether anybody would hear of a retry."""
        return self.on_retry is not None or LOG.isEnabledFor(logging.INFO)

    def retry(self, event: RetryPlanned) -> None:
        """Tell that a call is going to be sent again."""
        _log(logging.INFO, "retry", event)
        if self.on_retry is not None:
            call_hook("on_retry", self.on_retry, event)


def _log(level: int, name: str, event: AttemptEnded | RetryPlanned | BalanceSeen) -> None:
    if LOG.isEnabledFor(level):
        LOG.log(level, name, extra={field.name: getattr(event, field.name) for field in fields(event)})
