"""Many rows with few statements: each statement has two threads hand Python's lock over, and that is dear."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

_COUNT = "INSERT INTO seen VALUES"
_COUNTED = "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING key, count"


def count(database: sqlite3.Connection, names: Sequence[str]) -> list[int]:
    """Count each of *names* once more, and return how often each has come by."""
    counts: dict[str, list[int]] = {}
    for name, times in put(database, _COUNT, [(name, 1) for name in names], _COUNTED):
        counts.setdefault(name, []).append(times)
    for each in counts.values():
        each.sort(reverse=True)
    return [counts[name].pop() for name in names]


def put(
    database: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]], then: str = ""
) -> list[tuple[Any, ...]]:
    """Insert many rows with few statements, and return what *then* has them return.

    A statement takes 64 rows, 32, 16, and so on, so that the few forms of it stay prepared.
    """
    got: list[tuple[Any, ...]] = []
    at, most = 0, 64
    while at < len(rows):
        while most > len(rows) - at:
            most //= 2
        row = f"({','.join('?' * len(rows[at]))})"
        values = [value for each in rows[at : at + most] for value in each]
        got += database.execute(f"{statement} {','.join([row] * most)} {then}", values).fetchall()
        at += most
    return got
