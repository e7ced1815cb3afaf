"""A 429 closes the gate for every attempt; a probe opens it again."""

from __future__ import annotations

import math

from segmind_async._rate.gate import Gate, Phase


def test_closed_for_the_retry_after_then_one_probe_then_two_more_with_every_answer() -> None:
    gate = Gate()
    assert gate.next_start(5, 10) == 5
    gate.close(10, retry_after=2)
    assert gate.next_start(10, 3) == 12
    assert gate.next_start(11.99, 0) == 12
    assert gate.next_start(12, 3) == 12
    gate.start(1)
    assert gate.next_start(12, 0) == math.inf
    gate.answered(1)
    assert repr(gate) == "Gate(ramping)"
    started = 0
    while gate.next_start(13, 0) == 13:
        gate.start(2 + started)
        started += 1
    assert started == 2
    gate.answered(2)
    gate.answered(3)
    assert gate.next_start(13, 0) == 13
    for number in range(100):
        gate.answered(number)
    assert gate.phase is Phase.OPEN


def test_without_a_retry_after_the_wait_doubles_from_1_to_30_seconds_and_restarts_after_success() -> None:
    gate, now, waits = Gate(), 0.0, []
    for number in range(7):
        gate.close(now, None)
        waits.append(gate.closed_until - now)
        now = gate.closed_until
        gate.start(number)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    for number in range(6, 100):
        gate.answered(number)
    assert gate.phase is Phase.OPEN
    gate.close(now, None)
    assert gate.closed_until == now + 1


def test_late_echoes_may_prolong_the_wait_and_begin_no_new_episode() -> None:
    gate = Gate()
    gate.close(10, None)
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
    gate.close(0, 1)
    gate.start(7)
    gate.abandoned(8)
    assert gate.next_start(2, 0) == math.inf
    gate.abandoned(7)
    assert gate.next_start(2, 0) == 2
    gate.start(9)
    gate.answered(9)
    gate.start(10)
    gate.start(11)
    assert gate.next_start(2, 0) == math.inf
    gate.abandoned(10)
    assert gate.next_start(2, 0) == 2


def test_the_probe_waits_until_few_enough_are_in_flight() -> None:
    gate = Gate()
    gate.most_in_flight = 5
    gate.close(0, 1)
    assert gate.next_start(1, 6) == math.inf
    assert gate.next_start(1, 5) == 1


def test_a_loop_with_another_clock() -> None:
    gate = Gate()
    gate.close(1000, 10)
    gate.shift(-1000)
    assert gate.next_start(0, 0) == 10
    assert gate.is_echo(0)
    assert repr(gate) == "Gate(closed)"
    gate.answered(5)
    gate.start(6)
    gate.start(7)
    gate.abandoned(99)
    assert gate.phase is Phase.PROBING
