"""Detects when a limit, the pace, the gate, an estimate or the service's state has changed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from .._money.cost_model import CostModel
from .._money.units import credits_of
from .._rate.circuit_breaker import CircuitBreaker
from .._rate.throttle import Throttle
from ..hooks import Change

_MIN_ESTIMATE_CHANGE = 0.2
"""Share by which an estimate must move to be reported."""


class ChangeDetector:
    """Compares the limits in force with those reported last."""

    def __init__(self, report: Callable[[Change], None], throttle: Throttle, breaker: CircuitBreaker) -> None:
        self._report = report
        self._throttle = throttle
        self._breaker = breaker
        self._limit = throttle.limit
        self._rate = throttle.pacer.rate
        self._closed_until = throttle.gate.closed_until
        self._failing = False
        self._estimates: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"ChangeDetector(limit={self._limit}, rate={self._rate}, failing={self._failing})"

    def check(self, model: CostModel, now: float) -> None:
        """Report the changes since the last check; *model* is that of the attempt that just ended."""
        throttle = self._throttle
        if throttle.limit != self._limit:
            before, self._limit = self._limit, throttle.limit
            self._changed("limit", before, throttle.limit, throttle.concurrency_limit.reason)
        if throttle.pacer.rate != self._rate:
            rate, self._rate = self._rate, throttle.pacer.rate
            self._changed("pace", rate, throttle.pacer.rate, throttle.pacer.reason)
        if throttle.gate.closed_until > self._closed_until and throttle.gate.closed_until > now:
            self._closed_until = throttle.gate.closed_until
            self._changed("gate", 0.0, self._closed_until - now, "429")
        self._check_estimate(model)
        self._check_outage()

    def _check_estimate(self, model: CostModel) -> None:
        now = model.typical()
        before = self._estimates.setdefault(model.name, model.first_guess)
        if abs(now - before) > _MIN_ESTIMATE_CHANGE * before:
            self._estimates[model.name] = now
            self._changed("estimate", credits_of(before), credits_of(now), model.reason, model.name)

    def _check_outage(self) -> None:
        failing = self._breaker.opened_at is not None
        if failing != self._failing:
            self._failing = failing
            reason = "the service fails for all" if failing else "a call succeeded"
            self._changed("outage", float(not failing), float(failing), reason)

    def _changed(
        self,
        what: Literal["limit", "pace", "gate", "estimate", "outage"],
        before: float | Decimal | None,
        after: float | Decimal | None,
        reason: str,
        model: str | None = None,
    ) -> None:
        self._report(Change(what, before, after, reason, model))
