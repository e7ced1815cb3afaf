"""JSON lines: one object a line; also one JSON array of objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic_core import from_json

from ...errors import ConfigurationError
from .text import AS_FOUND, DAMAGE, BadLineError, Found, Lines, TextOptions, open_text

_START = 1024
"""Characters within which an array begins."""

MAX_ARRAY = 512 * 1024 * 1024
"""Characters of a JSON array, which is read at once."""


@contextmanager
def open_jsonl(path: Path, options: TextOptions = AS_FOUND) -> Iterator[Found]:
    """Read one JSON object from each line that is not blank; or the objects of one JSON array.

    Raises ConfigurationError for an array that cannot be read, or is too large to be read at once.
    """
    if is_array(path, options):
        yield _elements(path, options)
        return
    with open_text(path, options) as file:
        yield _rows(Lines(file))


def is_array(path: Path, options: TextOptions = AS_FOUND) -> bool:
    """Return whether a file holds a JSON array: whether it begins with a bracket."""
    with open_text(path, options) as file, suppress(*DAMAGE, UnicodeError):
        return file.read(_START).lstrip("\ufeff \t\r\n").startswith("[")
    return False


def _elements(path: Path, options: TextOptions) -> Found:
    for number, value in enumerate(read_array(path, options), 1):
        yield number, value if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"


def read_array(path: Path, options: TextOptions = AS_FOUND) -> list[object]:
    """Return the elements of a JSON array; raises ConfigurationError, as `open_jsonl`."""
    with open_text(path, options) as file:
        text = file.read(MAX_ARRAY + 1)
    if len(text) > MAX_ARRAY:
        raise ConfigurationError(
            f"{str(path)!r} is a JSON array of more than {MAX_ARRAY} characters; write one object a line "
            "(jq -c '.[]')"
        )
    try:
        value = from_json(text)
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} begins as a JSON array and is none: {error}") from error
    except TypeError:
        # Of a text with bytes that could not be decoded.
        raise ConfigurationError(
            f"{str(path)!r} is a JSON array with bytes that are not of its encoding; name that with encoding="
        ) from None
    assert isinstance(value, list)
    return value


def _rows(lines: Lines) -> Found:
    while True:
        lines.begin_row()
        try:
            text = next(lines, None)
        except BadLineError as error:
            yield lines.count, str(error)
            continue
        if text is None:
            return
        if text.strip():
            yield lines.count, lines.problem or _object(text)


def _object(text: str) -> dict[str, object] | str:
    try:
        value = from_json(text)
    except ValueError as error:
        return f"not JSON: {error}"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"
