"""The shape of a structured answer: a type, its strict JSON schema, and the validation of an answer.

How a provider is asked for it is in `prompting`; the reaction to an invalid answer is in `_sending`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import ErrorDetails as Problem
from pydantic_core import from_json, to_json

from .._text.error_text import message_of
from ..errors import InvalidRequestError
from ..models import JsonDict, JsonObject
from .finite import endless
from .json_schema import adapter_of, normalised
from .json_text import only_value
from .restore import DuplicateKeyError, is_rewritten, restored
from .rules import SchemaRules
from .strict_schema import Schema, strict

T = TypeVar("T")

_DEFAULT_NAME = "answer"
_WRAPPER = "value"
"""The property that holds an answer of another type: the providers take only objects."""

_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME_LENGTH = 64

_MAX_PROBLEMS = 10
"""Problems that are named to the model: the first ones usually explain the rest."""
_MAX_INPUT_LENGTH = 80


class ShapeMismatchError(ValueError):
    """An answer does not have its shape; the message names the places, in words for the model."""


class Shape(Generic[T]):
    """The shape of an answer; made by `shape_of`.

    `schema` is strict and always describes an object: another type (a list, an enum, a union) is wrapped in
    one (`wraps`). `name` is valid for all providers. Neither may be changed.
    """

    __slots__ = ("_described", "_taken", "adapter", "name", "schema", "wraps")

    def __init__(self, adapter: TypeAdapter[T], described: Schema) -> None:
        self.adapter: TypeAdapter[T] = adapter
        title = described.get("title")
        named = _INVALID_IN_NAMES.sub("_", title)[:_MAX_NAME_LENGTH] if isinstance(title, str) else ""
        self.name: str = named.strip("_") or _DEFAULT_NAME
        self._described = described if is_rewritten(described) else None
        made = strict(described)
        if (name := endless(made)) is not None:
            raise InvalidRequestError(
                f"no value fits {name or self.name!r}: each must contain another; let that be null or a list"
            )
        self.wraps: bool = made.get("type") != "object"
        self.schema: JsonDict = _wrapped(made) if self.wraps else made
        self._taken: dict[SchemaRules, JsonDict] = {}

    def __repr__(self) -> str:
        return f"Shape({self.name!r})"

    def response_format(self, rules: SchemaRules) -> JsonObject:
        """Return the parameter `response_format` with the schema in the form that a provider takes."""
        taken = self._taken.get(rules)
        if taken is None:
            taken = self._taken[rules] = rules.taken(self.schema)
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": taken}}

    def read(self, text: str) -> T:
        """Parse and validate a model's text.

        A code fence, or prose, around exactly one JSON value is skipped. Raises ShapeMismatchError for an
        invalid answer, and errors of the type's own validators other than ValueError.
        """
        text = text.strip().removeprefix("\ufeff")
        try:
            return self._validated(text)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        if problems[0]["type"] == "json_invalid":
            found = only_value(text)
            if found is None:
                raise ShapeMismatchError(f"it is not one JSON value ({problems[0]['msg']})")
            try:
                return self._validated(found)
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False)
        raise ShapeMismatchError(_message(problems))

    def write(self, value: T) -> str:
        """Return a value as JSON."""
        return self.adapter.dump_json(value).decode()

    def _validated(self, text: str) -> T:
        return self.adapter.validate_json(self._own_form(text) if self.wraps or self._described else text)

    def _own_form(self, text: str) -> str | bytes:
        """Return the answer in the type's own form; one that the model did not wrap is accepted too."""
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError:
            return text  # validation reports the problem
        if self.wraps and isinstance(value, dict) and value.keys() == {_WRAPPER}:
            value = value[_WRAPPER]
        elif self._described is None:
            return text
        try:
            return to_json(value if self._described is None else restored(value, self._described))
        except DuplicateKeyError as error:
            raise ShapeMismatchError(str(error)) from error


def shape_of(answer_type: object) -> Shape[Any]:
    """Return the shape of a type, or of a `TypeAdapter`; cached.

    Takes any type that pydantic can validate: a model, dataclass, TypedDict, enum, Literal, union, list,
    dict, plain type; and a JSON schema as a dict, whose values are plain JSON. A shape is its own.
    Raises InvalidRequestError naming the place for a type that providers do not support.
    """
    if isinstance(answer_type, Shape):
        return answer_type
    if isinstance(answer_type, Mapping):
        return _shape_of_schema(to_json(normalised(answer_type)))
    try:
        hash(answer_type)
    except TypeError:
        return _build(answer_type)
    return _cached(answer_type)


@lru_cache(maxsize=256)
def _cached(answer_type: Hashable) -> Shape[Any]:
    return _build(answer_type)


def _build(answer_type: object) -> Shape[Any]:
    try:
        adapter = (
            answer_type if isinstance(answer_type, TypeAdapter) else TypeAdapter(cast("Any", answer_type))
        )
        described = adapter.json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = error.message.partition("\n")[0]
        raise InvalidRequestError(f"the type {answer_type!r} has no JSON schema: {reason}") from error
    except Exception as error:
        # A pattern that the engine does not take, annotations that contradict each other, code of the user.
        reason = (message_of(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise InvalidRequestError(f"the type {answer_type!r} cannot be validated: {reason}") from error
    return Shape(adapter, described)


@lru_cache(maxsize=256)
def _shape_of_schema(text: bytes) -> Shape[Any]:
    schema = from_json(text)
    strict(schema)  # names the place of what it refuses
    return Shape(adapter_of(schema), schema)


def _wrapped(schema: Schema) -> Schema:
    definitions = schema.pop("$defs", None)
    wrapped: Schema = {
        "type": "object",
        "properties": {_WRAPPER: schema},
        "required": [_WRAPPER],
        "additionalProperties": False,
    }
    return wrapped if definitions is None else {"$defs": definitions, **wrapped}


def _message(problems: list[Problem]) -> str:
    lines = [_line(problem) for problem in problems[:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        lines.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    return "; ".join(lines)


def _line(problem: Problem) -> str:
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])
    given = repr(problem["input"])
    shown = given if len(given) <= _MAX_INPUT_LENGTH else f"{given[: _MAX_INPUT_LENGTH - 1]}…"
    return f"{place.lstrip('.') or 'the answer'}: {problem['msg']}, got {shown}"
