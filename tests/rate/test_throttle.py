"""The throttle over pacer, gate and bounds; what it learns in whole situations is in test_principles."""

from __future__ import annotations

import math

import pytest

from segmind_async._rate.gate import Phase
from segmind_async._rate.pacer import MINUTE
from segmind_async._rate.start_tracker import StartTag
from segmind_async._rate.throttle import Throttle


class Bench:
    """A throttle, and the calls that are in flight."""

    def __init__(self, rate: float | None = None, most: int = 64) -> None:
        self.throttle = Throttle(most, rate)
        self.out: list[StartTag] = []
        self.now = 0.0

    def start(self, count: int = 1) -> list[StartTag]:
        return [self.start_one() for _ in range(count)]

    def start_one(self) -> StartTag:
        self.now = max(self.now, self.next())
        assert self.now < math.inf
        tag = self.throttle.start(self.now, len(self.out))
        self.out.append(tag)
        return tag

    def end(self, *tags: StartTag) -> None:
        for tag in tags:
            self.out.remove(tag)
            self.throttle.answered(tag, self.now)

    def refuse(self, tag: StartTag, told: float | None = None) -> None:
        self.out.remove(tag)
        self.throttle.refused(tag, self.now, told)

    def next(self) -> float:
        return self.throttle.next_start(self.now, len(self.out))


def test_a_429_closes_the_gate_for_the_told_time_and_then_lets_one_probe_pass() -> None:
    bench = Bench()
    first, second, third = bench.start(3)
    bench.now = 1.0
    bench.refuse(first, 40.0)
    assert bench.next() == 41.0
    bench.refuse(second, 50.0)
    assert bench.next() == 51.0
    bench.now = 51.0
    probe = bench.start_one()
    # The probe counts as accepted when it was not refused for as long as refusals take.
    assert bench.next() == pytest.approx(51.0 + 2.0)
    bench.now = 53.0
    assert bench.throttle.gate.phase is Phase.PROBING
    assert bench.next() == 53.0
    assert bench.throttle.gate.phase is Phase.RAMPING
    bench.end(probe, third)
    assert (bench.throttle.limit, bench.throttle.pacer.rate) == (64, None)


def test_an_abandoned_probe_is_replaced() -> None:
    bench = Bench()
    bench.refuse(bench.start_one(), 1.0)
    bench.now = 2.0
    probe = bench.start_one()
    bench.out.remove(probe)
    bench.throttle.abandoned(probe)
    assert bench.next() < 2.1


def test_the_probe_keeps_to_the_limit_that_has_just_been_learnt() -> None:
    bench = Bench(most=16)
    held = bench.start(10)
    bench.now = 1.0
    bench.throttle.next_start(bench.now, 10)
    while bench.next() < math.inf:
        bench.refuse(bench.start_one(), None)
        bench.now = bench.throttle.gate.closed_until
    assert bench.throttle.limit == 10
    bench.end(held[0])
    assert bench.next() == bench.now


def test_starts_are_spaced_while_it_is_open_what_refusals_are_about() -> None:
    bench = Bench()
    bench.refuse(bench.start_one(), 1.0)
    bench.now = 2.0
    bench.start_one()
    assert bench.throttle.pacer.spacing > 0
    for second in range(3, 90):
        bench.now = float(second)
        bench.end(bench.start_one())
    assert bench.throttle.pacer.spacing == 0


@pytest.mark.parametrize(("told", "named"), [(45.0, True), (20.0, False), (59.5, False), (5.0, False)])
def test_a_wait_that_ends_with_the_span_of_the_oldest_start_names_it(told: float, *, named: bool) -> None:
    bench = Bench()
    bench.end(*bench.start(8))
    bench.now = 15.0
    bench.end(*bench.start(3))
    rounds = 2
    for _ in range(rounds):
        refused = bench.start_one()
        bench.refuse(refused, told + 15.0 - bench.now if named else told)
        bench.now = max(bench.throttle.gate.closed_until, bench.now)
        bench.now = 15.2 if named else bench.now
        bench.throttle.gate.closed_until = bench.now
        bench.next()
    assert bench.throttle.pacer.bounds[MINUTE].learnt is named


def test_the_end_of_a_trial_is_no_evidence() -> None:
    bench = Bench()
    bound = bench.throttle.pacer.bounds[MINUTE]
    bound.lower(20, 0.0, "429")
    bench.throttle.pacer.changed()
    while not bound.on_trial:
        bench.end(bench.start_one())
    while len(bench.throttle.pacer.log) < bound.value and bound.on_trial:
        bench.start_one()
        if bound.value > 21:
            break
    refused = bench.start_one()
    value = bound.passed
    bench.refuse(refused, 3.0)
    assert bound.value == value
    bench.now += 3.0
    bench.start_one()
    assert bench.throttle.pacer.spacing == 0


def test_nothing_is_kept_of_starts_while_no_limit_was_met() -> None:
    bench = Bench()
    for _ in range(300):
        bench.end(bench.start_one())
    bench.start(50)
    assert "0 open" in repr(bench.throttle._starts)
    assert repr(bench.throttle) == (
        "Throttle(Pacer(no rate, no limit met), ConcurrencyLimit(64 of 64, max_in_flight), Gate(open))"
    )


def test_a_loop_with_another_clock() -> None:
    bench = Bench(rate=60)
    bench.now = 1000.0
    bench.end(*bench.start(5))
    bench.refuse(bench.start_one(), 10.0)
    bench.throttle.shift(-1000.0)
    bench.now -= 1000.0
    assert bench.next() == pytest.approx(bench.now + 10.0)
    bench.now += 10.0
    bench.end(bench.start_one())
