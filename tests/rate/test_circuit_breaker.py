"""When the circuit breaker opens, and when it lets a probe start."""

from __future__ import annotations

from segmind_async._rate.circuit_breaker import BreakerState, CircuitBreaker


def test_forty_failures_in_a_row_open_it_at_once() -> None:
    breaker = CircuitBreaker()
    for _ in range(39):
        breaker.failed(1.0)
    assert breaker.opened_at is None
    assert breaker.take_probe(1.0)
    breaker.failed(1.0)
    assert breaker.opened_at == 1.0
    assert repr(breaker) == "CircuitBreaker(open since 1.0)"


def test_half_of_the_recent_failed_and_no_success_for_thirty_seconds_open_it() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.succeeded(0.0)
    for second in range(10):
        breaker.failed(float(second))
    assert breaker.opened_at is None
    breaker.failed(29.9)
    assert breaker.opened_at is None
    breaker.failed(30.0)
    assert breaker.opened_at == 30.0


def test_failures_among_successes_leave_it_closed() -> None:
    breaker = CircuitBreaker()
    for second in range(200):
        breaker.failed(float(second))
        breaker.succeeded(float(second))
    assert breaker.opened_at is None
    assert repr(breaker) == "CircuitBreaker(closed)"


def test_few_slow_failures_leave_it_closed() -> None:
    breaker = CircuitBreaker()
    for minute in range(5):
        breaker.failed(60.0 * minute)
    assert breaker.opened_at is None


def test_one_probe_per_cool_down_until_one_succeeds() -> None:
    breaker = CircuitBreaker()
    for _ in range(40):
        breaker.failed(0.0)
    probes, now = [], 0.0
    while now < 200:
        if breaker.take_probe(now):
            probes.append(now)
            assert not breaker.take_probe(now)
            breaker.failed(now)
        now += 0.5
    assert probes == [5, 15, 35, 75, 135, 195]
    breaker.succeeded(200)
    assert breaker.take_probe(200)
    assert breaker.take_probe(200)


def test_states_follow_failures_time_probes_and_a_success() -> None:
    breaker = CircuitBreaker()
    assert breaker.state(0.0) is BreakerState.CLOSED
    for _ in range(40):
        breaker.failed(0.0)
    assert breaker.state(4.9) is BreakerState.OPEN
    assert breaker.state(5.0) is BreakerState.HALF_OPEN
    assert breaker.take_probe(5.0)
    assert breaker.state(5.0) is BreakerState.OPEN
    breaker.succeeded(6.0)
    assert breaker.state(6.0) is BreakerState.CLOSED


def test_a_loop_with_another_clock() -> None:
    breaker = CircuitBreaker()
    breaker.shift(-5)
    for _ in range(40):
        breaker.failed(1000.0)
    breaker.shift(-1000)
    assert breaker.opened_at == 0
    assert not breaker.take_probe(4.9)
    assert breaker.take_probe(5)


def test_calls_that_have_nobody_left_to_try_open_it() -> None:
    breaker = CircuitBreaker()
    breaker.failed(1.0)
    breaker.open(1.0)
    breaker.open(2.0)
    assert breaker.opened_at == 1.0
    assert breaker.probe_at == 6.0


def test_what_one_call_met_is_told_apart_from_what_all_meet() -> None:
    breaker = CircuitBreaker()
    assert not breaker.succeeded_after(0.0)
    breaker.failed(1.0)
    assert not breaker.succeeded_after(1.0)
    assert not breaker.fails_for_others(1)
    breaker.failed(2.0)
    assert breaker.fails_for_others(1)
    breaker.succeeded(3.0)
    assert breaker.succeeded_after(2.0)
    assert not breaker.fails_for_others(0)
    breaker.open(4.0)
    assert breaker.fails_for_others(9)
