"""Detects when a limit, the pace, the gate, an estimate or the service's state has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from .._money.cost_model import CostModel
from .._money.units import credits_of
from .._rate.circuit_breaker import CircuitBreaker
from .._rate.throttle import Throttle
from ..hooks import Change

_MIN_ESTIMATE_CHANGE = 0.2
"""Share by which an estimate must move to be reported."""


class Limited(Protocol):
    """What has limits of its own: the account of a key."""

    @property
    def throttle(self) -> Throttle:
        """Its pace, limit and gate."""
        ...

    @property
    def name(self) -> str:
        """What may be shown of the key; empty where there is only one."""
        ...

    @property
    def takes(self) -> bool:
        """Whether it takes calls."""
        ...

    @property
    def state(self) -> str:
        """Why, in words."""
        ...


class ChangeDetector:
    """Compares the limits in force with those reported last."""

    def __init__(
        self, report: Callable[[Change], None], limited: Sequence[Limited], breaker: CircuitBreaker
    ) -> None:
        self._report = report
        self._breaker = breaker
        self._watched = [_Watched(report, one) for one in limited]
        self._failing = False
        self._estimates: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"ChangeDetector({self._watched}, failing={self._failing})"

    def check(self, model: CostModel, now: float) -> None:
        """Report the changes since the last check; *model* is that of the attempt that just ended."""
        for watched in self._watched:
            watched.check(now)
        self._check_estimate(model)
        self._check_outage()

    def _check_estimate(self, model: CostModel) -> None:
        now = model.typical()
        before = self._estimates.setdefault(model.name, model.first_guess)
        if abs(now - before) > _MIN_ESTIMATE_CHANGE * before:
            self._estimates[model.name] = now
            self._report(Change("estimate", credits_of(before), credits_of(now), model.reason, model.name))

    def _check_outage(self) -> None:
        failing = self._breaker.opened_at is not None
        if failing != self._failing:
            self._failing = failing
            reason = "the service fails for all" if failing else "a call succeeded"
            self._report(Change("outage", float(not failing), float(failing), reason))


class _Watched:
    """The limits of one key, as reported last."""

    def __init__(self, report: Callable[[Change], None], limited: Limited) -> None:
        throttle = limited.throttle
        self._report = report
        self._limited = limited
        self._limit = throttle.limit
        self._rate = throttle.pacer.rate
        self._closed_until = throttle.gate.closed_until
        self._takes = True

    def __repr__(self) -> str:
        return f"limit={self._limit}, rate={self._rate}"

    def check(self, now: float) -> None:
        """Report the changes since the last check."""
        throttle = self._limited.throttle
        if throttle.limit != self._limit:
            before, self._limit = self._limit, throttle.limit
            self._changed("limit", before, throttle.limit, throttle.concurrency_limit.reason)
        if throttle.pacer.rate != self._rate:
            rate, self._rate = self._rate, throttle.pacer.rate
            self._changed("pace", rate, throttle.pacer.rate, throttle.pacer.reason)
        if throttle.gate.closed_until > self._closed_until and throttle.gate.closed_until > now:
            self._closed_until = throttle.gate.closed_until
            self._changed("gate", 0.0, self._closed_until - now, "429")
        takes = self._limited.takes
        if self._limited.name and takes != self._takes:
            self._takes = takes
            self._changed("key", float(not takes), float(takes), self._limited.state)

    def _changed(
        self,
        what: Literal["limit", "pace", "gate", "key"],
        before: float | None,
        after: float | None,
        reason: str,
    ) -> None:
        self._report(Change(what, before, after, reason, key=self._limited.name or None))
