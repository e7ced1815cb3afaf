"""Keyword arguments as types, so that overloads need not repeat them, and the limits of a scope, checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypedDict

from ._admission import Admission, CallScope
from ._core.money import ceil_units, to_decimal
from ._core.queue import Priority
from ._fanout import OnExhausted
from .config import check_amount, check_choice, check_count
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


def scope_within(
    admission: Admission,
    parent: CallScope,
    max_credits: Decimal | float | None,
    floor: Decimal | float,
    max_in_flight: int | None,
    priority: Priority | None,
) -> CallScope:
    """Set limits for some calls within *parent*'s; raises ConfigurationError for what is none."""
    if max_credits is not None:
        check_amount("max_credits", max_credits)
    check_amount("floor", floor)
    if max_in_flight is not None:
        check_count("max_in_flight", max_in_flight, at_least=1)
    if priority is not None:
        check_choice("priority", priority, ("interactive", "bulk"))
    return admission.scope(
        parent,
        cap=None if max_credits is None else ceil_units(to_decimal(max_credits)),
        floor=ceil_units(to_decimal(floor)),
        max_in_flight=max_in_flight,
        priority=priority,
    )
