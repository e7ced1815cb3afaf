"""Which bound is lowered after 429s, and what becomes of it."""

from __future__ import annotations

import math

from segmind_async._rate.concurrency_limit import ConcurrencyLimit
from segmind_async._rate.diagnosis import Diagnosis
from segmind_async._rate.learnt_limit import LearntLimit
from segmind_async._rate.pacer import MINUTE, SECOND, SPANS, TEN_SECONDS
from segmind_async._rate.refusal_cause import IN_FLIGHT


class Bench:
    """A diagnosis, its bounds, and attempts with the loads that are named."""

    def __init__(self) -> None:
        spans = {span: LearntLimit(math.inf, "no limit met", proof=1, longest_pause=60) for span in SPANS}
        self.bounds: dict[float, LearntLimit] = {**spans, IN_FLIGHT: ConcurrencyLimit(64)}
        self.diagnosis = Diagnosis(self.bounds)
        self.now = 0.0
        self.number = 0

    def accept(
        self, times: int = 1, *, minute: int = 1, ten: int = 1, second: int = 1, flight: int = 1
    ) -> None:
        for _ in range(times):
            self.number += 1
            if self.diagnosis.is_open:
                loads = {MINUTE: minute, TEN_SECONDS: ten, SECOND: second, IN_FLIGHT: flight}
                self.diagnosis.accepted(self.number, loads, self.now, gate_open=True)

    def refuse(
        self,
        *,
        minute: int = 1,
        ten: int = 1,
        second: int = 1,
        flight: int = 1,
        echoes: int = 0,
        on_their_way: int = 0,
        told: float | None = None,
        named: float | None = None,
    ) -> bool:
        self.now += 1
        loads = {MINUTE: minute, TEN_SECONDS: ten, SECOND: second, IN_FLIGHT: flight}
        return self.diagnosis.refused([loads] * (1 + echoes), on_their_way, self.now, told=told, named=named)

    def value(self, name: float) -> float:
        return self.bounds[name].value


def climb(bench: Bench, top: int) -> None:
    for load in range(1, top + 1):
        bench.accept(minute=load, ten=load, second=load, flight=load)


def test_one_refusal_lowers_nothing() -> None:
    bench = Bench()
    climb(bench, 30)
    assert not bench.refuse(minute=31, ten=31, second=31, flight=31, echoes=9, on_their_way=9)
    assert [bound.learnt for bound in bench.bounds.values()] == [False] * 4
    assert bench.diagnosis.asks


def test_without_a_refusal_the_first_starts_are_soon_forgotten() -> None:
    bench = Bench()
    bench.accept(199)
    assert bench.diagnosis.is_open
    assert not bench.diagnosis.asks
    bench.accept()
    assert not bench.diagnosis.is_open
    assert bench.refuse() is False
    assert bench.diagnosis.is_open


def test_of_equal_explanations_the_mildest_comes_first_and_a_refuted_one_is_undone() -> None:
    bench = Bench()
    climb(bench, 30)
    for _ in range(2):
        bench.refuse(minute=31, ten=31, second=31, flight=31)
    assert (bench.value(SECOND), bench.value(MINUTE)) == (30, math.inf)
    assert bench.diagnosis.is_testing(bench.now)
    # In the next second nothing else was sent: it is not that, nor the number in flight.
    for _ in range(6):
        bench.refuse(minute=31, ten=31, second=1, flight=2)
    assert (bench.value(SECOND), bench.value(IN_FLIGHT)) == (math.inf, 64)
    assert 28 <= min(bench.value(TEN_SECONDS), bench.value(MINUTE)) <= 30
    for _ in range(6):
        bench.refuse(minute=31, ten=2, second=1, flight=2)
    assert bench.value(TEN_SECONDS) == math.inf
    assert bench.value(MINUTE) <= 30


def test_a_long_wait_rules_out_short_spans() -> None:
    bench = Bench()
    climb(bench, 30)
    for _ in range(2):
        bench.refuse(minute=31, ten=31, second=31, flight=31, told=20.0)
    assert (bench.value(SECOND), bench.value(IN_FLIGHT)) == (math.inf, 30)


def test_a_named_span_comes_before_the_others() -> None:
    bench = Bench()
    climb(bench, 30)
    for _ in range(2):
        bench.refuse(minute=31, ten=31, second=31, flight=31, told=40.0, named=MINUTE)
    assert bench.value(MINUTE) == 30
    assert bench.bounds[MINUTE].reason == "429 with 31 starts within 60 s: no bound lowered to 30"


