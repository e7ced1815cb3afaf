"""Logistic regression over words, pairs of words and parts of words, for some hundred short texts. Pure.

Learns in half a second from 600 texts; more than some thousand are for `NaiveBayes`, which counts only.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

_WORD = re.compile(r"\w+")

_EPOCHS = 8
"""Passes over the texts; as the sizes below, chosen by cross-validation on the texts to learn from."""

_STEP = 1.0
"""Step of the gradient descent. The vectors have the length 1, so that it needs no schedule."""

_SMALL = 0.02
"""Share of a step below which a label's weights are not changed: most of the time, little of the result."""

_PARTS = (3, 4, 5)
"""Characters of the parts of a word."""

Vector: TypeAlias = Mapping[str, float]


def features(text: str) -> Counter[str]:
    """Return the words of *text*, its pairs of words, and the parts of its words, with their counts."""
    words = _WORD.findall(text.lower())
    found = Counter(words)
    found.update(f"{first} {second}" for first, second in pairwise(words))
    for word in words:
        marked = f"<{word}>"
        for size in _PARTS:
            found.update(marked[at : at + size] for at in range(len(marked) - size + 1))
    return found


class LogisticRegression:
    """Weights of features for each label (softmax), learnt from labelled texts in one go."""

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        """Learn from pairs of a text and its label, the same from the same ones.

        Raises ValueError without any.
        """
        if not texts:
            raise ValueError("no texts to learn from")
        counted = [(features(text), label) for text, label in texts]
        seen = Counter(name for counts, _ in counted for name in counts)
        self._rarity = {name: math.log((1 + len(texts)) / (1 + n)) + 1 for name, n in seen.items()}
        self._weights = {label: dict.fromkeys(seen, 0.0) for label in sorted({label for _, label in texts})}
        examples = [(self._vector(counts), label) for counts, label in counted]
        order = random.Random(0)  # noqa: S311  # the order of examples is no secret
        for _ in range(_EPOCHS):
            order.shuffle(examples)
            for vector, label in examples:
                self._learn(vector, label)

    def __repr__(self) -> str:
        return f"LogisticRegression({len(self._rarity)} features, labels={list(self._weights)})"

    def classify(self, text: str) -> tuple[str, float]:
        """Return the likeliest label and its probability; of equals, the first by name."""
        chances = self._chances(self._vector(features(text)))
        best = max(chances, key=lambda label: chances[label])
        return best, chances[best]

    def _vector(self, counts: Counter[str]) -> Vector:
        """Return the known features by TF-IDF, with the length 1."""
        vector = {
            name: (1 + math.log(n)) * self._rarity[name] for name, n in counts.items() if name in self._rarity
        }
        length = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        return {name: value / length for name, value in vector.items()}

    def _chances(self, vector: Vector) -> dict[str, float]:
        scores = {
            label: sum([weights[name] * value for name, value in vector.items()])
            for label, weights in self._weights.items()
        }
        top = max(scores.values())
        powers = {label: math.exp(score - top) for label, score in scores.items()}
        total = sum(powers.values())
        return {label: power / total for label, power in powers.items()}

    def _learn(self, vector: Vector, right: str) -> None:
        for label, chance in self._chances(vector).items():
            step = _STEP * ((label == right) - chance)
            if abs(step) > _SMALL * _STEP:
                weights = self._weights[label]
                for name, value in vector.items():
                    weights[name] += step * value
