"""Read the JSON object in a response body, and say why where there is none."""

from __future__ import annotations

import json

from pydantic_core import from_json

_BOM = b"\xef\xbb\xbf"


class UnreadableError(ValueError):
    """The bytes are no answer of any known shape; the message says why."""


def read_object(body: bytes) -> dict[str, object]:
    """Read one JSON object, or raise UnreadableError."""
    try:
        value = from_json(body)
    except ValueError as error:
        value = _read_with_care(body, error)
    if not isinstance(value, dict):
        raise UnreadableError(f"JSON, but no object: {shortened(value)}")
    return value


def _read_with_care(body: bytes, error: ValueError) -> object:
    if not body.strip(_BOM + b" \t\r\n"):
        raise UnreadableError("an empty body") from error
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
        try:
            return from_json(body)
        except ValueError as later:
            error = later
    return _with_half_characters(body, error)


def _with_half_characters(body: bytes, error: ValueError) -> object:
    """Read JSON in which an escape stands for half a character, as a cut in mid-emoji leaves it.

    Such an answer was paid for and is whole but for that character, which becomes U+FFFD.
    """
    if b"\\ud" not in body.lower():
        raise UnreadableError(f"no JSON ({error}): {shortened(body[:80])}") from error
    try:
        return _mended(json.loads(body))
    except (ValueError, RecursionError) as second:
        raise UnreadableError(f"no JSON ({error}): {shortened(body[:80])}") from second


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value


def shortened(value: object) -> str:
    """Return *value* as text for a message, 200 characters at most."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
