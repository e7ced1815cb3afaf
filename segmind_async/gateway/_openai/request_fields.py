"""What bodies in OpenAI's form share: reading, types of fields, tools, the trace. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from ..._wire.json import UnreadableError, read_object
from ...errors import InvalidRequestError
from ...models import JsonDict
from ...tools import as_tools, name_in
from .._errors import GatewayError, invalid

T = TypeVar("T")
R = TypeVar("R")

Fields: TypeAlias = dict[str, Any]
"""Fields of an object whose types have been checked, or are next."""

FieldTypes = Mapping[str, tuple[Callable[[object], bool], str]]
"""Known fields: whether a value fits, and what it must be, in words."""


def read_body(body: bytes) -> JsonDict:
    """Read a JSON object, fields that are null left out: to OpenAI's SDKs they mean the default."""
    try:
        fields = read_object(body)
    except UnreadableError as error:
        raise invalid(f"the body is not a JSON object: {error}") from error
    return {name: value for name, value in fields.items() if value is not None}


def checked(param: str, check: Callable[[T], R], value: T) -> R:
    """Return `check(value)`; a refusal becomes an error that names *param*."""
    try:
        return check(value)
    except InvalidRequestError as error:
        raise invalid(error.message, param) from error


def check_types(fields: JsonDict, types: FieldTypes) -> None:
    """Raise a 400 for the first known field of a wrong type."""
    for name, value in fields.items():
        known = types.get(name)
        if known is not None and not known[0](value):
            raise invalid(f"'{name}' must be {known[1]}, not {value!r:.80}", name, "invalid_type")


def check_tools(tools: object) -> None:
    """Raise a 400 unless each tool is an object with, if it is a function, a name of its own."""
    rows = tools if isinstance(tools, list) else []
    for index, one in enumerate(rows):
        if not isinstance(one, dict):
            raise invalid(f"'tools[{index}]' must be an object, not {one!r:.80}", "tools", "invalid_type")
        if one.get("type") == "function" and name_in(one) is None:
            raise invalid(f"'tools[{index}].function.name' must be a string", "tools")
    checked("tools", as_tools, rows)


def trace_of(fields: JsonDict) -> str:
    """Return the trace that `user` and `metadata` make; empty without them."""
    metadata = fields.get("metadata")
    named = sorted(metadata.items()) if isinstance(metadata, dict) else []
    user = fields.get("user")
    return "/".join([*([str(user)] if user else []), *(f"{name}={value}" for name, value in named)])


def unsupported(param: str, reason: str) -> GatewayError:
    """Return the error of a field that OpenAI takes, and this gateway does not."""
    return invalid(f"'{param}' is not supported here: {reason}", param, "unsupported_parameter")


def is_text(value: object) -> bool:
    """Return whether *value* is text."""
    return isinstance(value, str)


def is_bool(value: object) -> bool:
    """Return whether *value* is true or false."""
    return isinstance(value, bool)


def is_count(value: object) -> bool:
    """Return whether *value* is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_whole(value: object) -> bool:
    """Return whether *value* is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether *value* is a finite number."""
    # Neither NaN nor infinity, which Python's JSON parser accepts.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def is_object(value: object) -> bool:
    """Return whether *value* is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> bool:
    """Return whether *value* is a list."""
    return isinstance(value, list)


def is_stop(value: object) -> bool:
    """Return whether *value* is a text or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def is_choice(value: object) -> bool:
    """Return whether *value* is a text or an object."""
    return isinstance(value, str | dict)
