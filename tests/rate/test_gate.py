"""A 429 closes the gate for every attempt; a probe opens it again."""

from __future__ import annotations

import math

from segmind_async._rate.gate import Gate, Phase


def test_closed_for_the_retry_after_then_one_probe_then_more_with_every_start_that_passes() -> None:
    gate = Gate()
    assert gate.next_start(5) == 5
    assert gate.close(10, 2, number=0) == 2
    assert gate.next_start(10) == 12
    assert gate.next_start(13) == 13
    gate.start(1)
    assert gate.next_start(13) == math.inf
    gate.passed(1)
    assert repr(gate) == "Gate(ramping)"
    started = 0
    while gate.next_start(13) == 13 and started < 10:
        started += 1
        gate.start(1 + started)
    assert started == 3
    gate.passed(2)
    assert gate.next_start(13) == 13
    for number in range(3, 70):
        gate.passed(number)
    assert gate.phase is Phase.OPEN
    gate.passed(70)
    assert gate.phase is Phase.OPEN


def test_without_a_retry_after_the_wait_doubles_from_1_to_30_seconds_and_restarts_after_success() -> None:
    gate, now, waits = Gate(), 0.0, []
    for number in range(7):
        waits.append(gate.close(now, None, number))
        now = gate.closed_until
        gate.start(number + 1)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    gate.passed(7)
    assert gate.close(now, None, 99) == 1


def test_chance_refusals_close_it_shortly_and_without_a_ramp() -> None:
    gate, waits = Gate(), []
    gate.by_chance = True
    for number in range(0, 14, 2):
        now = float(number)
        waits.append(gate.close(now, None, number))
        gate.start(number + 1)
        gate.passed(number + 1)
        assert gate.phase is Phase.OPEN
    assert waits == [0.5, 0.25, 0.125, 0.0625, 0.05, 0.05, 0.05]
    gate.by_chance = False
    assert gate.close(20.0, None, 99) == 0.1


def test_a_service_that_names_too_short_a_wait_again_and_again_is_not_believed() -> None:
    gate, now, waits = Gate(), 0.0, []
    for number in range(8):
        waits.append(gate.close(now, 0.5, number))
        now = gate.closed_until
        gate.start(number + 1)
    assert waits == [0.5, 0.5, 1, 2, 4, 8, 16, 30]


def test_late_echoes_may_prolong_the_wait_and_begin_no_new_episode() -> None:
    gate = Gate()
    gate.close(10, None, 0)
    assert gate.is_echo(9)
    assert not gate.is_echo(10.5)
    gate.echo(10.5, retry_after=5)
    assert gate.closed_until == 15.5
    gate.echo(10.6, retry_after=1)
    gate.echo(10.6, retry_after=None)
    assert gate.closed_until == 15.5
    gate.start(1)
    gate.echo(16, retry_after=60)
    assert gate.closed_until == 15.5


def test_a_probe_without_an_answer_is_replaced() -> None:
    gate = Gate()
    gate.close(0, 1, 0)
    gate.start(7)
    gate.abandoned(8)
    assert gate.next_start(2) == math.inf
    gate.abandoned(7)
    assert gate.next_start(2) == 2
    gate.start(9)
    gate.passed(9)
    for number in (10, 11, 12):
        gate.start(number)
    assert gate.next_start(2) == math.inf
    gate.abandoned(10)
    assert gate.next_start(2) == 2


def test_a_loop_with_another_clock() -> None:
    gate = Gate()
    gate.close(1000, 10, 0)
    gate.shift(-1000)
    assert gate.next_start(0) == 10
    assert gate.is_echo(0)
    assert not gate.is_echo(1)
    assert repr(gate) == "Gate(closed)"
    gate.passed(5)
    gate.start(6)
    gate.start(7)
    gate.abandoned(99)
    assert gate.phase is Phase.PROBING
