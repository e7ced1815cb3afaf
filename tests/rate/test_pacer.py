"""No 60 s ever contain more starts than the rate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmind_async._rate.pacer import MINUTE, SECOND, SPANS, TEN_SECONDS, PacerState
from segmind_async._rate.pacer import Pacer as BarePacer


class Pacer(BarePacer):
    """A pacer that numbers the starts itself."""

    number = 0

    def go(self, now: float) -> bool:
        self.number += 1
        return self.start(now, self.number)


def run(pacer: Pacer, until: float, now: float = 0.0) -> list[float]:
    """Start whenever it is allowed."""
    starts: list[float] = []
    while True:
        now = max(now, pacer.next_start(now))
        if now > until:
            return starts
        pacer.go(now)
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
            pacer.go(now)
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
            pacer.go(now)
            starts.append(now)
            if rate is not None:
                assert sum(at > now - 60 for at in starts[:-1]) < rate


def test_without_a_rate_only_the_first_starts_are_spaced() -> None:
    pacer = Pacer()
    starts = run(pacer, 0.0995)
    assert starts[:8] == [0.0] * 8
    assert len(starts) == 8 + 9
    for _ in range(32):
        pacer.answered()
    assert pacer.next_start(0.1) <= 0.1
    assert repr(pacer) == "Pacer(no rate, no limit met)"


@pytest.mark.parametrize("span", SPANS)
def test_a_learnt_bound_holds_over_its_span(span: float) -> None:
    pacer = Pacer()
    pacer.bounds[span].lower(12, 0.0, "429")
    pacer.changed()
    starts = run(pacer, 400)
    assert most_in_a_window(starts, span) <= 12
    assert len(starts) >= 0.85 * 12 * 400 / span
    assert pacer.learnt
    assert pacer.rate == pytest.approx(12 * 60 / span)
    assert repr(pacer) == f"Pacer({12 * 60 / span:g} a minute, 429: no bound lowered to 12)"


def test_the_tightest_bound_counts() -> None:
    pacer = Pacer(600)
    pacer.bounds[SECOND].lower(5, 0.0, "429")
    pacer.bounds[TEN_SECONDS].lower(80, 0.0, "429s")
    pacer.changed()
    assert pacer.rate == 300
    assert pacer.reason == "429: no bound lowered to 5"


def test_a_start_that_only_the_pace_held_back_is_known() -> None:
    pacer = Pacer(60)
    for _ in range(5):
        assert pacer.go(0.0) is (pacer.number == 5)
    assert pacer.go(pacer.next_start(0.0))
    assert not pacer.go(30.0)
    assert not Pacer().go(0.0)


def test_what_a_trial_allows_goes_out_at_once() -> None:
    pacer = Pacer(60)
    while pacer.next_start(0.0) <= 0:
        pacer.go(0.0)
    before = pacer.number
    pacer.allow_more(3)
    while pacer.next_start(0.0) <= 0:
        pacer.go(0.0)
    assert pacer.number == before + 3


def test_refused_starts_are_in_no_load_but_keep_their_place_in_the_window() -> None:
    pacer = Pacer(10)
    for second in range(0, 50, 5):
        pacer.go(float(second))
    assert pacer.load(MINUTE, 11, 50.0) == 11
    pacer.refused(3, 10.0)
    assert pacer.load(MINUTE, 11, 50.0) == 10
    assert pacer.load(SECOND, 11, 50.0) == 1
    assert pacer.refused_before(4, 15.0, 6.0) == 1
    assert pacer.next_start(50.0) == 60.25


def test_a_spacing_holds_with_and_without_a_rate() -> None:
    for pacer in (Pacer(), Pacer(600)):
        pacer.spacing = 2.0
        pacer.go(0.0)
        assert pacer.next_start(0.5) == 2.0


def test_a_restart_keeps_the_promise_and_the_learnt_rate() -> None:
    pacer = Pacer()
    before = [float(at) for at in range(40)]
    for at in before:
        pacer.go(at)
    pacer.bounds[MINUTE].lower(40, 39.0, "429")
    pacer.changed()
    state = pacer.state(39)
    assert state.rate == 40
    assert state.ages[0] == 0
    restarted = Pacer()
    restarted.restore(state, now=1005, elapsed=5)  # another clock, five seconds later
    after = [at - 1005 + 44 for at in run(restarted, 1200, now=1005)]
    assert most_in_a_window(before + after) <= 40
    assert restarted.reason == "learnt earlier: no bound lowered to 40"


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
        pacer.go(at)
    pacer.refused(2, 1001)
    due = pacer.next_start(1001)
    pacer.shift(-1000)
    assert pacer.next_start(1) == pytest.approx(due - 1000)


def test_memory_is_bounded() -> None:
    pacer, chance = Pacer(), random.Random(0)
    now = 0.0
    for _ in range(30_000):
        now += chance.random() * 1e-3
        pacer.go(now)
        pacer.refused(pacer.number, now)
    assert len(pacer.state(now).ages) == 20_000
    for _ in range(200):
        now += 1
        pacer.go(now)
    assert len(pacer.log) <= 90


def test_a_rate_set_while_running_is_kept_however_high() -> None:
    pacer, now, starts = Pacer(), 0.0, 0
    pacer.set_rate(25_000)
    while now < MINUTE:
        pacer.go(now)
        starts += 1
        now = max(now, pacer.next_start(now))
    assert starts <= 25_000
