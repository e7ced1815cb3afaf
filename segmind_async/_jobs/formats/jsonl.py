"""JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic_core import from_json

from .text import BadLineError, Found, Lines, open_text


@contextmanager
def open_jsonl(path: Path) -> Iterator[Found]:
    """Read one JSON object from each line that is not blank."""
    with open_text(path) as file:
        yield _rows(Lines(file))


def _rows(lines: Lines) -> Found:
    while True:
        lines.taken = 0
        try:
            text = next(lines, None)
        except BadLineError as error:
            yield lines.count, str(error)
            continue
        if text is None:
            return
        if text.strip():
            yield lines.count, _object(text)


def _object(text: str) -> dict[str, object] | str:
    try:
        value = from_json(text)
    except ValueError as error:
        return f"not JSON: {error}"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"
