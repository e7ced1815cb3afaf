"""The stand-in for a model in the demo."""

from __future__ import annotations

import pytest

from segmind_async.cli.demo.classifier import BayesBrain, NaiveBayes, fragments, words
from segmind_async.emulator import Question


def test_it_learns_what_words_go_with_what() -> None:
    learner = NaiveBayes()
    for text, label in [
        ("cheap pills now", "spam"),
        ("win cash now", "spam"),
        ("meeting at noon", "ham"),
        ("lunch at noon", "ham"),
    ]:
        learner.learn(text, label)
    assert learner.classify("cheap cash")[0] == "spam"
    label, sure = learner.classify("noon meeting")
    assert label == "ham"
    assert sure > 0.9
    assert learner.classify("") == ("ham", 0.5)
    assert BayesBrain(learner).answer(Question("m", "", (("user", "win pills"),), {})) == "spam"
    assert repr(learner) == "NaiveBayes(4 texts, labels=['ham', 'spam'])"


def test_nothing_learnt_is_an_error() -> None:
    with pytest.raises(ValueError, match="call learn"):
        NaiveBayes().classify("x")


def test_features() -> None:
    assert list(words("To be, or not to be!")) == ["to", "be", "or", "not"]
    assert list(fragments("ab")) == [" ab", "ab ", " ab "]
