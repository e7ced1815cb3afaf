"""Response headers, which may be missing or in undocumented forms."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._wire import response_headers
from segmind_async._wire.response_headers import (
    MAX_REQUEST_ID,
    credits_in,
    elapsed_in,
    request_id_in,
    seconds_to_wait,
)

# 2026-11-01T00:00:00Z
NOW = 1793491200.0
DATE = {"date": "Sun, 01 Nov 2026 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("4.99", "4.99"),
        (" 4.99 ", "4.99"),
        ("0", "0"),
        ("1e-05", "0.00001"),
        ("1.5E+2", "150"),
        ("0.0000000001", "0.0000000001"),
        (4.5, "4.5"),
        (3, "3"),
        (1e-7, "0.0000001"),
    ],
)
def test_amounts(value: object, amount: str) -> None:
    assert credits_in(value) == Decimal(amount)


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "NaN", "nan", "inf", "-inf", "Infinity", "-1", "-0.5", "1,234.5", "1.234,5", "1_000", "0x10",
        "4.99 credits", "٤", "９", "1" * 8192, "1e99", "1000000000000000", True, float("nan"), float("inf"), [], {},
        "1 2", "--1", ".5", "5.5.5", "1e400",
    ],
)  # fmt: skip
def test_an_invalid_amount_is_unknown(value: object) -> None:
    assert credits_in(value) is None


@given(st.text() | st.floats() | st.none() | st.binary())
def test_no_value_raises_or_gives_a_negative_number(value: object) -> None:
    amount = credits_in(value)
    assert amount is None or amount >= 0
    if isinstance(value, str):
        headers = {
            "retry-after": value,
            "retry-after-ms": value,
            "x-rate-limit-reset-at-utc": value,
            "date": value,
        }
        wait = seconds_to_wait(headers, NOW)
        assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": "0"}, 0, id="zero"),
        pytest.param({"retry-after": "1.5"}, 1.5, id="fraction"),
        pytest.param({"retry-after": "Sun, 01 Nov 2026 00:00:09 GMT"}, 9, id="http date"),
        pytest.param({"retry-after": "Sun, 01 Nov 2026 00:00:09 -0000"}, 9, id="a date of no zone is utc"),
        pytest.param({"retry-after": "Sat, 31 Oct 2026 23:59:00 GMT"}, None, id="date that has passed"),
        pytest.param({"retry-after": "-5"}, None, id="negative"),
        pytest.param({"retry-after": "soon"}, None, id="a word"),
        pytest.param({"retry-after": "99999999"}, None, id="three years"),
        pytest.param({"retry-after-ms": "1500"}, 1.5, id="milliseconds"),
        pytest.param({"retry-after-ms": "99999999999999"}, None, id="too many milliseconds"),
        pytest.param({"retry-after-ms": "x"}, None, id="no milliseconds"),
        pytest.param({"x-rate-limit-reset-at-utc": "2026-11-01T00:00:30Z"}, 30, id="iso"),
        pytest.param({"x-rate-limit-reset-at-utc": "2026-11-01T00:00:30"}, 30, id="iso without zone is utc"),
        pytest.param({"x-rate-limit-reset-at-utc": "2026-11-01T05:30:30+05:30"}, 30, id="iso with zone"),
        pytest.param({"x-rate-limit-reset-at-utc": "1793491230"}, 30, id="epoch"),
        pytest.param({"x-rate-limit-reset-at-utc": "1793491230.5"}, 30.5, id="epoch with fraction"),
        pytest.param({"x-rate-limit-reset-at-utc": "1793491230000"}, 30, id="epoch in ms"),
        pytest.param(
            {"x-rate-limit-reset-at-utc": "1793491230000000"}, None, id="epoch in us: no known form"
        ),
        pytest.param({"x-rate-limit-reset-at-utc": "30"}, None, id="a number that is not an epoch"),
        pytest.param({"x-rate-limit-reset-at-utc": "in a while"}, None, id="garbage"),
        pytest.param(
            {"x-rate-limit-reset-at-utc": "2026-11-01T09:00:00Z"}, None, id="hours ahead is misread"
        ),
        pytest.param({"x-rate-limit-reset-at-utc": "2026-10-31T23:59:59Z"}, None, id="passed"),
        pytest.param({"x-rate-limit-reset-at-utc": "9999-12-31T23:59:59+00:00"}, None, id="end of time"),
        pytest.param({"retry-after": "3", "retry-after-ms": "5000"}, 5, id="the longest counts"),
    ],
)
def test_seconds_to_wait(headers: dict[str, str], wait: float | None) -> None:
    assert seconds_to_wait(headers, NOW) == wait


def test_a_wrong_clock_here_does_no_harm() -> None:
    headers = {**DATE, "x-rate-limit-reset-at-utc": "2026-11-01T00:00:30Z"}
    assert seconds_to_wait(headers, NOW - 3600) == 30


@pytest.mark.parametrize(
    "date", ["", "no date", "Sun, 99 Nov 2026 00:00:00 GMT", "1", "Sun, 01 Nov 99999 00:00:00 GMT"]
)
def test_a_damaged_date_falls_back_to_our_clock(date: str) -> None:
    assert seconds_to_wait({"date": date, "x-rate-limit-reset-at-utc": "1793491230"}, NOW) == 30


def test_an_absurd_cost_is_unknown_and_a_high_balance_is_not() -> None:
    assert response_headers.cost_in({"x-cost": "1000000"}) is None
    assert response_headers.cost_in({"x-cost": "12.5"}) == Decimal("12.5")
    assert response_headers.balance_in({"x-remaining-credits": "1000000"}) == 1_000_000
    assert response_headers.balance_in({}) is None


@pytest.mark.parametrize(
    ("received", "read"),
    [
        (None, None),
        ("req-1", "req-1"),
        ("a\udcff\udcfe", "a??"),
        ("x" * 8000, "x" * MAX_REQUEST_ID),
    ],
    ids=["none", "plain", "no UTF-8", "long"],
)
def test_a_request_id_can_be_stored_and_shown(received: str | None, read: str | None) -> None:
    assert request_id_in({} if received is None else {"x-request-id": received}) == read


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-segmind-gateway": "1", "x-segmind-elapsed": "2.500"}, 2.5),
        ({"x-segmind-gateway": "1", "x-segmind-elapsed": "-1"}, 0),
        ({"x-segmind-gateway": "1", "x-segmind-elapsed": "nan"}, 0),
        ({"x-segmind-gateway": "1"}, 0),
        ({"x-segmind-elapsed": "2.500"}, 0),
    ],
)
def test_only_a_gateway_says_what_it_has_spent(headers: dict[str, str], seconds: float) -> None:
    assert elapsed_in(headers) == seconds