def test_rarer_refusals_confirm_a_claim_and_close_the_question() -> None:
    bench = Bench()
    climb(bench, 10)
    for _ in range(3):
        bench.refuse(minute=11, ten=11, second=2, flight=11)
    assert bench.value(IN_FLIGHT) == 10
    bench.accept(10, flight=10)
    assert bench.diagnosis.is_open
    bench.accept(40, flight=10)
    assert not bench.diagnosis.is_open
    assert not bench.diagnosis.is_testing(bench.now)
    assert bench.value(IN_FLIGHT) == 10


def test_a_minute_without_refusals_closes_the_question() -> None:
    bench = Bench()
    bench.refuse()
    bench.accept()
    assert bench.diagnosis.is_open
    bench.now += 80
    bench.accept()
    assert not bench.diagnosis.is_open


def test_refusals_at_any_load_are_chance_unless_many_at_once_are_refused() -> None:
    bench = Bench()
    for _ in range(4):
        bench.accept(20, flight=9)
        bench.refuse(flight=5)
    assert bench.diagnosis.by_chance
    bench.refuse(flight=5, echoes=8, on_their_way=10)
    assert not bench.diagnosis.by_chance
    bench.refuse(flight=5, echoes=2, on_their_way=10)
    assert bench.diagnosis.by_chance
    bench.diagnosis.close()
    assert not bench.diagnosis.by_chance
    assert repr(bench.diagnosis) == "Diagnosis(None, no chance)"


def test_where_most_are_refused_it_is_not_chance() -> None:
    bench = Bench()
    for _ in range(6):
        bench.accept(1)
        bench.refuse()
    assert not bench.diagnosis.by_chance


def lowered_in_flight(value: int) -> Bench:
    bench = Bench()
    for load in range(1, value + 1):
        bench.accept(flight=load)
    for _ in range(2):
        bench.refuse(flight=value + 1)
    assert bench.value(IN_FLIGHT) == value
    return bench


def test_refusals_that_go_on_at_the_bound_lower_it_in_steps_then_undo_them_then_all() -> None:
    bench = lowered_in_flight(30)
    seen: list[float] = []
    for _ in range(60):
        bench.accept(8, flight=int(bench.value(IN_FLIGHT)))
        bench.refuse(flight=int(bench.value(IN_FLIGHT)))
        if not seen or seen[-1] != bench.value(IN_FLIGHT):
            seen.append(bench.value(IN_FLIGHT))
    assert seen[:5] == [30, 28, 25, 21, 30]
    assert seen[5:] == [64]


def test_a_claim_that_fails_below_its_bound_is_undone() -> None:
    bench = lowered_in_flight(30)
    for _ in range(40):
        bench.accept(flight=20)
        bench.refuse(flight=7)
    assert bench.value(IN_FLIGHT) == 64


def test_a_bound_that_is_always_in_use_is_lowered_once_to_see_whether_that_helps() -> None:
    bench = lowered_in_flight(30)
    bench.diagnosis.close()
    seen = [bench.value(IN_FLIGHT)]
    for _ in range(80):
        # Nothing but this load, so that nothing explains the refusals.
        load = int(bench.value(IN_FLIGHT))
        bench.accept(30, minute=500, ten=100, second=9, flight=load)
        bench.refuse(minute=500, ten=100, second=9, flight=load)
        if seen[-1] != bench.value(IN_FLIGHT):
            seen.append(bench.value(IN_FLIGHT))
    assert seen[:2] == [30, 28]
    assert seen[-1] >= 30
    assert bench.diagnosis.by_chance


def test_a_bound_of_one_is_not_lowered_further() -> None:
    bench = Bench()
    bench.bounds[IN_FLIGHT].lower(1, 0.0, "429")
    for _ in range(9):
        bench.refuse(flight=1)
    assert bench.value(IN_FLIGHT) == 1


def test_a_claim_that_has_helped_stays_when_another_bound_is_lowered() -> None:
    bench = lowered_in_flight(30)
    for load in range(1, 31):
        bench.accept(flight=2, minute=load)
    for _ in range(2):
        bench.refuse(flight=2, minute=31)
        bench.accept(50, flight=2, minute=5)
    assert (bench.value(IN_FLIGHT), bench.value(MINUTE)) == (30, 30)
