"""How much is taken at once: calls of each budget, and bytes of all requests. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ._errors import GatewayError

RETRY_AFTER = 5.0
"""Seconds after which a refused caller may ask again: about as long as a call takes."""


class Load:
    """Counts what is in the gateway, and refuses what would be too much with a 429."""

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self.calls: Counter[str | None] = Counter()
        """Calls taken and not ended, by budget; None: without one."""
        self.bytes: int = 0
        """Bytes of their requests."""

    @contextmanager
    def taken(self, budget: str | None, size: int) -> Iterator[None]:
        """Count a call within a `with` block; raises GatewayError if there are too many."""
        if self.calls[budget] >= self._max_calls:
            whose = "" if budget is None else f" of budget {budget!r}"
            raise _full(f"{self._max_calls} calls{whose} wait or run already")
        # A single request always passes; its size has a limit of its own.
        if self.bytes and self.bytes + size > self._max_bytes:
            raise _full(f"the requests that wait or run take {self.bytes} bytes already")
        self.calls[budget] += 1
        self.bytes += size
        try:
            yield
        finally:
            self.calls[budget] -= 1
            self.bytes -= size


def _full(message: str) -> GatewayError:
    return GatewayError(429, message, "rate_limit_error", "queue_full", retry_after=RETRY_AFTER)
