"""The limit on attempts in flight."""

from __future__ import annotations

from segmind_async._rate.concurrency_limit import ConcurrencyLimit


def grow(limit: ConcurrencyLimit, answers: int) -> None:
    for _ in range(answers):
        limit.succeeded(limit.limit - 1)


def test_a_limit_is_cut_to_what_was_accepted_and_grows_only_in_use() -> None:
    limit = ConcurrencyLimit(64)
    grow(limit, 1000)
    assert (limit.limit, limit.reason) == (64, "max_in_flight")
    limit.cut(10, 40)
    assert (limit.limit, limit.reason) == (10, "429 with 40 in flight: 64 cut to 10")
    for _ in range(1000):
        limit.succeeded(5)
    assert limit.limit == 10
    grow(limit, 199)
    assert limit.limit == 10
    grow(limit, 1)
    assert (limit.limit, limit.reason) == (11, "200 answers with 10 in flight")


def test_an_overtaken_request_does_not_cut_below_what_was_accepted() -> None:
    limit = ConcurrencyLimit(64)
    limit.cut(10, 3)
    assert limit.limit == 10


def test_a_failure_restarts_the_count() -> None:
    limit = ConcurrencyLimit(64)
    limit.cut(10, 10)
    grow(limit, 199)
    limit.failed()
    grow(limit, 199)
    assert limit.limit == 10


def test_growth_after_a_refusal_takes_twice_as_many_answers() -> None:
    limit = ConcurrencyLimit(64)
    limit.cut(10, 10)
    grow(limit, 200)
    limit.cut(10, 10)
    grow(limit, 399)
    assert limit.limit == 10
    grow(limit, 1)
    assert limit.limit == 11


def test_a_cut_leaves_at_least_one() -> None:
    limit = ConcurrencyLimit(1)
    limit.cut(0, 0)
    assert limit.limit == 1
    assert repr(limit) == "ConcurrencyLimit(1 of 1, 429 with 0 in flight: 1 cut to 1)"
