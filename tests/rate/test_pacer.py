"""No 60 s ever contain more starts than the rate; a learnt rate is kept and raised slowly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmind_async._rate.pacer import WINDOW, Pacer, PacerState


def run(pacer: Pacer, until: float, now: float = 0.0) -> list[float]:
    """Start whenever it is allowed."""
    starts: list[float] = []
    while True:
        now = max(now, pacer.next_start(now))
        if now > until:
            return starts
        pacer.start(now)
        starts.append(now)


def most_in_a_window(starts: Sequence[float], window: float = 60.0) -> int:
    most = first = 0
    for last, at in enumerate(starts):
        while starts[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rate", [1, 5, 59, 60, 61, 999, 1000])
def test_no_window_contains_more_starts_than_the_rate_and_the_rate_is_used(rate: int) -> None:
    starts = run(Pacer(rate), 1200)
    assert most_in_a_window(starts) <= rate
    assert len(starts) >= 0.99 * rate * 20


@pytest.mark.parametrize("rate", [5, 59, 60, 1000])
def test_a_burst_after_idle_minutes_is_small_and_within_the_rate(rate: int) -> None:
    pacer = Pacer(rate)
    starts = run(pacer, 70)
    more = run(pacer, 800, now=670)
    assert most_in_a_window(starts + more) <= rate
    burst = sum(at == 670 for at in more)
    assert max(1, rate // 15) <= burst <= max(1, rate // 12)


@pytest.mark.parametrize("rate", [0.5, 0.25])
def test_rates_below_one_a_minute(rate: float) -> None:
    starts = run(Pacer(rate), 3600)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) >= 60 / rate
    assert max(gaps) <= 60 / rate * 1.01


@given(
    st.sampled_from([5, 60, 300]),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=30),
)
def test_no_window_overflows_under_any_demand(rate: int, demand: list[tuple[float, int]]) -> None:
    pacer, now, starts = Pacer(rate), 0.0, []
    for pause, count in demand:
        now += pause
        for _ in range(count):
            now = max(now, pacer.next_start(now))
            pacer.start(now)
            starts.append(now)
    assert most_in_a_window(starts) <= rate


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from([5.0, 60.0, 300.0, None]), st.integers(1, 60)), min_size=2, max_size=5)
)
def test_a_changed_rate_counts_the_starts_before_the_change(
    changes: list[tuple[float | None, int]],
) -> None:
    pacer, now = Pacer(300), 0.0
    starts: list[float] = []
    for rate, count in changes:
        pacer.set_rate(rate)
        for _ in range(count):
            now = max(now, pacer.next_start(now))
            pacer.start(now)
            starts.append(now)
            if rate is not None:
                assert sum(at > now - 60 for at in starts[:-1]) < rate


def test_without_a_rate_only_the_first_starts_are_spaced() -> None:
    pacer = Pacer()
    starts = run(pacer, 0.0995)
    assert starts[:8] == [0.0] * 8
    assert len(starts) == 8 + 9
    for _ in range(32):
        pacer.answered(1.0)
    assert pacer.next_start(0.1) == 0.1
    assert repr(pacer) == "Pacer(no rate, no limit met)"


def steady(pacer: Pacer, server_rate: int, until: float, now: float = 0.0) -> list[tuple[float, bool]]:
    """Run against a sliding window; returns starts and whether each was accepted."""
    accepted: list[float] = []
    log: list[tuple[float, bool]] = []
    while True:
        now = max(now + 0.001, pacer.next_start(now))
        if now > until:
            return log
        pacer.start(now)
        fits = sum(at > now - 60 for at in accepted) < server_rate
        log.append((now, fits))
        if fits:
            accepted.append(now)
            pacer.answered(now)
        else:
            pacer.refused(now)
            pacer.learn(now, now - 60)
            now += 1


def test_a_rate_is_learnt_from_what_was_accepted() -> None:
    pacer = Pacer()
    log = steady(pacer, 60, 1200)
    assert pacer.rate is not None
    assert 55 <= pacer.rate <= 62
    late = [fits for at, fits in log if at > 300]
    assert late.count(True) >= 0.9 * 60 * 15
    assert late.count(False) <= 0.05 * len(late)


def test_an_unused_rate_does_not_grow() -> None:
    pacer = Pacer()
    for _ in range(60):
        pacer.start(0)
    pacer.learn(0, -60)
    assert pacer.rate == 60
    for minute in range(1, 60):
        pacer.start(minute * 60)
        pacer.answered(minute * 60 + 1)
    assert pacer.rate == 60
    assert pacer.reason == "429 after 60 starts within 60 s"


def test_a_rate_in_use_grows_to_its_ceiling_and_names_the_reason() -> None:
    pacer = Pacer(100)
    for second in range(50):
        pacer.start(second)
    pacer.learn(50, -10)
    assert pacer.rate == 50
    now = 50.0
    while now < 7200:
        now = max(now, pacer.next_start(now))
        pacer.start(now)
        pacer.answered(now)
    assert pacer.rate == 100
    assert pacer.reason.startswith("no 429 for a while at ")


def test_a_refusal_within_the_rate_lowers_it_because_another_process_uses_the_key() -> None:
    pacer = Pacer(10)
    for at in range(10):
        pacer.start(at)
    pacer.learn(10, -50)
    assert pacer.rate == 9
    pacer.learn(10, -50)
    assert pacer.rate == pytest.approx(8.1)


def test_the_least_rate_is_kept_when_nothing_was_accepted() -> None:
    pacer = Pacer()
    pacer.start(0)
    pacer.refused(0)
    pacer.learn(0, -60)
    assert pacer.rate == 0.5
    assert pacer.next_start(1) == pytest.approx(0 + 60.25 / 0.5)


def test_a_restart_keeps_the_promise_and_the_learnt_rate() -> None:
    pacer = Pacer()
    before = [float(at) for at in range(40)]
    for at in before:
        pacer.start(at)
    pacer.learn(39, -21)
    state = pacer.state(39)
    assert state.rate == 40
    assert state.ages[0] == 0
    restarted = Pacer()
    restarted.restore(state, now=1005, elapsed=5)  # another clock, five seconds later
    after = [at - 1005 + 44 for at in run(restarted, 1200, now=1005)]
    assert most_in_a_window(before + after) <= 40
    assert restarted.reason == "learnt earlier"


def test_a_rate_set_by_the_user_is_not_replaced_by_an_older_state() -> None:
    pacer = Pacer(100)
    pacer.restore(PacerState((), 40.0), 0, 0)
    assert pacer.rate == 100
    assert pacer.state(0).rate is None
    unlearnt = Pacer()
    unlearnt.restore(PacerState((1.0, 2.0), None), 0, 0)
    assert unlearnt.rate is None


def test_a_loop_with_another_clock() -> None:
    pacer = Pacer(5)
    for at in (1000.0, 1001.0):
        pacer.start(at)
    pacer.refused(1001)
    due = pacer.next_start(1001)
    pacer.shift(-1000)
    assert pacer.next_start(1) == pytest.approx(due - 1000)


def test_memory_is_bounded() -> None:
    pacer, chance = Pacer(), random.Random(0)
    now = 0.0
    for _ in range(30_000):
        now += chance.random() * 1e-3
        pacer.start(now)
        pacer.refused(now)
    assert len(pacer.state(now).ages) == 20_000
    for _ in range(200):
        now += 1
        pacer.start(now)
    assert len(pacer.state(now).ages) <= 61


def test_a_rate_set_while_running_is_kept_however_high() -> None:
    pacer, now, starts = Pacer(), 0.0, 0
    pacer.set_rate(25_000)
    while now < WINDOW:
        pacer.start(now)
        starts += 1
        now = max(now, pacer.next_start(now))
    assert starts <= 25_000
