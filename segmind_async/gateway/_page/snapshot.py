"""One snapshot of a gateway as JSON, for its live page. Pure.

Amounts are strings of credits, times are seconds, `at` and `time` are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from ..._version import __version__
from ...models import JsonDict, KeyStatistics, Statistics
from .._budgets.amounts import plain
from .._budgets.rules import BudgetState
from .history import Minute
from .recent_errors import RecentError


class Moment(NamedTuple):
    """What there is to show at one moment. It stays as it is: slow viewers are shown it later."""

    time: float
    """Epoch seconds."""
    uptime: float
    """Seconds since the gateway started."""
    minutes: Sequence[Minute]
    """The last minutes, oldest first."""
    cost_per_hour: Decimal | None
    """Credits; None if it is not known yet."""
    statistics: Statistics
    budgets: Sequence[BudgetState]
    errors: Sequence[RecentError]


def snapshot(moment: Moment, audience: str | None = None) -> JsonDict:
    """Return the snapshot; for an *audience* that is a budget, without the other budgets and their errors."""
    found = moment.statistics
    return {
        "version": __version__,
        "time": round(moment.time, 3),
        "uptime": round(moment.uptime, 1),
        "state": _state(found),
        "wait": None if found.wait is None else str(found.wait),
        "outage": found.outage,
        "credits": _credits(found, moment.cost_per_hour),
        "calls": _calls(found),
        "keys": [_key(one) for one in found.keys],
        "minutes": [[one.answered, one.failed, plain(one.cost)] for one in moment.minutes],
        "audience": audience,
        "budgets": [_budget(one) for one in moment.budgets if audience in (None, one.rule.name)],
        "errors": [_error(one) for one in moment.errors if audience in (None, one.budget)],
    }


def _state(found: Statistics) -> str:
    """Return what goes on, in one word: the first one that holds."""
    if found.outage is not None:
        return "outage"
    if found.closed_for > 0:
        return "closed"
    if found.in_flight == 0 and found.wait is not None:
        return "waiting"
    return "working" if found.in_flight else "idle"


def _credits(found: Statistics, per_hour: Decimal | None) -> JsonDict:
    spendable = None if found.balance is None else found.balance - found.held - found.floor
    lasts = spendable * 3600 / per_hour if spendable is not None and spendable > 0 and per_hour else None
    return {
        "balance": _amount(found.balance),
        "floor": plain(found.floor),
        "held": plain(found.held),
        "spendable": _amount(spendable),
        "spent": plain(found.spent),
        "estimate": plain(found.estimate),
        "estimate_reason": found.estimate_reason,
        "per_hour": _amount(None if per_hour is None else round(per_hour, 10)),
        "lasts": None if lasts is None else round(lasts),
    }


def _calls(found: Statistics) -> JsonDict:
    return {
        "in_flight": found.in_flight,
        "waiting": found.waiting,
        "limit": found.limit,
        "limit_reason": found.limit_reason,
        "pace": found.requests_per_minute,
        "pace_reason": found.pace_reason,
        "closed_for": round(found.closed_for, 1),
        "rate_limited": found.rate_limited,
    }


def _key(found: KeyStatistics) -> JsonDict:
    return {
        "name": found.name,
        "state": found.state,
        "takes_calls": found.takes_calls,
        "in_flight": found.in_flight,
        "limit": found.limit,
        "pace": found.requests_per_minute,
        "closed_for": round(found.closed_for, 1),
        "rate_limited": found.rate_limited,
        "balance": _amount(found.balance),
        "held": plain(found.held),
        "spent": plain(found.spent),
    }


def _budget(state: BudgetState) -> JsonDict:
    rule = state.rule
    return {
        "name": rule.name,
        "in_flight": state.in_flight,
        "max_in_flight": rule.max_in_flight,
        "waiting": max(0, state.calls - state.in_flight),
        "left": _amount(state.left),
        "cap": _amount(rule.cap),
        "daily": rule.credits_per_day is not None,
        "priority": rule.priority,
    }


def _error(error: RecentError) -> JsonDict:
    return {
        "at": round(error.at),
        "count": error.count,
        "status": error.status,
        "code": error.code,
        "about": error.about,
        "budget": error.budget,
        "message": error.message,
    }


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)
