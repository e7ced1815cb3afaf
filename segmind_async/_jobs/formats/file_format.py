"""File formats of inputs and outputs, told apart by file name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """A file format for tables."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def format_of(path: Path) -> Format:
    """Return the format that a file name stands for, with or without `.gz`; JSON lines for unknown names."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return Format.CSV
    return Format.PARQUET if name.endswith((".parquet", ".pq")) else Format.JSONL
