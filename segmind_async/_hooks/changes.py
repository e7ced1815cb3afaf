"""Tells a user's hook when a limit, the pace, the gate, an estimate or the service's state has moved."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, TypeAlias

from .._money.cost_model import CostModel
from .._money.units import credits_of
from .._rate.circuit_breaker import CircuitBreaker
from .._rate.throttle import Throttle
from ..models import Change
from .dispatch import call_hook

_A_FIFTH = 0.2
"""Share by which an estimate must move to be told."""

OnChange: TypeAlias = Callable[[Change], None]


class Watch:
    """Compares what is with what was told last."""

    def __init__(self, hook: OnChange, throttle: Throttle, breaker: CircuitBreaker) -> None:
        self._hook = hook
        self._throttle = throttle
        self._breaker = breaker
        self._limit = throttle.limit
        self._rate = throttle.pacer.rate
        self._closed_until = throttle.gate.closed_until
        self._failing = False
        self._estimates: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Watch({self._hook!r})"

    def look(self, model: CostModel, now: float) -> None:
        """Tell what has moved since the last look; *model* is that of the attempt that just ended."""
        throttle = self._throttle
        if throttle.limit != self._limit:
            before, self._limit = self._limit, throttle.limit
            self._tell("limit", before, throttle.limit, throttle.concurrency_limit.reason)
        if throttle.pacer.rate != self._rate:
            rate, self._rate = self._rate, throttle.pacer.rate
            self._tell("pace", rate, throttle.pacer.rate, throttle.pacer.reason)
        if throttle.gate.closed_until > self._closed_until and throttle.gate.closed_until > now:
            self._closed_until = throttle.gate.closed_until
            self._tell("gate", 0.0, self._closed_until - now, "429")
        self._look_at_estimate(model)
        self._look_at_outage()

    def _look_at_estimate(self, model: CostModel) -> None:
        now = model.typical()
        before = self._estimates.setdefault(model.name, model.first_guess)
        if abs(now - before) > _A_FIFTH * before:
            self._estimates[model.name] = now
            self._tell("estimate", credits_of(before), credits_of(now), model.reason, model.name)

    def _look_at_outage(self) -> None:
        failing = self._breaker.opened_at is not None
        if failing != self._failing:
            self._failing = failing
            reason = "the service fails for all" if failing else "a call succeeded"
            self._tell("outage", float(not failing), float(failing), reason)

    def _tell(
        self,
        what: Literal["limit", "pace", "gate", "estimate", "outage"],
        before: float | Decimal | None,
        after: float | Decimal | None,
        reason: str,
        model: str | None = None,
    ) -> None:
        call_hook("on_change", self._hook, Change(what, before, after, reason, model))
