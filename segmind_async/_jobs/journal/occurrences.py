"""How often a name has come by, in one pass over the input from its beginning."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Sequence

from . import stretches
from .statements import put

_COUNT = "INSERT INTO seen VALUES"
_COUNTED = "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING key, count"


def key_of(name: str, occurrence: int) -> str:
    """Return what the *occurrence*-th row of a name is known by, from 1."""
    if occurrence == 1:
        return name
    kind, _, rest = name.partition(" ")
    # The count stands in front, where no name can be taken for it.
    return f"{kind}#{occurrence} {rest}"


def count(database: sqlite3.Connection, names: Sequence[str], passed: int) -> list[int]:
    """Count each of *names* once more, and return how often each has come by.

    The first *passed* rows of the input were passed over, but count all the same.
    """
    if passed:
        _count_passed(database, names, passed)
    counts: dict[str, list[int]] = {}
    for name, times in put(database, _COUNT, [(name, 1) for name in names], _COUNTED):
        counts.setdefault(name, []).append(times)
    for each in counts.values():
        each.sort(reverse=True)
    return [counts[name].pop() for name in names]


def _count_passed(database: sqlite3.Connection, names: Sequence[str], passed: int) -> None:
    """Begin the count of those names that stand among the rows passed over."""
    marks = ",".join("?" * len(names))
    met = database.execute(
        "SELECT latest.key FROM latest JOIN rows USING (number) "  # noqa: S608  # marks alone
        f"WHERE latest.key IN ({marks}) AND place < ? UNION SELECT key FROM taken WHERE key IN ({marks}) "
        "EXCEPT SELECT key FROM seen",
        (*names, passed, *names),
    ).fetchall()
    for (name,) in met:
        database.execute("INSERT INTO seen VALUES (?, ?)", (name, _times(database, name, passed)))


def _times(database: sqlite3.Connection, name: str, passed: int) -> int:
    """Return how often *name* stands among the first *passed* rows: its occurrences there are 1 to that."""

    def is_later(occurrence: int) -> bool:
        return not _is_passed(database, key_of(name, occurrence), passed)

    most = 1
    while not is_later(most):
        most *= 2
    return bisect_left(range(1, most), 1, key=is_later)


def _is_passed(database: sqlite3.Connection, key: str, passed: int) -> bool:
    """Tell whether one of the first *passed* rows is known by *key*."""
    query = "SELECT place, number FROM latest JOIN rows USING (number) WHERE latest.key = ? AND place < ?"
    found = database.execute(query, (key, passed)).fetchone()
    if found is not None and stretches.holds(database, *found):
        return True
    return database.execute("SELECT 1 FROM taken WHERE key = ?", (key,)).fetchone() is not None
