"""The stand-ins for a model in the demo and with `--emulate`."""

from __future__ import annotations

import pytest

from segmind_async.cli.demo.classifier import LabelBrain, NaiveBayes, words
from segmind_async.cli.demo.logistic import LogisticRegression, features
from segmind_async.emulator import Question

TEXTS = [
    ("cheap pills now", "spam"),
    ("win cash now", "spam"),
    ("meeting at noon", "ham"),
    ("lunch at noon", "ham"),
]


def test_naive_bayes_learns_what_words_go_with_what() -> None:
    learner = NaiveBayes()
    for text, label in TEXTS:
        learner.learn(text, label)
    assert learner.classify("cheap cash")[0] == "spam"
    label, sure = learner.classify("noon meeting")
    assert label == "ham"
    assert sure > 0.9
    assert learner.classify("") == ("ham", 0.5)
    assert LabelBrain(learner).answer(Question("m", "", (("user", "win pills"),), {})) == "spam"
    assert repr(learner) == "NaiveBayes(4 texts, labels=['ham', 'spam'])"


def test_nothing_learnt_is_an_error() -> None:
    with pytest.raises(ValueError, match="call learn"):
        NaiveBayes().classify("x")
    with pytest.raises(ValueError, match="no texts"):
        LogisticRegression([])


def test_logistic_regression_learns_from_parts_of_words_too() -> None:
    learner = LogisticRegression(TEXTS)
    assert learner.classify("cheaper pill")[0] == "spam"
    label, sure = learner.classify("meetings")
    assert label == "ham"
    assert sure > 0.5
    assert learner.classify("xyz") == ("ham", 0.5)
    assert repr(learner).endswith(" features, labels=['ham', 'spam'])")
    assert LogisticRegression(TEXTS).classify("at now") == learner.classify("at now")


def test_features() -> None:
    assert list(words("To be, or not to be!")) == ["to", "be", "or", "not"]
    assert features("To be, to be") == {
        "to": 2, "be": 2, "to be": 2, "be to": 1, "<to": 2, "to>": 2, "<to>": 2, "<be": 2, "be>": 2, "<be>": 2,
    }  # fmt: skip
