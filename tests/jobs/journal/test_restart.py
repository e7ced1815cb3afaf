"""How long ago an earlier run has ended, whatever the clocks say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from segmind_async._jobs.journal import restart
from segmind_async._rate.pacer import PacerState


class Door:
    """As much of an admission as a restart needs."""

    name = "this"

    def __init__(self) -> None:
        self.resumed: list[tuple[PacerState, int, float]] = []

    def resume(self, *told: Any) -> None:
        self.resumed.append(told)


@pytest.mark.parametrize(
    ("by_wall", "by_machine", "elapsed"),
    [
        pytest.param(5.0, 5.0, 5.0, id="both-agree"),
        pytest.param(3600.0, 5.0, 5.0, id="the-wall-clock-was-set-forward"),
        pytest.param(-3600.0, 5.0, 0.0, id="the-wall-clock-was-set-back"),
        pytest.param(600.0, -9000.0, 600.0, id="the-machine-was-restarted"),
        pytest.param(-5.0, -9000.0, 0.0, id="restarted-and-set-back"),
    ],
)
def test_the_careful_one_of_two_clocks_decides(
    monkeypatch: pytest.MonkeyPatch, by_wall: float, by_machine: float, elapsed: float
) -> None:
    state = {"ages": [1.0], "rate": 30.0, "in_doubt": 7, "by": "another"}
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 50_000.0)
    door: Any = Door()
    restart.resume(door, {**state, "at": 1_000_000.0 - by_wall, "monotonic": 50_000.0 - by_machine})
    assert door.resumed == [(PacerState((1.0,), 30.0), 7, elapsed)]


@pytest.mark.parametrize("state", [None, {"by": "this"}], ids=["nothing-noted", "noted-by-this-very-client"])
def test_nothing_is_taken_over(state: object) -> None:
    door: Any = Door()
    restart.resume(door, state)
    assert door.resumed == []
