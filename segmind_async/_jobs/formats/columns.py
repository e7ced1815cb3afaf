"""Columns of a table: names, and types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from pydantic_core import to_json

from ...errors import ConfigurationError


class ColumnType(StrEnum):
    """Type of the values of a column; every column may also hold None."""

    TEXT = "text"
    COUNT = "count"
    """Whole numbers."""
    NUMBER = "number"
    AMOUNT = "amount"
    """Credits, exact."""
    FLAG = "flag"
    ANY = "any"
    """Values of several types, as rows of an input have them: texts as they are, others as JSON."""
    JSON = "json"
    """Any JSON value, of another shape in each row."""


Columns: TypeAlias = Mapping[str, "ColumnType | Mapping[str, ColumnType]"]
"""Columns by name, in order; a mapping stands for a column with named parts."""


def checked_names(names: list[str], table: str) -> list[str]:
    """Return *names*; raises ConfigurationError if two columns have one name."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{table} has two columns named {twice!r}; rename one of them")
    return names


def as_json(value: object) -> bytes:
    """Return a value of a row as JSON, whatever it is: bytes in base64, NaN as null, other types as text."""
    return to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=str)
