"""When queued work is looked at."""

from __future__ import annotations

import pytest

from segmind_async._sending.queued.poll_schedule import Polling


@pytest.mark.parametrize(
    ("looks", "pause"),
    [
        pytest.param(0, 1.0, id="a-second-at-first"),
        pytest.param(1, 1.5, id="then-longer"),
        pytest.param(2, 2.25, id="and-longer"),
        pytest.param(6, 10.0, id="ten-seconds-at-most"),
        pytest.param(10_000, 10.0, id="for-ever"),
    ],
)
def test_polls_become_rare(looks: int, pause: float) -> None:
    assert Polling().next(looks, None) == pause


def test_all_polls_together_take_at_most_half_of_the_rate() -> None:
    polling = Polling()
    for _ in range(20):
        polling.began()
    assert polling.next(0, 60.0) == 40.0  # 20 looks in 40 s are 30 a minute
    for _ in range(19):
        polling.left()
    assert polling.waiting == 1
    assert polling.next(0, 60.0) == 2.0
    assert polling.next(0, 6000.0) == 1.0


def test_the_first_poll_comes_shortly_before_requests_of_the_model_usually_end() -> None:
    polling = Polling()
    assert polling.first("/slow") == 1.0
    polling.ended("/slow", 40.0)
    assert polling.first("/slow") == 32.0
    for _ in range(100):
        polling.ended("/slow", 20.0)
    assert 16.0 <= polling.first("/slow") < 16.1
    assert polling.first("/quick") == 1.0
    assert repr(polling) == "Polling(0 waiting)"
