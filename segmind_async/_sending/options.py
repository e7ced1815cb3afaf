"""What a fan-out can be told: its keyword arguments as types, and what becomes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict

from ..config import check_amount, check_choice, check_count
from ..models import Outcome
from .conversation import Expected
from .queue import Priority

OnExhausted: TypeAlias = Literal["stop", "wait", "raise"]

MAX_OUTAGE = 600.0
"""Seconds of an outage after which a fan-out stops, by default: restarts and short incidents pass sooner."""


class ManySettings(TypedDict, total=False):
    """What `SegmindClient.chat_many` can be told."""

    floor: Decimal | float
    max_in_flight: int | None
    on_exhausted: OnExhausted
    max_reasks: int


class JobSending(ManySettings, total=False):
    """What `SegmindClient.run_job` can be told of how it sends."""

    max_credits: Decimal | float | None
    ordered: bool
    max_failures: int | None
    max_outage: float


class FanOutSettings(JobSending, total=False):
    """What `SegmindClient.fan_out` can be told; its docstring says what each does."""

    priority: Priority
    fail_fast: bool
    buffer: int | None
    keep: Callable[[Outcome[Any]], Awaitable[None]] | None


@dataclass(frozen=True, slots=True)
class FanOutOptions:
    """How a fan-out behaves; what each call does stands in its `CallOptions`."""

    workers: int
    """Calls at once, waiting ones included."""
    buffer: int
    """Finished rows that may wait for the consumer, beyond one for each worker."""
    ordered: bool
    on_exhausted: OnExhausted
    max_failures: int | None
    """Failed rows at which it stops; None: never."""
    max_outage: float
    """Seconds for which it waits while the service fails for all."""
    keep: Callable[[Outcome[Any]], Awaitable[None]] | None = None
    """Awaited with every outcome before anybody sees it and before its worker takes another row."""
    expected: Expected[Any] | None = None
    """What every answer must be; None: anything."""

    @classmethod
    def checked(
        cls,
        *,
        workers: int,
        buffer: int | None = None,
        ordered: bool,
        on_exhausted: OnExhausted,
        max_failures: int | None,
        max_outage: float,
    ) -> FanOutOptions:
        """Make options of what a user has set; raises ConfigurationError naming what cannot work.

        *buffer* None: as many as workers.
        """
        check_choice("on_exhausted", on_exhausted, ("stop", "wait", "raise"))
        if max_failures is not None:
            check_count("max_failures", max_failures, at_least=1)
        check_amount("max_outage", max_outage)
        if buffer is not None:
            check_count("buffer", buffer)
        room = workers if buffer is None else buffer
        return cls(workers, room, ordered, on_exhausted, max_failures, max_outage)
