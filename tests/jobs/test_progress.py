"""What can be said of a job's end, against figures worked out by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from segmind_async._jobs.progress import (
    JobProgress,
    Recent,
    rate,
    seconds_to_end,
    seconds_to_floor,
    spend_rate,
)
from segmind_async._text.wait_reasons import Wait, WaitReason
from segmind_async.models import StopReason
from tests.jobs.journals import progress


def test_a_standing_survives_the_journal_with_every_digit() -> None:
    snapshot = progress(
        run=3,
        elapsed=12.5,
        total=None,
        balance=Decimal("0.0184921035"),
        wait=Wait(WaitReason.CREDITS, 2.5, None, Decimal("0.02"), Decimal("0.03")),
        limit_reason="429",
        stop_reason=StopReason.INTERRUPTED,
        stop_message="interrupted",
    )
    facts = json.loads(json.dumps(snapshot.as_json()))
    assert facts["statistics"]["balance"] == "0.0184921035"
    assert JobProgress.from_json(facts) == snapshot


def test_a_standing_of_another_release_is_read_as_far_as_it_goes() -> None:
    assert JobProgress.from_json({"ok": 3, "colour": "blue"}) == JobProgress(ok=3)
    with pytest.raises(ValueError, match="ok"):
        JobProgress.from_json({"ok": "many"})


def test_rows_add_up() -> None:
    snapshot = progress(rows=70, total=100, ok=40, failed=5, invalid=2, resumed=13)
    assert (snapshot.ended, snapshot.done, snapshot.pending) == (45, 60, 40)
    assert progress(ok=3).pending is None
    # A row was taken away between the count and the reading.
    assert progress(total=2, ok=3).pending == 0


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        pytest.param({"total": 100, "ok": 60, "spent": Decimal("0.03")}, "0.0200", id="pending-by-mean"),
        pytest.param({"total": 100}, None, id="no-cost-known"),
        pytest.param({"total": 100, "failed": 1}, None, id="only-failures-so-far"),
        pytest.param({"ok": 60, "spent": Decimal("0.03")}, None, id="no-total-known"),
    ],
)
def test_credits_needed_to_finish(fields: dict[str, Any], needed: str | None) -> None:
    assert progress(**fields).needed == (None if needed is None else Decimal(needed))


@pytest.mark.parametrize(
    ("fields", "spendable"),
    [
        pytest.param({}, None, id="unknown-is-not-plenty"),
        pytest.param({"balance": Decimal(5), "floor": Decimal(1)}, 4, id="above-the-floor"),
        pytest.param({"balance": Decimal(1), "floor": Decimal(2)}, 0, id="below-the-floor"),
        pytest.param({"max_credits": Decimal(3), "spent": Decimal(1)}, 2, id="by-its-own-bound"),
        pytest.param({"balance": Decimal(5), "max_credits": Decimal(3)}, 3, id="the-lower-of-both"),
    ],
)
def test_credits_that_may_still_be_spent(fields: dict[str, Any], spendable: int | None) -> None:
    assert progress(**fields).spendable == spendable


def test_rates_between_two_standings() -> None:
    earlier = progress(elapsed=10, ok=100, failed=2, spent=Decimal(1), balance=Decimal(9))
    now = progress(elapsed=30, ok=150, failed=12, spent=Decimal(3), balance=Decimal(4))
    assert rate(earlier, now) == 3.0
    assert spend_rate(earlier, now) == 0.25  # others took three of the five
    assert spend_rate(earlier, progress(elapsed=30, spent=Decimal(3), balance=Decimal(100))) == 0.1
    assert spend_rate(earlier, progress(elapsed=30, spent=Decimal(3))) == 0.1
    assert (rate(now, now), spend_rate(now, now)) == (None, None)


@pytest.mark.parametrize(
    ("fields", "rows_a_second", "seconds"),
    [
        pytest.param({"total": 100, "ok": 40}, 2.0, 30.0, id="by-the-rate"),
        pytest.param(
            {"total": 100, "ok": 40, "attempts": 40, "requests_per_minute": 60}, 2.0, 60.0, id="by-the-pace"
        ),
        pytest.param(
            {"total": 100, "ok": 40, "attempts": 80, "requests_per_minute": 60},
            2.0,
            120.0,
            id="two-attempts-each",
        ),
        pytest.param(
            {"total": 100, "ok": 40, "attempts": 40, "requests_per_minute": 600}, 2.0, 30.0, id="the-slower"
        ),
        pytest.param({"total": 100, "requests_per_minute": 60}, 0.0, None, id="nothing-moves"),
        pytest.param({"total": 100, "requests_per_minute": 60}, 9.0, 100.0, id="none-has-ended"),
        pytest.param({"total": 100}, None, None, id="no-rate-yet"),
        pytest.param({"total": 5, "ok": 5}, None, 0.0, id="done"),
        pytest.param({"ok": 40}, 2.0, None, id="no-total"),
    ],
)
def test_time_to_the_end(fields: dict[str, Any], rows_a_second: float | None, seconds: float | None) -> None:
    assert seconds_to_end(progress(**fields), rows_a_second) == seconds


@pytest.mark.parametrize(
    ("balance", "credits_a_second", "seconds"),
    [
        pytest.param("5", 0.01, 400.0, id="above-the-floor"),
        pytest.param(None, 0.01, None, id="no-balance"),
        pytest.param("5", 0.0, None, id="nothing-spent"),
        pytest.param("5", None, None, id="no-rate-yet"),
        pytest.param("0.5", 0.01, 0.0, id="already-there"),
    ],
)
def test_time_to_the_floor(
    balance: str | None, credits_a_second: float | None, seconds: float | None
) -> None:
    snapshot = progress(balance=None if balance is None else Decimal(balance), floor=Decimal(1))
    assert seconds_to_floor(snapshot, credits_a_second) == seconds


def test_the_rate_is_that_of_the_last_minute_and_takes_no_more_memory() -> None:
    recent = Recent()
    assert (recent.rate, recent.spend_rate) == (None, None)
    for tick in range(4000):
        seconds = tick / 4
        # Ten a second for a long while, then none.
        recent.add(progress(elapsed=seconds, ok=int(10 * min(seconds, 970)), spent=Decimal(tick)))
    assert recent.rate == pytest.approx(10 * 30 / 60, rel=0.05)
    assert recent.spend_rate == pytest.approx(4)
    assert len(recent._kept) <= 34
    recent.add(progress(run=2, elapsed=1, ok=5))
    recent.add(progress(run=2, elapsed=3, ok=9))
    assert recent.rate == 2.0
