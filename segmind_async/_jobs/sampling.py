"""A few rows that stand for all of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

from .rows import Row


def chosen(count: int, rows: int, seed: int = 0) -> list[int]:
    """Choose *count* of *rows* indices: one at random from each of as many equal parts, in order.

    Files are often sorted, so a part left out may be the dear one; and every n-th row may be of one kind. All
    rows if there are no more. The same *seed* chooses the same.
    """
    if count >= rows:
        return list(range(rows))
    chance = random.Random(seed)  # noqa: S311  # nobody gains by foretelling it
    edges = [part * rows // count for part in range(count + 1)]
    return [chance.randrange(begin, end) for begin, end in pairwise(edges)]


def only(rows: Iterable[Row], indices: Iterable[int]) -> Iterator[Row]:
    """Yield the rows of these *indices*, which are in order, and read no further than the last one."""
    wanted = iter(indices)
    index = next(wanted, None)
    for row in rows:
        if index is None:
            return
        if row.index == index:
            yield row
            index = next(wanted, None)
            if index is None:
                return
