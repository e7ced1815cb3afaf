"""Likelihoods of what refusals are about."""

from __future__ import annotations

from segmind_async._rate.refusal_cause import IN_FLIGHT, NOTICEABLE, RefusalEvidence

MINUTE = 60.0


def both(in_flight: int, minute: int) -> dict[float, int]:
    return {IN_FLIGHT: in_flight, MINUTE: minute}


def evidence() -> RefusalEvidence:
    return RefusalEvidence((IN_FLIGHT, MINUTE))


def test_one_episode_proves_nothing_however_many_echoes_it_has() -> None:
    made = evidence()
    for load in range(1, 11):
        made.accepted(both(load, load))
    made.refused([both(11, 11)] * 9, 0.0, None, None)
    assert made.of(IN_FLIGHT) == (0.0, 0, False)
    assert repr(made) == "RefusalEvidence(1 episodes among 10 accepted)"


def test_refusals_at_a_height_of_one_load_alone_settle_it() -> None:
    made = evidence()
    for minute in range(400):
        made.accepted(both(1 + minute % 10, 1 + minute))
        if minute % 40 == 39:
            made.refused([both(11, 1 + minute)], float(minute), None, None)
    found = made.of(IN_FLIGHT)
    assert (found.height, found.settled) == (11, True)
    assert not made.of(MINUTE).settled
    assert made.of(MINUTE).evidence < found.evidence - NOTICEABLE


def test_refusals_at_all_heights_are_no_evidence() -> None:
    made = evidence()
    for number in range(300):
        made.accepted(both(1 + number % 20, 1 + number % 60))
        if number % 17 == 0:
            made.refused([both(1 + number % 20, 1 + number % 60)], 0.0, None, None)
    assert max(made.of(IN_FLIGHT).evidence, made.of(MINUTE).evidence) < NOTICEABLE


def test_a_limit_of_none_is_no_limit() -> None:
    made = evidence()
    for _ in range(9):
        made.refused([both(1, 1)], 0.0, None, None)
    assert made.of(IN_FLIGHT).height == 0


def test_echoes_weigh_no_more_than_four_refusals() -> None:
    few, many = evidence(), evidence()
    for made, echoes in ((few, 4), (many, 40)):
        for load in range(1, 101):
            made.accepted(both(load, load))
        for _ in range(2):
            made.refused([both(101, 101)] * (1 + echoes), 0.0, None, None)
    assert abs(few.of(MINUTE).evidence - many.of(MINUTE).evidence) < 1e-9


def test_a_named_span_adds_evidence() -> None:
    made = evidence()
    for load in range(1, 11):
        made.accepted(both(load, load))
    for _ in range(2):
        made.refused([both(11, 11)], 5.0, 40.0, MINUTE)
    assert made.of(MINUTE).evidence > made.of(IN_FLIGHT).evidence + NOTICEABLE
    assert (made.longest_told, made.refused_at, made.last) == (40.0, 5.0, both(11, 11))


def test_old_evidence_fades() -> None:
    made = evidence()
    for _ in range(4):
        made.refused([both(11, 11)], 0.0, None, None)
    for _ in range(801):
        made.accepted(both(1, 1))
    assert made.episodes == 2
    assert 0.004 < made.share < 0.006
    assert made.of(MINUTE).settled
