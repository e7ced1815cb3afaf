"""The keyword arguments of a fan-out as types, so that its overloads need not repeat them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypedDict

from ._core.queue import Priority
from ._fanout import OnExhausted
from .models import Outcome


class ManySettings(TypedDict, total=False):
    """What `SegmindClient.chat_many` can be told."""

    floor: Decimal | float
    max_in_flight: int | None
    on_exhausted: OnExhausted
    max_reasks: int


class FanOutSettings(ManySettings, total=False):
    """What `SegmindClient.fan_out` can be told; its docstring says what each does."""

    max_credits: Decimal | float | None
    priority: Priority
    ordered: bool
    fail_fast: bool
    max_failures: int | None
    max_outage: float
    buffer: int | None
    keep: Callable[[Outcome[Any]], Awaitable[None]] | None
