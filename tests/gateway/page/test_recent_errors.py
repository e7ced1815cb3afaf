"""The errors that are shown: the last ones, equal ones once, nothing of a key."""

from __future__ import annotations

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._page.recent_errors import MOST, RecentErrors

KEY = "SG_0123456789abcdef"


def test_equal_errors_are_counted_and_the_last_comes_first() -> None:
    errors = RecentErrors()
    errors.add(
        GatewayError(402, "needs 0.5 credits", code="insufficient_quota", model="m"), "POST /x", "a", 10
    )
    errors.add(GatewayError(400, "no"), "POST /x", None, 11)
    errors.add(
        GatewayError(402, "needs 0.25 credits", code="insufficient_quota", model="m"), "POST /x", "a", 12
    )
    first, second = errors.latest()
    assert (first.count, first.at, first.message) == (2, 12, "needs 0.25 credits")
    assert (first.code, first.about, first.budget) == ("insufficient_quota", "m", "a")
    assert (second.count, second.code, second.about, second.budget) == (
        1,
        "invalid_request_error",
        "POST /x",
        None,
    )


def test_errors_of_different_budgets_stay_apart() -> None:
    errors = RecentErrors()
    for budget in ("a", "b", None):
        errors.add(GatewayError(400, "no"), "POST /x", budget, 1)
    assert [one.budget for one in errors.latest()] == [None, "b", "a"]


def test_only_the_last_ones_are_kept() -> None:
    errors = RecentErrors()
    for letter in "abcdefghijklmnopqrstuvwxyz":
        errors.add(GatewayError(400, letter), "POST /x", None, 1)
    assert "".join(one.message for one in errors.latest()) == "zyxwvutsrqponmlkjihg"
    assert len(errors.latest()) == MOST


def test_texts_are_short_of_one_line_and_without_keys_or_control_characters() -> None:
    errors = RecentErrors()
    hostile = f"{'y' * 295} {KEY}\n\x1b[2J\u202e\ud800"
    errors.add(GatewayError(400, hostile, code=KEY), f"GET /{KEY}\x00" + "p" * 9999, None, 1)
    errors.add(GatewayError(400, "a\n\x1b[2J\u202e\ud800b"), "GET /", None, 1)
    plain, long = errors.latest()
    assert plain.message == r"a \x1b[2J\u202e\ud800b"
    assert len(long.message) == 300
    assert "0123" not in long.message + long.code + long.about
    assert "\x00" not in long.about
    assert len(long.about) == 80
