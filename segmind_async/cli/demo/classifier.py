"""A small text classifier, naive Bayes, that answers in the emulator. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from ...emulator import Question

_WORD = re.compile(r"\w+")


_SMOOTHING = 0.3
"""Added to each count (Lidstone): with few, short texts 1 (Laplace) outweighs the observed counts."""

Features: TypeAlias = Callable[[str], Iterable[str]]


def words(text: str) -> Iterable[str]:
    """Return the distinct words of *text*, in lower case."""
    return dict.fromkeys(_WORD.findall(text.lower()))


def fragments(text: str) -> Iterable[str]:
    """Return all fragments of 3 to 5 letters, for few short texts in which whole words rarely recur."""
    padded = [f" {word} " for word in words(text)]
    return dict.fromkeys(
        word[start : start + size]
        for word in padded
        for size in (3, 4, 5)
        for start in range(len(word) - size + 1)
    )


class NaiveBayes:
    """Learns which features go with which label."""

    def __init__(self, features: Features = words) -> None:
        self._features = features
        self._words: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._totals: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()
        self._vocabulary: set[str] = set()

    def __repr__(self) -> str:
        return f"NaiveBayes({sum(self._texts.values())} texts, labels={sorted(self._texts)})"

    def learn(self, text: str, label: str) -> None:
        """Add one labelled text."""
        found = list(self._features(text))
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
        known = [word for word in self._features(text) if word in self._vocabulary]
        scores = {label: self._score(label, known) for label in sorted(self._texts)}
        best = max(scores, key=lambda label: scores[label])
        total = sum(math.exp(score - scores[best]) for score in scores.values())
        return best, 1 / total

    def _score(self, label: str, known: list[str]) -> float:
        prior = math.log(self._texts[label] / sum(self._texts.values()))
        size = self._totals[label] + _SMOOTHING * len(self._vocabulary)
        counts = self._words[label]
        return prior + sum(math.log((counts[word] + _SMOOTHING) / size) for word in known)


class BayesBrain:
    """Answers with the label that a classifier finds for the user's last text."""

    def __init__(self, learner: NaiveBayes) -> None:
        self._learner = learner

    def answer(self, question: Question) -> str:
        """Return the label alone."""
        return self._learner.classify(question.prompt)[0]
