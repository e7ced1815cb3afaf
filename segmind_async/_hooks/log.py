"""The log, as one implementation of `Hooks`.

The message of a record is a constant name; its fields are those of the event. No record holds a prompt,
an answer or a key.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, fields
from typing import Any

from ..hooks import AttemptEnded, BalanceSeen, CallEnded, Hooks, RetryPlanned, Waiting

LOG = logging.getLogger("segmind_async")


class LogHooks(Hooks):
    """Writes events to the logger `segmind_async`, as far as its level lets them through."""

    def call_ended(self, event: CallEnded) -> None:
        """Log `call` at DEBUG."""
        _log(logging.DEBUG, "call", event)

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Log `attempt` at DEBUG."""
        _log(logging.DEBUG, "attempt", event)

    def retry_planned(self, event: RetryPlanned) -> None:
        """Log `retry` at INFO."""
        _log(logging.INFO, "retry", event)

    def balance_seen(self, event: BalanceSeen) -> None:
        """Log `balance` at DEBUG."""
        _log(logging.DEBUG, "balance", event)

    def waiting(self, event: Waiting) -> None:
        """Log `waiting` at INFO, with the fields of the wait and its sentence as `text`."""
        if LOG.isEnabledFor(logging.INFO):
            LOG.info("waiting", extra={**asdict(event.wait), "text": str(event.wait)})


def _log(level: int, name: str, event: Any) -> None:
    if LOG.isEnabledFor(level):
        LOG.log(
            level,
            name,
            extra={field.name: getattr(event, field.name) for field in fields(event) if field.repr},
        )
