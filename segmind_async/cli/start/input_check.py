"""Refuses an input that would waste what is paid for it: before anything is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic

from ..._jobs.formats.layout import clashes
from ..._jobs.formats.text import Lines, TextOptions, open_text
from ..._jobs.outlook import FIRST_ROWS
from ..._jobs.prompt_template import fields_of
from ..._jobs.rows import Row
from ..._text.escaping import plain
from ...errors import ConfigurationError

_READ_FOR = 0.5
"""Seconds in which the encoding of an input is checked; what is not read by then is checked row by row."""


@dataclass(frozen=True, slots=True)
class ColumnsNeeded:
    """Columns that the options of a command name."""

    by_option: Mapping[str, str | None] = field(default_factory=dict)
    """By the option that names one; None: it names none."""
    prompt: tuple[str, ...] | None = None
    """Columns of a template; empty if it names none, None if there is no template."""

    @classmethod
    def of_prompt(cls, prompt: str) -> ColumnsNeeded:
        """Return those of a template."""
        return cls(prompt=tuple(fields_of(prompt)))


NO_COLUMNS_NEEDED = ColumnsNeeded()


def check_encoding(path: Path, options: TextOptions) -> None:
    """Raise ConfigurationError, with the place, for a text that is not of its encoding."""
    with open_text(path, options) as file:
        lines = Lines(file)
        _read_to_problem(lines, monotonic() + _READ_FOR)
        if lines.problem is not None:
            raise ConfigurationError(f"input={str(path)!r}, line {lines.count}: {plain(lines.problem)}")


def _read_to_problem(lines: Lines, ends: float) -> None:
    """Read up to the first line that is not of the encoding, to the end, or until *ends* (monotonic)."""
    while lines.problem is None and monotonic() < ends:
        try:
            if next(lines, None) is None:
                return
        except ValueError:
            continue  # a line that cannot be read is one invalid row


def check_rows(
    path: Path, rows: Iterator[Row], needs: ColumnsNeeded, prefix: str | None, *, uniform: bool
) -> bool:
    """Return whether there are rows; raise ConfigurationError if the first show that options do not fit them.

    *uniform*: all rows have the columns of the first.
    """
    first = list(islice(rows, FIRST_ROWS))
    where = f"input={str(path)!r}"
    if not first:
        return False
    columns = list(dict.fromkeys(name for row in first for name in row.columns))
    ended = len(first) < FIRST_ROWS
    if columns:
        _check_columns(where, columns, needs, final=uniform or ended)
    if ended and all(row.request is None for row in first):
        raise ConfigurationError(
            f"{where}: none of its {len(first)} rows can be sent; {plain(str(first[0].problem))}"
        )
    if prefix is not None and (taken := clashes(columns, prefix)):
        raise ConfigurationError(
            f"prefix={prefix!r}: the input has a column {taken[0]!r}; choose another prefix"
        )
    return True


def _check_columns(where: str, columns: list[str], needs: ColumnsNeeded, *, final: bool) -> None:
    """Check columns that options name; those of the first rows may not be all, unless *final*."""
    names = ", ".join(map(repr, columns))
    if needs.prompt == ():
        raise ConfigurationError(
            f"the prompt names no column, so that all rows would ask the same; {where} has {names}: write "
            f"for instance --prompt '… {{{columns[0]}}}'"
        )
    wanted = [("--prompt", name) for name in needs.prompt or ()] + [*needs.by_option.items()]
    for option, name in wanted:
        if final and name is not None and name not in columns:
            raise ConfigurationError(f"{option} names the column {name!r}; {where} has {names}")
