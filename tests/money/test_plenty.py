"""Far from the floor a grant costs little, also beside a call that outlasts all others; and it is never wrong."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._money.cost_model import CostModel, InFlightCall
from segmind_async._money.exposure import Exposure
from segmind_async._money.ledger import Ledger
from segmind_async._money.protocol import Hold, Price

CENT = 10**8


def taught(sigma: float, beta: float, seed: int = 1) -> CostModel:
    """Return the cost model of calls that take a second, spread by *sigma*; costs grow with time^*beta*."""
    chance, model = random.Random(seed), CostModel(CENT)
    for _ in range(200):
        latency = chance.lognormvariate(0, sigma)
        model.finished(int(CENT * latency**beta) + 1, latency)
    return model


def out(model: CostModel, at: float) -> InFlightCall:
    return InFlightCall(model, at, None, model.summand_bound(None))


def test_with_plenty_of_money_no_call_makes_estimates_anew() -> None:
    ledger, model = Ledger(0), taught(0.3, 1.0)
    ledger.observe(10**6 * CENT, 0, 0)
    for n in range(100):
        got = ledger.reserve(ledger.root, model, None, float(n))
        assert isinstance(got, Hold)
        ledger.settle(got, Price(CENT), None, n + 0.9)
    assert model.version == 0


def test_beside_a_call_that_outlasts_all_estimates_are_made_anew_a_few_times_within_a_calls_time() -> None:
    ledger, model = Ledger(0), taught(0.3, 1.0)
    ledger.observe(10**6 * CENT, 0, 0)
    slow, now = ledger.reserve(ledger.root, model, None, 0.0), 30.0
    assert isinstance(slow, Hold)
    model.fitted(now)
    made = model.version
    others: deque[Hold] = deque()
    for _ in range(1000):
        now += 0.003  # a thousand calls within three times the time that one takes
        got = ledger.reserve(ledger.root, model, None, now)
        assert isinstance(got, Hold)
        others.append(got)
        if len(others) > 300:
            ledger.settle(others.popleft(), Price(CENT), None, now)
    assert 1 <= model.version - made <= 20


def test_many_calls_that_come_to_outlast_all_together_are_seen_at_once() -> None:
    model, exposure = taught(0.3, 1.0), Exposure()
    model.fitted(0.0)
    exposure.add(out(model, 0.0))
    for _ in range(40):
        exposure.add(out(model, 0.02))
    before, after = model.slowest + 0.01, model.slowest + 0.03
    room = 10 * exposure.required(before, model)
    assert exposure.fits(room, out(model, before))
    # Fifteen times as much within a fiftieth of a call's time.
    assert not exposure.fits(room, out(model, after))


@pytest.mark.slow
@given(
    st.floats(0.1, 1.0),
    st.floats(-1.0, 3.0),
    st.floats(1.0, 60.0),
    st.lists(st.floats(0.0, 1.0), max_size=40),
    st.lists(st.tuples(st.floats(0.0, 0.3), st.integers(0, 40)), min_size=1, max_size=8),
    st.floats(1.0, 50.0),
)
def test_what_was_enough_for_what_is_out_is_enough_as_it_grows(
    sigma: float, beta: float, age: float, others: list[float], steps: list[tuple[float, int]], rooms: float
) -> None:
    model, exposure, now = taught(sigma, beta), Exposure(), age
    for share in (0.0, *sorted(others)):
        exposure.add(out(model, share * age))
    room = rooms * exposure.required(now, model)
    for pause, starts in steps:
        now += pause
        for _ in range(starts):
            call = out(model, now)
            if not exposure.fits(room, call) or now < model.slowest:
                continue  # without a call that outlasts all, the bound on each call counts
            afresh = Exposure()
            for other in exposure._held:
                afresh.add(other)
            assert afresh.required(now, model) <= 1.05 * room  # ages count in steps
            exposure.add(call)
