"""The columns of an output: those of the input, and the results beside them. Pure: no IO, no waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from .columns import Columns, ColumnType
from .output import RESULT_COLUMNS
from .parsed_columns import fitting

CLASH_PREFIX = "result"
"""What stands before the name of a result that a column of the input has already."""

_LARGEST_COUNT = 2**63


class InputColumns:
    """Names and types of the columns of an input, gathered from its rows."""

    def __init__(self) -> None:
        self._types: dict[str, ColumnType | None] = {}

    def __repr__(self) -> str:
        return f"InputColumns({self._types})"

    def add(self, row: Mapping[str, object]) -> None:
        """Take in a row."""
        for name, value in row.items():
            self._types[name] = _either(self._types.get(name), _type_of(value))

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Their types by name, in the order of their first rows; a column without any value is text."""
        return {name: column_type or ColumnType.TEXT for name, column_type in self._types.items()}


def _type_of(value: object) -> ColumnType | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return ColumnType.FLAG
    if isinstance(value, int):
        return ColumnType.COUNT if abs(value) < _LARGEST_COUNT else ColumnType.ANY
    if isinstance(value, float):
        return ColumnType.NUMBER
    return ColumnType.TEXT if isinstance(value, str) else ColumnType.ANY


def _either(one: ColumnType | None, other: ColumnType | None) -> ColumnType | None:
    """Return the type that holds values of both types."""
    if one is other or other is None:
        return one
    if one is None:
        return other
    return ColumnType.NUMBER if {one, other} == {ColumnType.COUNT, ColumnType.NUMBER} else ColumnType.ANY


@dataclass(frozen=True, slots=True)
class Layout:
    """Where input and results stand in a row of the output."""

    columns: Columns
    """All columns, in order."""
    inputs: tuple[str, ...]
    """Names of the columns of the input."""
    names: Mapping[str, str]
    """Columns of the results, by the names of the results."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Columns of the fields of a parsed answer, by the names of the fields."""

    def row(self, given: Mapping[str, object], result: Mapping[str, object]) -> dict[str, object]:
        """Return a row of the output."""
        row = {name: given.get(name) for name in self.inputs}
        if "id" in row and row["id"] in (None, ""):
            row["id"] = result.get("id")
        row.update({name: result.get(key) for key, name in self.names.items()})
        parsed = result.get("parsed")
        if isinstance(parsed, Mapping):
            row.update(
                {name: fitting(self.columns[name], parsed.get(key)) for key, name in self.fields.items()}
            )
        return row


def layout(
    inputs: Mapping[str, ColumnType], prefix: str | None = None, fields: Columns | None = None
) -> Layout:
    """Return the layout of an output beside *inputs*.

    All results have the *prefix*. Without one a result keeps its name, unless the input has a column of that
    name: then it has the prefix `result_`, or `result2_` and so on where that is taken too. The id of a row
    stands there once, and is the number of the row where the input has none.

    The *fields* of a structured answer stand in place of the column `parsed`, with the same prefix as the
    results; one whose name is taken has `parsed_` before it.
    """
    results = [name for name in RESULT_COLUMNS if not (fields and name == "parsed")]
    if prefix is None:
        results = [name for name in results if name != "id" or "id" not in inputs]
        clashing = [name for name in results if name in inputs]
        free = _first_free(CLASH_PREFIX, clashing, inputs)
        names = {name: free + name if name in clashing else name for name in results}
    else:
        stem = prefix if not clashes(inputs, prefix) else _first_free(prefix, RESULT_COLUMNS, inputs)
        names = {name: stem + name for name in results}
    columns = {**inputs, **{name: RESULT_COLUMNS[key] for key, name in names.items()}}
    placed = _field_names(fields or {}, prefix or "", columns)
    columns.update({name: (fields or {})[key] for key, name in placed.items()})
    return Layout(columns, tuple(inputs), names, placed)


def _field_names(fields: Iterable[str], prefix: str, taken: Iterable[str]) -> dict[str, str]:
    """Return a free name of a column for each of *fields*."""
    wanted = {key: prefix + key for key in fields}
    clashing = [key for key, name in wanted.items() if name in set(taken)]
    if not clashing:
        return wanted
    free = _first_free(prefix + "parsed", wanted, {*taken, *wanted.values()})
    return {key: free + key if key in clashing else name for key, name in wanted.items()}


def clashes(inputs: Iterable[str], prefix: str) -> list[str]:
    """Return the results that have the name of a column of the input although they have the *prefix*."""
    return [prefix + name for name in RESULT_COLUMNS if prefix + name in set(inputs)]


def _first_free(stem: str, names: Iterable[str], taken: Iterable[str]) -> str:
    """Return *stem* with the first number under which none of *names* is *taken*."""
    stem, there = stem.rstrip("_"), set(taken)
    prefixes = (f"{stem}{number if number > 1 else ''}_" for number in count(1))
    return next(prefix for prefix in prefixes if not any(prefix + name in there for name in names))
