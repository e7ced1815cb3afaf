"""How credits and durations are written for people."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async._text.quantities import credits_text, duration


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "–"),
        ("0", "0"),
        ("0E-10", "0"),
        ("3.5944157017", "3.5944"),
        ("1234567.5", "1234567.5000"),
        ("0.0184921035", "0.0185"),
        ("0.000543", "0.000543"),
        ("0.0000000001", "0.0000000001"),
        ("-0.5", "-0.5000"),
        ("1E+3", "1000.0000"),
    ],
)
def test_credits(amount: str | None, text: str) -> None:
    assert credits_text(None if amount is None else Decimal(amount)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (312, "5:12 min"),
        (3599.7, "1:00 h"),
        (3725, "1:02 h"),
        (86_399, "1 d 0 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
