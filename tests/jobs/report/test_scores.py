"""Accuracy, precision, recall and F1, against figures worked out by hand."""

from __future__ import annotations

import pytest

from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.report.scores import MOST_LABELS, OTHERS, Judge, Scores


def judged(pairs: list[tuple[str | None, str | None]], known: tuple[str, ...] = ()) -> Scores | None:
    judge = Judge(known)
    for truth, label in pairs:
        judge.add(Record("id x", b"", "ok" if label else "failed", truth=truth, label=label))
    return judge.scores()


def test_scores_by_hand() -> None:
    pairs = [("spam", "spam")] * 6 + [("spam", "ham")] * 2 + [("ham", "ham")] * 9 + [("ham", "spam")] * 3
    scores = judged([*pairs, ("ham", None), (None, "ham"), (None, None)], ("spam", "ham"))
    assert scores is not None
    assert scores.labels == ("spam", "ham")
    assert scores.matrix == ((6, 2), (3, 9))
    assert (scores.judged, scores.right, scores.unanswered, scores.accuracy) == (20, 15, 1, 0.75)
    spam, ham = scores.by_label
    assert (spam.rows, spam.given, spam.right) == (8, 9, 6)
    assert (spam.precision, spam.recall) == (pytest.approx(6 / 9), pytest.approx(6 / 8))
    assert spam.f1 == pytest.approx(2 * (6 / 9) * (6 / 8) / (6 / 9 + 6 / 8))
    assert (ham.precision, ham.recall) == (pytest.approx(9 / 11), pytest.approx(9 / 12))


def test_without_right_labels_there_is_nothing_to_score() -> None:
    assert judged([(None, "spam")]) is None


def test_a_label_that_nobody_has_has_no_score() -> None:
    scores = judged([("a", "b")], ("a", "b", "c"))
    assert scores is not None
    a, b, c = scores.by_label
    assert (a.precision, a.recall, a.f1) == (None, 0.0, 0.0)
    assert (b.precision, b.recall) == (0.0, None)
    assert (c.precision, c.recall, c.f1) == (None, None, None)
    only_unanswered = judged([("a", None)])
    assert only_unanswered is not None
    assert (only_unanswered.accuracy, only_unanswered.unanswered) == (None, 1)


def test_labels_are_compared_as_the_classification_compares_them() -> None:
    scores = judged([(" SPAM", "spam"), ("Spam", "spam")], ("spam", "ham"))
    assert scores is not None
    assert (scores.labels, scores.right) == (("spam", "ham"), 2)


def test_known_labels_stand_first_and_others_by_how_often_they_come() -> None:
    scores = judged([("x", "a"), ("y", "a"), ("y", "b")], ("b", "a"))
    assert scores is not None
    assert scores.labels == ("b", "a", "y", "x")


def test_very_many_labels_are_put_together_and_none_is_lost() -> None:
    scores = judged([(f"t{n % 3000}", f"t{(n + n % 2) % 3000}") for n in range(6000)])
    assert scores is not None
    assert len(scores.labels) == MOST_LABELS
    assert scores.labels[-1] == OTHERS
    assert sum(map(sum, scores.matrix)) == scores.judged == 6000
    assert scores.right == 3000  # two rare labels in one cell are not hit


def test_counting_takes_no_more_memory_for_more_labels() -> None:
    judge = Judge()
    for n in range(20_000):
        judge.add(Record("id x", b"", "ok", truth=f"t{n}", label=f"l{n}"))
    assert len(judge._pairs) <= 201
