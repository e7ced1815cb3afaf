"""The limit on attempts in flight."""

from __future__ import annotations

from segmind_async._rate.concurrency_limit import ConcurrencyLimit


def grow(window: ConcurrencyLimit, answers: int) -> None:
    for _ in range(answers):
        window.succeeded(window.limit - 1)


def test_a_window_is_cut_to_what_fits_and_grows_only_in_use() -> None:
    window = ConcurrencyLimit(64)
    grow(window, 1000)
    assert (window.limit, window.reason) == (64, "max_in_flight")
    window.cut(10, 40)
    assert (window.limit, window.reason) == (10, "429 with 40 in flight: 64 cut to 10")
    for _ in range(1000):
        window.succeeded(5)
    assert window.limit == 10
    grow(window, 199)
    assert window.limit == 10
    grow(window, 1)
    assert (window.limit, window.reason) == (11, "200 answers with 10 in flight")


def test_a_request_that_was_overtaken_does_not_cut_deeper_than_what_fits() -> None:
    window = ConcurrencyLimit(64)
    window.cut(10, 3)
    assert window.limit == 10


def test_a_failure_starts_the_count_anew() -> None:
    window = ConcurrencyLimit(64)
    window.cut(10, 10)
    grow(window, 199)
    window.failed()
    grow(window, 199)
    assert window.limit == 10


def test_growth_that_went_wrong_is_tried_later_each_time() -> None:
    window = ConcurrencyLimit(64)
    window.cut(10, 10)
    grow(window, 200)
    window.cut(10, 10)
    grow(window, 399)
    assert window.limit == 10
    grow(window, 1)
    assert window.limit == 11


def test_a_cut_leaves_at_least_one() -> None:
    window = ConcurrencyLimit(1)
    window.cut(0, 0)
    assert window.limit == 1
    assert repr(window) == "ConcurrencyLimit(1 of 1, 429 with 0 in flight: 1 cut to 1)"
