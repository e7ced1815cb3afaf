"""One snapshot: every field, and what a budget's holder is not shown."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic_core import to_json

from segmind_async import KeyStatistics, Statistics
from segmind_async._text.wait_reasons import Wait, WaitReason
from segmind_async._version import __version__
from segmind_async.gateway import BudgetRule
from segmind_async.gateway._budgets.rules import BudgetState
from segmind_async.gateway._page.history import History
from segmind_async.gateway._page.recent_errors import RecentError
from segmind_async.gateway._page.snapshot import Moment, snapshot

STATISTICS = Statistics(
    in_flight=3,
    waiting=2,
    limit=8,
    limit_reason="as set",
    requests_per_minute=60.0,
    pace_reason="told",
    rate_limited=1,
    balance=Decimal("5.5"),
    floor=Decimal(1),
    held=Decimal("0.5"),
    spent=Decimal("1E-10"),
    estimate=Decimal("0.001"),
    estimate_reason="published",
)


def moment(**changes: Any) -> Moment:
    history = History(0.0)
    history.add(1.0, Decimal("0.1"), failed=False)
    history.add(1.0, None, failed=True)
    budgets = [
        BudgetState(BudgetRule("a", credits_per_day=Decimal(2), priority="bulk"), 5, 3, Decimal(-1)),
        BudgetState(BudgetRule("b", max_in_flight=4), 0, 1, None),
    ]
    errors = [
        RecentError(402, "insufficient_quota", "no", "m", "a", 2, 9.6),
        RecentError(404, "unknown_url", "no", "GET /", None, 1, 8.0),
    ]
    return Moment(
        1700000000.1234,
        36.0,
        history.minutes(36.0),
        history.cost_per_hour(36.0),
        replace(STATISTICS, **changes),
        budgets,
        errors,
    )


def seen(**changes: Any) -> dict[str, Any]:
    """Return a snapshot as it arrives."""
    return dict(json.loads(to_json(snapshot(moment(**changes)))))


def test_a_snapshot_has_all_figures() -> None:
    assert seen() == {
        "version": __version__,
        "time": 1700000000.123,
        "uptime": 36.0,
        "state": "working",
        "wait": None,
        "outage": None,
        "credits": {
            "balance": "5.5",
            "floor": "1",
            "held": "0.5",
            "spendable": "4.0",
            "spent": "0.0000000001",
            "estimate": "0.001",
            "estimate_reason": "published",
            "per_hour": "10.0000000000",
            "lasts": 1440,
        },
        "calls": {
            "in_flight": 3,
            "waiting": 2,
            "limit": 8,
            "limit_reason": "as set",
            "pace": 60.0,
            "pace_reason": "told",
            "closed_for": 0.0,
            "rate_limited": 1,
        },
        "keys": [],
        "minutes": [[1, 1, "0.1"]],
        "audience": None,
        "budgets": [
            {
                "name": "a",
                "in_flight": 3,
                "max_in_flight": None,
                "waiting": 2,
                "left": "-1",
                "cap": "2",
                "daily": True,
                "priority": "bulk",
            },
            {
                "name": "b",
                "in_flight": 1,
                "max_in_flight": 4,
                "waiting": 0,
                "left": None,
                "cap": None,
                "daily": False,
                "priority": None,
            },
        ],
        "errors": [
            {
                "at": 10,
                "count": 2,
                "status": 402,
                "code": "insufficient_quota",
                "about": "m",
                "budget": "a",
                "message": "no",
            },
            {
                "at": 8,
                "count": 1,
                "status": 404,
                "code": "unknown_url",
                "about": "GET /",
                "budget": None,
                "message": "no",
            },
        ],
    }


def test_a_budget_sees_itself_and_its_errors_alone() -> None:
    found: Any = snapshot(moment(), "a")
    assert [one["name"] for one in found["budgets"]] == ["a"]
    assert [one["budget"] for one in found["errors"]] == ["a"]
    assert found["audience"] == "a"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"in_flight": 0}, "idle"),
        ({"in_flight": 0, "wait": Wait(WaitReason.PACE, left=3)}, "waiting"),
        ({"in_flight": 1, "wait": Wait(WaitReason.SLOT)}, "working"),
        ({"closed_for": 2.0}, "closed"),
        ({"closed_for": 2.0, "outage": 5.0}, "outage"),
    ],
)
def test_the_state_is_one_word(changes: dict[str, Any], state: str) -> None:
    found = seen(**changes)
    assert found["state"] == state
    assert found["wait"] == (str(changes["wait"]) if "wait" in changes else None)


@pytest.mark.parametrize(
    ("changes", "spendable"),
    [({"balance": None}, None), ({"balance": Decimal(1)}, "-0.5")],
)
def test_how_long_credits_last_is_not_told_where_it_is_not_known(
    changes: dict[str, Any], spendable: str | None
) -> None:
    money = seen(**changes)["credits"]
    assert (money["spendable"], money["lasts"]) == (spendable, None)


def test_nothing_is_told_of_an_unknown_cost_per_hour() -> None:
    found: Any = snapshot(moment()._replace(cost_per_hour=None))
    assert (found["credits"]["per_hour"], found["credits"]["lasts"]) == (None, None)


def test_several_keys_are_shown_one_by_one() -> None:
    key = KeyStatistics("…cdef", "refused", takes_calls=False, balance=Decimal("2.5"))
    (shown,) = seen(keys=(key,))["keys"]
    assert (shown["name"], shown["state"], shown["takes_calls"]) == ("…cdef", "refused", False)
