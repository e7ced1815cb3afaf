"""A few labelled rows that a model is shown before it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic_core import to_json

from ..errors import ConfigurationError
from .classify import Labels
from .rows import column, open_rows

Examples: TypeAlias = Sequence[tuple[str, str]]
"""Texts, each with the label that is right for it."""


def read_examples(path: Path, labels: Labels, text_column: str, label_column: str) -> Examples:
    """Read examples from a file of any form that rows may have.

    Raises ConfigurationError naming the line that has no text or none of *labels*: a wrong example would be
    paid for with every row.
    """
    examples = []
    with open_rows(path, column(text_column)) as rows:
        for row in rows:
            where, told = f"examples={str(path)!r}, {row.unit} {row.line}", row.columns.get(label_column)
            if row.request is None:
                raise ConfigurationError(f"examples={str(path)!r}, {row.problem}")
            label = labels.find(told) if isinstance(told, str) else None
            if label is None:
                names = ", ".join(labels.names)
                raise ConfigurationError(f"{where}: {told!r} in column {label_column!r} is none of {names}")
            examples.append((str(row.columns[text_column]), label))
    if not examples:
        raise ConfigurationError(f"examples={str(path)!r} has no rows; leave it out to show none")
    return examples


def fingerprint(examples: Examples) -> str | None:
    """Return what tells these examples from others, for a job's settings; None of none."""
    if not examples:
        return None
    digest = hashlib.sha256(to_json(list(examples))).hexdigest()
    return f"{len(examples)} rows, {digest[:16]}"
