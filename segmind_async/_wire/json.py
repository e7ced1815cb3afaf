"""Parse the JSON object of a response body, or give the reason why there is none."""

from __future__ import annotations

import json

from pydantic_core import from_json

from ..models import JsonDict

_BOM = b"\xef\xbb\xbf"


class UnreadableError(ValueError):
    """The bytes are not an answer of any known form; the message gives the reason."""


def read_object(body: bytes) -> JsonDict:
    """Parse one JSON object; raises UnreadableError."""
    try:
        value = from_json(body)
    except ValueError as error:
        value = _read_leniently(body, error)
    if not isinstance(value, dict):
        raise UnreadableError(f"JSON, but not an object: {shortened(value)}")
    return value


def _read_leniently(body: bytes, error: ValueError) -> object:
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
    """Parse JSON with an escape for half a character, as truncation inside an emoji leaves it.

    Such an answer was billed, and is whole but for that character, which becomes U+FFFD.
    """
    if b"\\ud" not in body.lower():
        raise UnreadableError(f"not JSON ({error}): {shortened(body[:80])}") from error
    try:
        return _repaired(json.loads(body))
    except (ValueError, RecursionError) as second:
        raise UnreadableError(f"not JSON ({error}): {shortened(body[:80])}") from second


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_repaired(item) for item in value]
    if isinstance(value, dict):
        return {_repaired(key): _repaired(item) for key, item in value.items()}
    return value


def shortened(value: object) -> str:
    """Return *value* as text for a message, at most 200 characters."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
