"""Text classifiers as answers of the emulator, and naive Bayes, which learns from files of any size. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Protocol

from ...emulator import Question

_WORD = re.compile(r"\w+")

_SMOOTHING = 0.3
"""Added to each count (Lidstone): with few, short texts 1 (Laplace) outweighs the observed counts."""


def words(text: str) -> Iterable[str]:
    """Return the distinct words of *text*, in lower case."""
    return dict.fromkeys(_WORD.findall(text.lower()))


class NaiveBayes:
    """Learns which words go with which label."""

    def __init__(self) -> None:
        self._words: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._totals: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()
        self._vocabulary: set[str] = set()

    def __repr__(self) -> str:
        return f"NaiveBayes({sum(self._texts.values())} texts, labels={sorted(self._texts)})"

    def learn(self, text: str, label: str) -> None:
        """Add one labelled text."""
        found = list(words(text))
        self._words[label].update(found)
        self._totals[label] += len(found)
        self._texts[label] += 1
        self._vocabulary.update(found)

    def classify(self, text: str) -> tuple[str, float]:
        """Return the likeliest label and its probability; of equals, the first by name.

        Raises ValueError before the first `learn`.
        """
        if not self._texts:
            raise ValueError("nothing was learnt yet: call learn() first")
        known = [word for word in words(text) if word in self._vocabulary]
        scores = {label: self._score(label, known) for label in sorted(self._texts)}
        best = max(scores, key=lambda label: scores[label])
        total = sum(math.exp(score - scores[best]) for score in scores.values())
        return best, 1 / total

    def _score(self, label: str, known: list[str]) -> float:
        prior = math.log(self._texts[label] / sum(self._texts.values()))
        size = self._totals[label] + _SMOOTHING * len(self._vocabulary)
        counts = self._words[label]
        return prior + sum(math.log((counts[word] + _SMOOTHING) / size) for word in known)


class Classifier(Protocol):
    """Finds the label of a text."""

    def classify(self, text: str) -> tuple[str, float]:
        """Return the likeliest label and its probability."""
        ...


class LabelBrain:
    """Answers with the label that a classifier finds for the user's last text."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def answer(self, question: Question) -> str:
        """Return the label alone."""
        return self._classifier.classify(question.prompt)[0]
