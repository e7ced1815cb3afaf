"""Data frames as the rows of a job, and its results beside them; needs the extra `dataframe`.

pandas, polars, pyarrow and what else narwhals supports: the result is a frame of the same library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from ..._text.error_text import class_and_message
from ...errors import ConfigurationError
from ...models import JsonObject, Outcome
from .columns import ColumnType
from .layout import CLASH_PREFIX

Frame = TypeVar("Frame")


COLUMNS: Mapping[str, ColumnType] = {
    "status": ColumnType.TEXT,
    "text": ColumnType.TEXT,
    "label": ColumnType.TEXT,
    "parsed": ColumnType.JSON,
    "error": ColumnType.TEXT,
    "attempts": ColumnType.COUNT,
    "cost": ColumnType.AMOUNT,
    "input_tokens": ColumnType.COUNT,
    "output_tokens": ColumnType.COUNT,
    "elapsed": ColumnType.NUMBER,
}
"""Columns that `frame_of` adds; JSON is text, and a text as it is."""


def rows_of(frame: object) -> Iterator[dict[str, object]]:
    """Yield the rows of *frame*, in order; what it calls missing (null, NaN, NaT, NA) is None.

    Raises ConfigurationError for what is not a frame, for one whose rows are still to be computed, and for
    one with two columns of one name.
    """
    taken = _taken(frame)
    missing = taken.select(_narwhals().all().is_null())
    # The last argument bounds what is in memory twice.
    return map(_row, taken.iter_rows(named=True, buffer_size=512), missing.iter_rows(buffer_size=512))


def frame_of(results: Iterable[Outcome[Any] | JsonObject], like: Frame, prefix: str = "result_") -> Frame:
    """Return *like* with a column for each of COLUMNS, their names under *prefix*.

    *results* are outcomes or rows of an output, in any order: each stands where its index says. Rows
    without a result have None. pandas holds counts as floats and amounts as objects, having no integers
    and no decimals that may be missing.

    Raises ConfigurationError if a column of that name is there already, or an index is not.
    """
    taken = _taken(like)
    names = [prefix + name for name in COLUMNS]
    there = next((name for name in names if name in taken.columns), None)
    if there is not None:
        raise ConfigurationError(
            f"prefix={prefix!r}: the frame has a column {there!r}; choose another prefix"
        )
    columns: list[list[object]] = [[None] * len(taken) for _ in COLUMNS]
    for result in results:
        index, values = _flat(result)
        if not 0 <= index < len(taken):
            raise ConfigurationError(f"a result has index {index}, and the frame {len(taken)} rows")
        for column, column_type, value in zip(columns, COLUMNS.values(), values, strict=True):
            column[index] = _cell(column_type, value)
    joined: Frame = _with_columns(taken, dict(zip(names, columns, strict=True))).to_native()
    return joined


def cells_of(result: Outcome[Any] | JsonObject, prefix: str) -> dict[str, object]:
    """Return a value for each of COLUMNS, their names under *prefix*."""
    _, values = _flat(result)
    cells = map(_cell, COLUMNS.values(), values)
    return {prefix + name: cell for name, cell in zip(COLUMNS, cells, strict=True)}


def _narwhals() -> ModuleType:
    try:
        return import_module("narwhals.stable.v2")
    except ImportError as error:
        raise ConfigurationError(
            "data frames need narwhals: pip install 'segmind-async[dataframe]'"
        ) from error


def _taken(frame: object) -> Any:
    """Wrap a frame; raises for a lazy one: computed twice, its rows may differ in order."""
    nw = _narwhals()
    try:
        taken = nw.from_native(frame)
    except TypeError as error:
        raise ConfigurationError(
            f"a {type(frame).__name__} is not a data frame; give one of pandas, polars or pyarrow"
        ) from error
    except nw.exceptions.NarwhalsError as error:
        raise ConfigurationError(f"this frame will not do: {' '.join(str(error).split())}") from error
    if isinstance(taken, nw.LazyFrame):
        raise ConfigurationError(
            f"a {type(frame).__module__.split('.')[0]} {type(frame).__name__} is computed when it is read; "
            f"collect it first (collect(), arrow()), and give what that returns here and to frame_of"
        )
    return taken


def _row(columns: Mapping[str, object], missing: tuple[bool, ...]) -> dict[str, object]:
    return {
        str(name): None if gone else _plain(value)
        for (name, value), gone in zip(columns.items(), missing, strict=True)
    }


def _plain(value: Any) -> object:
    """Return Python's own number for one of numpy, which no JSON knows; a NaN is not a number at all."""
    value = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _flat(result: Outcome[Any] | JsonObject) -> tuple[int, list[object]]:
    """Return where a result belongs, and its values in the order of COLUMNS."""
    row = _of_outcome(result) if isinstance(result, Outcome) else result

    def value(name: str) -> object:
        # Of a row of an output that has a column of that name from its input.
        return row.get(f"{CLASH_PREFIX}_{name}", row.get(name))

    usage, index = value("usage"), value("index")
    tokens = usage if isinstance(usage, Mapping) else {}
    assert isinstance(index, int)
    return index, [tokens.get(name) if name.endswith("_tokens") else value(name) for name in COLUMNS]


def _of_outcome(outcome: Outcome[Any]) -> JsonObject:
    completion, error = outcome.completion, outcome.error
    row: dict[str, object] = {
        "index": outcome.index,
        "status": outcome.status,
        "text": outcome.text,
        "error": None if error is None else class_and_message(error),
        "attempts": outcome.attempts,
        "cost": outcome.cost,
    }
    if completion is not None:
        usage = completion.usage
        row["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        row["elapsed"] = completion.elapsed
        row["parsed"] = completion.parsed
    return row


def _cell(column_type: ColumnType, value: object) -> object:
    if value is None:
        return None
    if column_type is ColumnType.AMOUNT:
        return Decimal(str(value))
    if column_type is ColumnType.JSON:
        # A text (of a `Literal`, say) is what people filter by: without quotes.
        made = to_json(value).decode()
        return from_json(made) if made.startswith('"') else made
    return str(value) if column_type is ColumnType.TEXT else value


def _with_columns(taken: Any, columns: Mapping[str, list[object]]) -> Any:
    nw = _narwhals()
    pandas = taken.implementation.is_pandas_like()
    column_types = {
        ColumnType.TEXT: nw.String(),
        ColumnType.JSON: nw.String(),
        ColumnType.NUMBER: nw.Float64(),
        ColumnType.COUNT: nw.Float64() if pandas else nw.Int64(),
        ColumnType.AMOUNT: nw.Object() if pandas else nw.Decimal(38, 18),
    }
    made = [
        nw.new_series(name, values, column_types[column_type], backend=taken.implementation)
        for (name, values), column_type in zip(columns.items(), COLUMNS.values(), strict=True)
    ]
    return taken.with_columns(*made)
