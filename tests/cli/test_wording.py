"""How figures are written for people."""

from __future__ import annotations

import pytest

from segmind_async.cli import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.012, "0.012 s"), (0.41, "0.41 s"), (0.96, "1.0 s"), (3.24, "3.2 s"), (41.6, "42 s")],
)
def test_latencies(seconds: float | None, text: str) -> None:
    assert wording.latency_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "–"),
        (0, "0.0 a second"),
        (0.05, "3.0 a minute"),
        (16.42, "16.4 a second"),
        (1367.8, "1 368 a second"),
    ],
)
def test_rates(rate: float | None, text: str) -> None:
    assert wording.rate_text(rate) == text


def test_counts_and_shares() -> None:
    assert (wording.count(1_234_567), wording.percent(0.9362), wording.percent(None)) == (
        "1 234 567",
        "93.6 %",
        "–",
    )
