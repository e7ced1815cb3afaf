"""Inserts many rows with few statements: each statement passes the GIL between two threads, which is slow."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any


def put(
    database: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]], then: str = ""
) -> list[tuple[Any, ...]]:
    """Insert many rows with few statements, and return the rows that the RETURNING clause in *then* gives.

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
