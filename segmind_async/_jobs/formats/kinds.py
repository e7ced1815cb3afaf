"""Which form a file has, by its name; and what the columns of a table hold."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from ...errors import ConfigurationError


class Format(StrEnum):
    """A form of tables on disk."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Kind(StrEnum):
    """What a column holds; every column may also hold None."""

    TEXT = "text"
    COUNT = "count"
    """Whole numbers."""
    NUMBER = "number"
    AMOUNT = "amount"
    """Credits, exact."""
    FLAG = "flag"
    JSON = "json"
    """Anything, with another shape in each row."""


Columns: TypeAlias = Mapping[str, "Kind | Mapping[str, Kind]"]
"""Columns by name, in order; a mapping stands for a column with named parts."""


def format_of(path: Path) -> Format:
    """Return the form that a file's name says, with or without `.gz`; JSON lines for any other name."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return Format.CSV
    return Format.PARQUET if name.endswith((".parquet", ".pq")) else Format.JSONL


def checked_names(names: list[str], table: str) -> list[str]:
    """Refuse a table in which a name could mean either of two columns."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{table} has two columns named {twice!r}; rename one of them")
    return names
