"""What is learnt of a service's limits, in situations of every kind: no setting, always more to send.

The bounds on shares are what the mechanism reaches with a margin, over seeds that it was not tuned on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from segmind_async._rate.throttle import Throttle
from tests.rate.simulated import Service, simulate

FREE = 64 / (2.0 * 1.1331 + 0.07)
"""Answers a second of 64 slots without limits: the mean of the latencies is 1.1331 times their median."""

SEEDS = (101, 102)


def possible(service: Service, slots: int = 64) -> float:
    """Return the answers a second that the service allows."""
    by_windows = min((most / span for most, span in service.windows), default=float("inf"))
    return min(by_windows, min(slots, service.in_flight or slots) * FREE / 64)


@pytest.mark.parametrize(
    ("service", "least"),
    [
        pytest.param({}, 0.97, id="no-limit"),
        pytest.param({"windows": [(60, 60.0)]}, 0.95, id="60-a-minute"),
        pytest.param({"windows": [(300, 60.0)]}, 0.95, id="300-a-minute"),
        pytest.param({"windows": [(300, 60.0)], "tells": True}, 0.95, id="300-a-minute-with-waits"),
        pytest.param({"windows": [(1000, 60.0)]}, 0.95, id="1000-a-minute", marks=pytest.mark.slow),
        pytest.param({"windows": [(15, 1.0)]}, 0.9, id="15-a-second", marks=pytest.mark.slow),
        pytest.param({"windows": [(100, 10.0)]}, 0.93, id="100-in-ten-seconds", marks=pytest.mark.slow),
        pytest.param({"windows": [(60, 60.0)], "counts_refused": True}, 0.93, id="refused-ones-count"),
        pytest.param({"in_flight": 1}, 0.85, id="one-at-once"),
        pytest.param({"in_flight": 10}, 0.93, id="10-at-once"),
        pytest.param({"in_flight": 40}, 0.93, id="40-at-once"),
        pytest.param({"in_flight": 10, "windows": [(200, 60.0)]}, 0.9, id="both"),
    ],
)
def test_an_unknown_limit_is_found_and_held(service: dict[str, Any], least: float) -> None:
    for seed in SEEDS:
        run = simulate(Service(**service), 480, seed=seed)
        assert run.rate(120, 480) >= least * possible(Service(**service))
        assert run.refused_per_call(120) <= 0.05


def test_five_a_minute_are_found_and_held() -> None:
    for seed in SEEDS:
        run = simulate(Service(windows=[(5, 60.0)]), 3600, seed=seed)
        assert run.rate(120, 3600) >= 0.93 * 5 / 60
        assert run.refused_per_call(120) <= 0.05


@pytest.mark.parametrize("told", [None, 2.0])
def test_a_first_request_that_is_refused_teaches_nothing(told: float | None) -> None:
    for seed in SEEDS:
        run = simulate(Service(refuse_first=1, tells=told is not None, told=told), 300, seed=seed)
        assert run.rate(20, 300) >= 0.97 * FREE
        if told:
            refused = run.refused[0]
            later = [at for at in run.sent if at > refused]
            assert later[0] >= refused + told


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "least"), [(0.01, 0.95), (0.05, 0.9)])
def test_chance_refusals_cost_little(noise: float, least: float) -> None:
    for seed in SEEDS:
        run = simulate(Service(noise=noise), 600, seed=seed)
        assert run.rate(60, 600) >= least * FREE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"in_flight": 10}, {"in_flight": 40}, id="10-to-40-at-once"),
        pytest.param({"in_flight": 40}, {"in_flight": 10}, id="40-to-10-at-once"),
        pytest.param({"in_flight": 10}, {"in_flight": None}, id="10-to-any-at-once"),
        pytest.param({"windows": [(300, 60.0)]}, {"windows": [(600, 60.0)]}, id="300-to-600-a-minute"),
        pytest.param({"windows": [(30, 60.0)]}, {"windows": [(300, 60.0)]}, id="30-to-300-a-minute"),
        pytest.param({"windows": [(60, 60.0)]}, {"windows": []}, id="60-to-any-a-minute"),
        pytest.param({}, {"windows": [(60, 60.0)]}, id="any-to-60-a-minute"),
    ],
)
def test_two_windows_after_a_change_the_new_limit_is_used(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    for seed in SEEDS:
        run = simulate(Service(**before), 720, seed=seed, changes=[(420.0, after)])
        # What is found by a burst has filled a window, which is then waited for: 0.85 where it is tenfold.
        assert run.rate(540, 720) >= 0.85 * possible(Service(**{**before, **after}))


def test_nothing_is_sent_during_a_told_wait() -> None:
    run = simulate(Service(windows=[(60, 60.0)], tells=True, told=7.0), 300, seed=9)
    on_its_way = 0.15
    for refused in run.refused:
        assert not [at for at in run.sent if refused + on_its_way < at < refused + 7.0]


def test_a_limit_far_below_the_slots_costs_few_refusals() -> None:
    # 1000 at once are allowed by the user, 20 by the service.
    run = simulate(Service(in_flight=20), 300, slots=1000, seed=5)
    assert len(run.refused) < 150
    assert run.rate(120, 300) >= 0.9 * 20 * FREE / 64


def test_a_rate_set_by_the_user_is_used_and_never_exceeded() -> None:
    run = simulate(Service(windows=[(300, 60.0)]), 300, throttle=Throttle(64, 300), seed=3)
    assert run.refused == []
    assert run.rate(60, 300) >= 0.97 * 5
    assert all(later - earlier > 60 for earlier, later in pairwise(run.sent[::300]))


def test_a_service_that_answers_late_is_not_flooded() -> None:
    run = simulate(Service(windows=[(300, 60.0)]), 600, latency=20.0, slots=200, seed=4)
    assert run.refused_per_call(120) <= 0.05
    assert run.rate(240, 600) >= 0.9 * 5
