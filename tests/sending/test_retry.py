"""Which failures are retried, and after which wait."""

from __future__ import annotations

import math

import pytest

from segmind_async import RetryPolicy
from segmind_async._sending.retry import GiveUp, Retry, RetryBudget, RetryState, decide
from segmind_async._wire.failures import Billing, Failure, FailureKind

POLICY = RetryPolicy()


def failure(kind: FailureKind, *, doubt: bool = False, retry_after: float | None = None) -> Failure:
    return Failure(kind, "x", Billing.IN_DOUBT if doubt else Billing.REFUSED, retry_after=retry_after)


def progress(**fields: float) -> RetryState:
    return RetryState(fields.pop("total", math.inf), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failed", "so_far", "expected"),
    [
        pytest.param(failure(FailureKind.BAD_REQUEST), progress(), GiveUp(), id="never"),
        pytest.param(failure(FailureKind.CERTIFICATE), progress(), GiveUp(), id="certificate"),
        pytest.param(failure(FailureKind.UNAVAILABLE), progress(), Retry(0, 0.5), id="first wait"),
        pytest.param(failure(FailureKind.UNAVAILABLE), progress(retries=1), Retry(0, 1), id="doubled"),
        pytest.param(failure(FailureKind.UNAVAILABLE), progress(retries=2), Retry(0, 2), id="doubled again"),
        pytest.param(
            failure(FailureKind.UNAVAILABLE, retry_after=7), progress(), Retry(7, 0.1 * 7), id="retry-after"
        ),
        pytest.param(
            failure(FailureKind.UNAVAILABLE, retry_after=70),
            progress(),
            Retry(70, 1),
            id="at most a second on top",
        ),
        pytest.param(
            failure(FailureKind.RATE_LIMITED), progress(retries=99), Retry(0, 0), id="429 uses up no retries"
        ),
        pytest.param(
            failure(FailureKind.RATE_LIMITED, retry_after=9),
            progress(),
            Retry(9, 0.9),
            id="429 with retry-after",
        ),
        pytest.param(
            failure(FailureKind.OUT_OF_CREDITS),
            progress(retries=99),
            Retry(0, 0),
            id="out of credits uses up no retries",
        ),
        pytest.param(
            failure(FailureKind.UNAVAILABLE),
            progress(total=0.25, used=0.125),
            Retry(0, 0.125 - 0.01),
            id="jitter leaves time for the attempt",
        ),
        pytest.param(failure(FailureKind.SERVER_ERROR), progress(), Retry(0, 0.5), id="500 once"),
        pytest.param(
            failure(FailureKind.TIMED_OUT, doubt=True), progress(), Retry(0, 0.5), id="in doubt once"
        ),
        pytest.param(
            failure(FailureKind.SERVER_ERROR),
            progress(server_errors=1, retries=1),
            GiveUp("a repeated 500 usually is a bad parameter"),
            id="500 twice",
        ),
        pytest.param(
            failure(FailureKind.TIMED_OUT, doubt=True),
            progress(in_doubt=1, retries=1),
            GiveUp("it may have been billed, and resend_in_doubt=1"),
            id="in doubt twice",
        ),
        pytest.param(
            failure(FailureKind.UNAVAILABLE),
            progress(retries=3),
            GiveUp("retries=3 are used up"),
            id="used up",
        ),
        pytest.param(
            failure(FailureKind.RATE_LIMITED, retry_after=121),
            progress(),
            GiveUp("the server asks to wait 121 s, more than max_retry_after=120"),
            id="retry-after too long",
        ),
        pytest.param(
            failure(FailureKind.UNAVAILABLE, retry_after=10),
            progress(total=12, used=2),
            GiveUp("timeouts.total=12 leaves no time for another attempt"),
            id="no time",
        ),
        pytest.param(
            failure(FailureKind.UNAVAILABLE, retry_after=10),
            progress(total=12.1, used=2),
            Retry(10, 12.1 - 2 - 10 - 0.01),
            id="just in time",
        ),
    ],
)
def test_decisions(failed: Failure, so_far: RetryState, expected: Retry | GiveUp) -> None:
    assert decide(failed, so_far, POLICY, RetryBudget()) == expected


def test_waits_grow_to_the_cap_and_never_overflow() -> None:
    policy = RetryPolicy(retries=10_000)
    waits = []
    for retries in (0, 1, 4, 5, 60, 9_999):
        decision = decide(failure(FailureKind.UNAVAILABLE), progress(retries=retries), policy, RetryBudget())
        assert isinstance(decision, Retry)
        waits.append(decision.spread)
    assert waits == [0.5, 1, 8, 8, 8, 8]


def test_what_each_kind_of_failure_counts_as() -> None:
    so_far = progress()
    for failed in (
        failure(FailureKind.RATE_LIMITED),
        failure(FailureKind.OUT_OF_CREDITS),
        failure(FailureKind.SERVER_ERROR),
        failure(FailureKind.TIMED_OUT, doubt=True),
    ):
        so_far.failed(failed)
    assert (so_far.retries, so_far.server_errors, so_far.in_doubt) == (2, 1, 1)
    assert so_far.left == math.inf


def test_the_budget_bounds_retries_of_a_dead_service() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.called()
    granted = 0
    while not isinstance(decide(failure(FailureKind.UNAVAILABLE), progress(), POLICY, budget), GiveUp):
        granted += 1
    assert granted == 10
    assert budget.capacity == 110
    reason = decide(failure(FailureKind.UNAVAILABLE), progress(), POLICY, budget)
    assert reason == GiveUp("too many calls of this client are failing: its retry budget is used up")
    # A 429 takes nothing from the retry budget.
    assert isinstance(decide(failure(FailureKind.RATE_LIMITED), progress(), POLICY, budget), Retry)


def test_ten_successes_return_one_retry_up_to_the_capacity() -> None:
    budget = RetryBudget()
    while budget.take():
        pass
    for _ in range(11):  # ten tenths are a little less than one
        budget.succeeded()
    assert budget.take()
    assert not budget.take()
    for _ in range(2000):
        budget.called()
        budget.succeeded()
    granted = 0
    while budget.take():
        granted += 1
    assert granted == 110
    assert repr(budget).startswith("RetryBudget(0.")
