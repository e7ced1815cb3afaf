"""How well predicted labels agree with the true ones: accuracy, confusions, precision and recall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..journal.record import Record

MOST_LABELS = 24
"""Labels that a matrix shows; rarer ones are put together."""

OTHERS = "other labels"

_MOST_COUNTED = 200
"""Labels that are told apart while counting: a column of right labels may hold anything, and any pair."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label was predicted."""

    label: str
    rows: int
    """Rows whose true label it is."""
    given: int
    """Rows that it was predicted for."""
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the rows it was predicted for that truly have it; None if there are none."""
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """Share of the rows that truly have it that it was predicted for; None if there are none."""
        return self.right / self.rows if self.rows else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if neither rows nor answers have this label."""
        return 2 * self.right / (self.rows + self.given) if self.rows + self.given else None


@dataclass(frozen=True, slots=True)
class Scores:
    """Given labels against right ones. Only rows that have both are counted, but for `unanswered`."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    """Rows by right label (outer) and given label (inner), in the order of *labels*."""
    judged: int
    right: int
    unanswered: int
    """Rows whose right label is known, and that were given none."""

    @property
    def accuracy(self) -> float | None:
        """Share of the judged rows that are right; None if none was judged."""
        return self.right / self.judged if self.judged else None

    @property
    def by_label(self) -> tuple[LabelScore, ...]:
        """Each label's own score, in the order of *labels*."""
        given = [sum(column) for column in zip(*self.matrix, strict=True)]
        return tuple(
            LabelScore(label, sum(row), given[n], row[n])
            for n, (label, row) in enumerate(zip(self.labels, self.matrix, strict=True))
        )


class Judge:
    """Counts given against right labels. *known* labels stand first, in their order."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._known = [*known]
        self._by_form = {name.casefold(): name for name in known}
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._seen: set[str] = {*known}
        self._right = 0
        self._unanswered = 0

    def __repr__(self) -> str:
        return f"Judge({self._pairs.total()} judged, {self._right} right)"

    def add(self, record: Record) -> None:
        """Count one finished row."""
        if record.truth is None:
            return
        if record.label is None:
            self._unanswered += 1
            return
        truth, label = self._named(record.truth), self._named(record.label)
        # Two rare labels that are counted under one name are still two.
        self._right += record.truth.strip().casefold() == record.label.strip().casefold()
        self._pairs[truth, label] += 1

    def scores(self) -> Scores | None:
        """Return what was counted; None if no row has a right label."""
        if not self._pairs and not self._unanswered:
            return None
        use = Counter[str]()
        for (truth, label), count in self._pairs.items():
            use[truth] += count
            use[label] += count
        order = [*self._known, *(name for name, _ in use.most_common() if name not in self._known)]
        shown = [name for name in order if name != OTHERS]
        if len(shown) > MOST_LABELS or OTHERS in use:
            shown = [*shown[: MOST_LABELS - 1], OTHERS]
        place = {name: n for n, name in enumerate(shown)}
        matrix = [[0] * len(shown) for _ in shown]
        for (truth, label), count in self._pairs.items():
            matrix[place.get(truth, len(shown) - 1)][place.get(label, len(shown) - 1)] += count
        return Scores(
            tuple(shown), tuple(map(tuple, matrix)), self._pairs.total(), self._right, self._unanswered
        )

    def _named(self, text: str) -> str:
        name = self._by_form.get(text.strip().casefold(), text.strip())
        if name not in self._seen:
            if len(self._seen) >= _MOST_COUNTED:
                return OTHERS
            self._seen.add(name)
        return name
