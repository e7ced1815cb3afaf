"""A 429 lowers the pace, or cuts the concurrency limit."""

from __future__ import annotations

import math

from segmind_async._rate.gate import Phase
from segmind_async._rate.throttle import StartTag, Throttle


class Bench:
    """A throttle, and the calls that are in flight."""

    def __init__(self, rate: float | None = None, most: int = 64) -> None:
        self.throttle = Throttle(most, rate)
        self.out: list[StartTag] = []
        self.now = 0.0

    def start(self, count: int = 1) -> list[StartTag]:
        started = []
        for _ in range(count):
            self.now = max(self.now, self.throttle.next_start(self.now, len(self.out)))
            assert self.now < math.inf
            tag = self.throttle.start(self.now, len(self.out))
            self.out.append(tag)
            started.append(tag)
        return started

    def end(self, *tags: StartTag, succeeded: bool = True) -> None:
        for tag in tags:
            self.out.remove(tag)
            self.throttle.answered(tag, self.now, succeeded=succeeded)

    def refuse(self, tag: StartTag, retry_after: float | None = None) -> None:
        self.out.remove(tag)
        self.throttle.refused(tag, self.now, retry_after, len(self.out))

    def next(self) -> float:
        return self.throttle.next_start(self.now, len(self.out))


def test_a_long_retry_after_lowers_the_pace() -> None:
    bench = Bench()
    tags = bench.start(60)
    bench.now = 2.0
    bench.refuse(tags[-1], retry_after=40)
    assert bench.throttle.pacer.rate == 59
    assert bench.throttle.limit == 64
    assert bench.throttle.gate.closed_until == 42


def test_a_refusal_with_few_in_flight_lowers_the_pace() -> None:
    bench = Bench()
    for _ in range(20):
        bench.end(*bench.start())
    (refused,) = bench.start()
    bench.refuse(refused)
    assert bench.throttle.pacer.rate == 20
    assert bench.throttle.limit == 64


def test_a_refusal_with_no_more_in_flight_than_were_accepted_lowers_the_pace() -> None:
    bench = Bench()
    first = bench.start(10)
    bench.end(*first)
    second = bench.start(10)
    bench.refuse(second[5])
    assert bench.throttle.pacer.rate is not None
    assert bench.throttle.limit == 64


def test_a_refusal_with_the_most_in_flight_and_an_accepted_probe_cut_the_limit() -> None:
    bench = Bench()
    tags = bench.start(40)
    for tag in tags[30:]:
        bench.refuse(tag)
    bench.now += 1
    assert bench.next() == math.inf  # 30 are in flight: the probe waits until half of them have ended
    bench.end(*tags[:15])
    (probe,) = bench.start()
    assert bench.next() == math.inf
    bench.end(probe)
    assert bench.throttle.limit == 30
    assert bench.throttle.pacer.rate is None
    assert "429 with 30 in flight" in bench.throttle.concurrency_limit.reason


def test_a_refused_probe_with_few_in_flight_lowers_the_pace() -> None:
    bench = Bench()
    tags = bench.start(40)
    for tag in tags[30:]:
        bench.refuse(tag)
    bench.now += 1
    bench.end(*tags[:15])
    (probe,) = bench.start()
    bench.now += 0.1
    bench.refuse(probe)
    assert bench.throttle.pacer.rate == 30
    assert bench.throttle.limit == 64
    assert bench.throttle.gate.most_in_flight == math.inf


def test_echoes_of_one_episode_teach_once() -> None:
    bench = Bench()
    for _ in range(20):
        bench.end(*bench.start())
    tags = bench.start(5)
    bench.refuse(tags[0])
    rate = bench.throttle.pacer.rate
    assert rate is not None
    bench.refuse(tags[1], retry_after=7)
    assert bench.throttle.pacer.rate == rate
    assert bench.throttle.gate.closed_until == 7 + bench.now


def test_attempts_in_flight_during_a_refusal_do_not_count_as_accepted() -> None:
    bench = Bench()
    tags = bench.start(40)
    bench.now += 1
    bench.refuse(tags[39])
    bench.end(*tags[20:39])
    assert bench.throttle.concurrency_limit.highest == 0


def test_failures_stop_growth_and_do_not_cut() -> None:
    bench = Bench()
    bench.end(*bench.start(10), succeeded=False)
    bench.throttle.abandoned(bench.start()[0], bench.now)
    assert bench.throttle.limit == 64
    assert bench.throttle.pacer.rate is None
    assert bench.throttle.gate.phase is Phase.OPEN


def test_an_undecided_episode_survives_a_loop_with_another_clock() -> None:
    rates = []
    for shift in (0.0, -1000.0):
        bench = Bench()
        bench.now = 1000.0
        tags = bench.start(30)
        bench.now += 10
        tags += bench.start(10)
        bench.refuse(tags[-1])
        bench.end(*tags[:-1])
        bench.now += 46 + shift
        bench.throttle.shift(shift)
        (probe,) = bench.start()
        bench.refuse(probe, retry_after=9)
        rates.append(bench.throttle.pacer.rate)
    assert rates[0] == rates[1] == 39


def test_a_loop_with_another_clock() -> None:
    bench = Bench(60)
    bench.now = 1000.0
    (tag,) = bench.start()
    bench.refuse(tag, retry_after=5)
    bench.throttle.shift(-1000)
    assert bench.throttle.next_start(0, 0) >= 5
    assert "Throttle(Pacer(" in repr(bench.throttle)
