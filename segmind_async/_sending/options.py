"""Keyword arguments of fan-outs and jobs as types, and the validated options made from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict

from .._money.units import ceil_units, to_decimal
from ..config import check_amount, check_choice, check_count
from ..models import ChatCompletion, ChatRequest, Outcome
from .admission import Admission, CallScope
from .call_queue import Priority
from .conversation import Expected

OnExhausted: TypeAlias = Literal["stop", "wait", "raise"]

SendRow: TypeAlias = Callable[[ChatRequest], Awaitable[ChatCompletion[Any]]]
"""Returns the answer to the request of a row, or raises a SegmindError."""

MAX_OUTAGE = 600.0
"""Seconds of an outage after which a fan-out stops, by default: restarts and short incidents pass sooner."""


class ManySettings(TypedDict, total=False):
    """Keyword arguments of `SegmindClient.chat_many`."""

    floor: Decimal | float
    max_in_flight: int | None
    on_exhausted: OnExhausted
    max_reasks: int


class JobSending(ManySettings, total=False):
    """Keyword arguments of `SegmindClient.run_job` that concern sending."""

    max_credits: Decimal | float | None
    ordered: bool
    max_failures: int | None
    max_outage: float


class FanOutSettings(JobSending, total=False):
    """Keyword arguments of `SegmindClient.fan_out`, which documents them."""

    priority: Priority
    fail_fast: bool
    buffer: int | None
    keep: Callable[[Outcome[Any]], Awaitable[None]] | None


def unknown_names(sending: Mapping[str, object]) -> str:
    """Return those of *sending* that are no arguments of a job, with what it takes; empty without any."""
    takes = sorted(JobSending.__optional_keys__)
    names = ", ".join(repr(name) for name in sending if name not in takes)
    return names and f"{names}; it takes {', '.join(takes)}"


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """Limits that several calls share, as users give them; raises ConfigurationError for invalid ones."""

    max_credits: Decimal | float | None = None
    floor: Decimal | float = 0
    max_in_flight: int | None = None
    priority: Priority | None = None
    own_budget: bool = False
    """See `Admission.scope`."""

    def __post_init__(self) -> None:
        if self.max_credits is not None:
            check_amount("max_credits", self.max_credits)
        check_amount("floor", self.floor)
        if self.max_in_flight is not None:
            check_count("max_in_flight", self.max_in_flight, at_least=1)
        if self.priority is not None:
            check_choice("priority", self.priority, ("interactive", "bulk"))

    @classmethod
    def of_job(cls, sending: JobSending) -> ScopeLimits:
        """Return the limits of a job; raises TypeError for an argument that `run_job` does not take.

        So does Python where it sees their names: a misspelt floor must not run without one.
        """
        if unknown := unknown_names(sending):
            raise TypeError(f"run_job() does not take {unknown}")
        return cls(sending.get("max_credits"), sending.get("floor", 0), sending.get("max_in_flight"), "bulk")

    def within(self, admission: Admission, parent: CallScope) -> CallScope:
        """Return a scope with these limits inside another one."""
        return admission.scope(
            parent,
            cap=None if self.max_credits is None else ceil_units(to_decimal(self.max_credits)),
            floor=ceil_units(to_decimal(self.floor)),
            max_in_flight=self.max_in_flight,
            priority=self.priority,
            own_budget=self.own_budget,
        )


@dataclass(frozen=True, slots=True)
class FanOutOptions:
    """Validated options of a fan-out; those of its calls are `CallOptions`."""

    workers: int
    """Calls at once, waiting ones included."""
    buffer: int
    """Finished rows that may wait for the consumer, beyond one for each worker."""
    ordered: bool
    on_exhausted: OnExhausted
    max_failures: int | None
    """Failed rows at which it stops; None: never."""
    max_outage: float
    """Seconds for which rows wait while the service fails for all; then the fan-out stops."""
    keep: Callable[[Outcome[Any]], Awaitable[None]] | None = None
    """Awaited with an outcome before the consumer receives it and before its worker takes another row."""
    expected: Expected[Any] | None = None
    """The shape every answer must have; None: any."""
    send: SendRow | None = None
    """Sends a row, in a scope of its own; not used with `expected`. None: a call in the fan-out's scope."""

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
        """Return options made from arguments of the user; raises ConfigurationError for invalid ones.

        *buffer* None: as many as workers.
        """
        check_choice("on_exhausted", on_exhausted, ("stop", "wait", "raise"))
        if max_failures is not None:
            check_count("max_failures", max_failures, at_least=1)
        check_amount("max_outage", max_outage)
        if buffer is not None:
            check_count("buffer", buffer)
        size = workers if buffer is None else buffer
        return cls(workers, size, ordered, on_exhausted, max_failures, max_outage)

    @classmethod
    def of_job(cls, workers: int, sending: JobSending) -> FanOutOptions:
        """Return the options of a job; raises ConfigurationError for invalid ones."""
        return cls.checked(
            workers=workers,
            ordered=sending.get("ordered", False),
            on_exhausted=sending.get("on_exhausted", "stop"),
            max_failures=sending.get("max_failures"),
            max_outage=sending.get("max_outage", MAX_OUTAGE),
        )
