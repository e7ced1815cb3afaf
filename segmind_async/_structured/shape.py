"""The shape an answer must have: a type, its strict JSON schema, and how an answer is read by it.

It knows types and text; how a provider is asked, and what follows an answer that does not fit, it does not.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import ErrorDetails as Flaw
from pydantic_core import from_json, to_json

from ..errors import InvalidRequestError
from ..models import JsonObject
from .json_text import only_value
from .strict_schema import Schema, strict

T = TypeVar("T")

_UNNAMED = "answer"
_WRAPPER = "value"
"""The property that holds an answer which is no object: the providers take objects alone."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64

_MOST_FLAWS = 10
"""Flaws that are named to the model: the first ones usually explain the rest."""
_LONGEST_INPUT = 80


class ShapeMismatchError(ValueError):
    """An answer does not have its shape; the message says where, in words made for the model."""


class Shape(Generic[T]):
    """What an answer must look like; make it with `shape_of`.

    `schema` is strict and always describes an object: a type that is none (a list, an enum, a union)
    stands in a property of it. `name` is fit for a provider. Neither may be changed.
    """

    __slots__ = ("_adapter", "_wraps", "name", "response_format", "schema")

    def __init__(self, adapter: TypeAdapter[T], described: Schema) -> None:
        self._adapter = adapter
        title = described.get("title")
        named = _NOT_IN_NAMES.sub("_", title)[:_LONGEST_NAME] if isinstance(title, str) else ""
        self.name = named.strip("_") or _UNNAMED
        made = strict(described)
        self._wraps = made.get("type") != "object"
        self.schema: JsonObject = _wrapped(made) if self._wraps else made
        self.response_format: JsonObject = {
            "type": "json_schema",
            "json_schema": {"name": self.name, "strict": True, "schema": self.schema},
        }

    def __repr__(self) -> str:
        return f"Shape({self.name!r})"

    def read(self, text: str) -> T:
        """Return the value that a model's words stand for.

        A code fence, or prose, around exactly one JSON value is tolerated. Raises ShapeMismatchError for what
        does not fit, and whatever the type's own validators raise beyond ValueError.
        """
        text = text.strip().removeprefix("\ufeff")
        try:
            return self._validated(text)
        except ValidationError as error:
            flaws = error.errors(include_url=False, include_context=False)
        if flaws[0]["type"] == "json_invalid":
            found = only_value(text)
            if found is None:
                raise ShapeMismatchError(f"it is not one JSON value ({flaws[0]['msg']})")
            try:
                return self._validated(found)
            except ValidationError as error:
                flaws = error.errors(include_url=False, include_context=False)
        raise ShapeMismatchError(_told(flaws))

    def write(self, value: T) -> str:
        """Return a value as JSON."""
        return self._adapter.dump_json(value).decode()

    def _validated(self, text: str) -> T:
        return self._adapter.validate_json(self._unwrapped(text) if self._wraps else text)

    def _unwrapped(self, text: str) -> str | bytes:
        """Take an answer out of the object around it; one that comes without is as good."""
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError:
            return text  # its validation says what is wrong with it
        if isinstance(value, dict) and value.keys() == {_WRAPPER}:
            return to_json(value[_WRAPPER])
        return text


def shape_of(kind: object) -> Shape[Any]:
    """Return the shape of a type, or of a `TypeAdapter`; the same one each time.

    Takes whatever pydantic can validate: a model, dataclass, TypedDict, enum, Literal, union, list, plain
    type. Raises InvalidRequestError for what the providers cannot be asked for, naming the place.
    """
    try:
        hash(kind)
    except TypeError:
        return _made(kind)
    return _shape_of_hashable(kind)


@lru_cache(maxsize=256)
def _shape_of_hashable(kind: Hashable) -> Shape[Any]:
    return _made(kind)


def _made(kind: object) -> Shape[Any]:
    try:
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(cast("Any", kind))
        described = adapter.json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = error.message.partition("\n")[0]
        raise InvalidRequestError(f"the type {kind!r} cannot be described: {reason}") from error
    return Shape(adapter, described)


def _wrapped(schema: Schema) -> Schema:
    definitions = schema.pop("$defs", None)
    wrapped: Schema = {
        "type": "object",
        "properties": {_WRAPPER: schema},
        "required": [_WRAPPER],
        "additionalProperties": False,
    }
    return wrapped if definitions is None else {"$defs": definitions, **wrapped}


def _told(flaws: list[Flaw]) -> str:
    told = [_flaw(flaw) for flaw in flaws[:_MOST_FLAWS]]
    if len(flaws) > _MOST_FLAWS:
        told.append(f"and {len(flaws) - _MOST_FLAWS} more")
    return "; ".join(told)


def _flaw(flaw: Flaw) -> str:
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in flaw["loc"])
    given = repr(flaw["input"])
    shown = given if len(given) <= _LONGEST_INPUT else f"{given[: _LONGEST_INPUT - 1]}…"
    return f"{place.lstrip('.') or 'the answer'}: {flaw['msg']}, got {shown}"
