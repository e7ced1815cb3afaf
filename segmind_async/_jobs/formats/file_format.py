"""File formats of inputs and outputs, told apart by file name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from ...errors import ConfigurationError


class Format(StrEnum):
    """A file format for tables."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class OutputFormat(StrEnum):
    """A file format for results."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    OPENAI_BATCH = "openai-batch"
    """The lines of an output file of OpenAI's Batch API."""


def format_of(path: Path) -> Format:
    """Return the format that a file name stands for, with or without `.gz`; JSON lines for unknown names."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return Format.CSV
    return Format.PARQUET if name.endswith((".parquet", ".pq")) else Format.JSONL


NOT_READ: Mapping[str, str] = {
    ".xlsx": "a spreadsheet: save it as CSV (UTF-8)",
    ".xls": "a spreadsheet: save it as CSV (UTF-8)",
    ".ods": "a spreadsheet: save it as CSV (UTF-8)",
    ".txt": "plain text, which has no columns: give it a header and the name .csv, or say what it is with "
    "--input-format",
    ".pdf": "a document: extract its text into a column of a CSV file",
    ".docx": "a document: extract its text into a column of a CSV file",
    ".zip": "an archive: unpack it first",
}
"""Files that are not read, by the ends of their names: what they are, and the way out."""


def check_input_name(path: Path) -> None:
    """Raise ConfigurationError for a file whose name says that it is of no format for rows."""
    name = path.name.lower().removesuffix(".gz")
    found = next((why for end, why in NOT_READ.items() if name.endswith(end)), None)
    if found is not None:
        raise ConfigurationError(f"input={str(path)!r} is {found}")
