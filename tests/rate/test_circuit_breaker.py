"""When it is the service that fails, and when it is tried again."""

from __future__ import annotations

from segmind_async._rate.circuit_breaker import CircuitBreaker


def test_forty_failures_in_a_row_are_an_outage_at_once() -> None:
    outage = CircuitBreaker()
    for _ in range(39):
        outage.failed(1.0)
    assert outage.began_at is None
    assert outage.take_probe(1.0)
    outage.failed(1.0)
    assert outage.began_at == 1.0
    assert repr(outage) == "CircuitBreaker(since 1.0)"


def test_half_of_the_last_failed_and_nothing_succeeds_for_thirty_seconds() -> None:
    outage = CircuitBreaker()
    for _ in range(10):
        outage.succeeded(0.0)
    for second in range(10):
        outage.failed(float(second))
    assert outage.began_at is None
    outage.failed(29.9)
    assert outage.began_at is None
    outage.failed(30.0)
    assert outage.began_at == 30.0


def test_failures_among_successes_are_none() -> None:
    outage = CircuitBreaker()
    for second in range(200):
        outage.failed(float(second))
        outage.succeeded(float(second))
    assert outage.began_at is None
    assert repr(outage) == "CircuitBreaker(none)"


def test_few_slow_failures_are_none() -> None:
    outage = CircuitBreaker()
    for minute in range(5):
        outage.failed(60.0 * minute)
    assert outage.began_at is None


def test_one_probe_per_cool_down_until_one_succeeds() -> None:
    outage = CircuitBreaker()
    for _ in range(40):
        outage.failed(0.0)
    probes, now = [], 0.0
    while now < 200:
        if outage.take_probe(now):
            probes.append(now)
            assert not outage.take_probe(now)
            outage.failed(now)
        now += 0.5
    assert probes == [5, 15, 35, 75, 135, 195]
    outage.succeeded(200)
    assert outage.take_probe(200)
    assert outage.take_probe(200)


def test_a_loop_with_another_clock() -> None:
    outage = CircuitBreaker()
    outage.shift(-5)
    for _ in range(40):
        outage.failed(1000.0)
    outage.shift(-1000)
    assert outage.began_at == 0
    assert not outage.take_probe(4.9)
    assert outage.take_probe(5)
