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


_BY_ENDING: Mapping[str, Format] = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
}


def format_of(path: Path) -> Format:
    """Return the format that a file name stands for, with or without `.gz`; JSON lines for unknown names."""
    return _BY_ENDING.get(_ending(path), Format.JSONL)


def is_known_name(path: Path) -> bool:
    """Return whether a file name says a format."""
    return _ending(path) in _BY_ENDING


def is_tab_separated(path: Path) -> bool:
    """Return whether a file name says that a table is separated by tabs."""
    return _ending(path) == ".tsv"


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


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


def why_not_read(path: Path) -> str | None:
    """Return what a file is that is not read, and the way out, by its name; None: it may be read."""
    return NOT_READ.get(_ending(path))


def check_input_name(path: Path) -> None:
    """Raise ConfigurationError for a file whose name says that it is of no format for rows."""
    if (found := why_not_read(path)) is not None:
        raise ConfigurationError(f"input={str(path)!r} is {found}")
