"""Lines of parts that are left out whole, the least important first, until a line fits its width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line."""

    text: str
    rank: int = 0
    """How soon it is left out: of two parts the one of the higher rank first; 0 stays as long as any."""
    style: str = ""


def fitted(label: str, parts: Sequence[Part], width: int) -> Text:
    """Return a line of *label* and as many of *parts* as fit into *width* columns, in their order.

    Of equal ranks the last one is left out first. The first part of all is cut if it alone is too long.
    """
    kept = [part for part in parts if part.text]
    while len(kept) > 1 and _cells(label, kept) > width:
        worst = max(part.rank for part in kept)
        del kept[max(n for n, part in enumerate(kept) if part.rank == worst)]
    line = Text.assemble((label, "dim"))
    for n, part in enumerate(kept):
        line.append(SEPARATOR if n else "")
        line.append(part.text, style=part.style or None)
    line.truncate(width, overflow="ellipsis")
    return line


def _cells(label: str, parts: Sequence[Part]) -> int:
    return Text(label + SEPARATOR.join(part.text for part in parts)).cell_len
