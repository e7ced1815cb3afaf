"""Read fields of an answer whose types are not guaranteed: a value of another type counts as missing."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import to_json

from .._wire.json import UnreadableError, shortened
from ..models import JsonDict


def first_object(value: object, name: str) -> JsonDict:
    """Return the first object of a list; raises UnreadableError naming the field if there is none."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    raise UnreadableError(f"{name} holds no answer: {shortened(value)}")


def object_in(value: object) -> JsonDict:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[JsonDict]:
    """Return the objects of a list, or an empty list."""
    return [item for item in value if isinstance(item, dict)] if value and isinstance(value, list) else []


def string_in(value: object) -> str | None:
    """Return a string, or None."""
    return value if isinstance(value, str) else None


def count_in(value: object) -> int | None:
    """Return an integer from 0 to 10¹², or None: more tokens than that are a damaged number."""
    # The exact type: a bool is an int too.
    return value if type(value) is int and 0 <= value <= 10**12 else None


def joined_text(parts: Iterable[JsonDict]) -> str:
    """Join the texts of content parts."""
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def arguments_text(value: object) -> str:
    """Return a tool call's arguments as JSON text: OpenAI sends text, the others an object."""
    return value if isinstance(value, str) else to_json(value).decode()
