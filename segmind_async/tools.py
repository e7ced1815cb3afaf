"""Describe typed functions as tools: name, description, and a JSON schema of the arguments.

Reads signatures, and validates a call's arguments against them. The providers' forms of tools are in
`_providers`; nothing here runs a function.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import from_json, to_json

from ._structured.docstrings import parameters_of, summary_of
from ._structured.restore import DuplicateKeyError, is_rewritten, restored
from .errors import InvalidRequestError
from .models import JsonObject

# The strictest of the providers' rules: Gemini's names begin with a letter or underscore.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)

_NO_ARGUMENTS = {"", "null"}
"""Arguments that models send, besides `{}`, for a function without parameters."""

_MAX_ERRORS = 5
"""Mistakes in one call's arguments that the message lists."""


class BadArgumentsError(ValueError):
    """The arguments a model sent do not fit the function; the message is written for the model."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call; see `tool()`."""

    name: str
    description: str
    parameters: JsonObject
    """JSON schema of its arguments, an object."""
    function: Callable[..., object] = field(repr=False)
    model: type[BaseModel] = field(repr=False, compare=False)
    """The same schema as a pydantic model; its fields have the parameters' names as aliases."""

    def arguments(self, text: str) -> dict[str, object]:
        """Parse and validate a call's JSON text; raises BadArgumentsError."""
        text = "{}" if text.strip() in _NO_ARGUMENTS else text
        try:
            given = self.model.model_validate_json(self._own_form(text))
        except ValidationError as error:
            raise BadArgumentsError(_problems_in(error)) from error
        except DuplicateKeyError as error:
            raise BadArgumentsError(str(error)) from error
        return self.given_arguments(given)

    def _own_form(self, text: str) -> str | bytes:
        """Return arguments with dicts and tuples in their own form, which not every provider takes."""
        if not is_rewritten(self.parameters):
            return text
        try:
            value = from_json(text)
        except ValueError:
            return text  # validation reports the problem
        return to_json(restored(value, dict(self.parameters)))

    def given_arguments(self, given: BaseModel) -> dict[str, object]:
        """Return the arguments that *given* sets; the function's own defaults apply to the others."""
        names = {name: info.alias or name for name, info in self.model.model_fields.items()}
        return {names[name]: getattr(given, name) for name in names if name in given.model_fields_set}


AnyTool: TypeAlias = Callable[..., object] | Tool | JsonObject
"""A function, a `Tool` made by `tool()`, or a description in OpenAI's or the provider's own form."""

Tools: TypeAlias = Iterable[AnyTool]
"""Tools as users pass them in."""

Functions: TypeAlias = Iterable[Callable[..., object] | Tool]
"""Tools that can be run."""


def tool(function: Callable[..., object], *, name: str | None = None, description: str | None = None) -> Tool:
    """Return a tool made of a function, sync or async, whose parameters all have annotations.

    *name* and *description* default to the function's name and the first paragraph of its docstring. The
    docstring's descriptions of parameters (Google's, NumPy's or Sphinx's form) become part of the schema.
    Functions may be passed directly wherever a tool is taken; `tool()` is for another name, and for building
    the schema once for very many calls.

    Raises InvalidRequestError for functions that cannot be described: `*args`, a parameter without
    annotation, a type without a JSON schema.
    """
    inner = _unwrapped(function)
    tool_name = name or str(getattr(inner, "__name__", type(inner).__name__))
    if not _NAME.fullmatch(tool_name):
        raise InvalidRequestError(
            f"a tool cannot be named {tool_name!r}: 64 letters, digits, '_' and '-' at most; "
            "use tool(function, name=…)"
        )
    docstring = _docstring_of(inner)
    model = _model_of(tool_name, _signature(tool_name, function), parameters_of(docstring))
    try:
        schema = model.model_json_schema(schema_generator=_WithoutTitles)
    except PydanticInvalidForJsonSchema as error:
        raise InvalidRequestError(
            f"tool {tool_name!r} has a parameter without a JSON schema: {error.message}"
        ) from error
    for repeated in ("title", "description"):
        schema.pop(repeated, None)
    schema.setdefault("properties", {})
    return Tool(tool_name, description or summary_of(docstring), schema, function, model)


def as_tools(given: Tools) -> list[Tool | JsonObject]:
    """Turn functions into tools, and pass descriptions on.

    Raises InvalidRequestError for anything else, for functions that cannot be described, and for equal names.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidRequestError(f"tools is a {type(given).__name__}; give a list of functions")
    found: list[Tool | JsonObject] = []
    names: set[str] = set()
    for one in given:
        if not isinstance(one, Tool | Mapping) and not callable(one):
            raise InvalidRequestError(f"a tool is a {type(one).__name__}; give a function")
        made = one if isinstance(one, Tool | Mapping) else tool(one)
        name = made.name if isinstance(made, Tool) else name_in(made)
        if name in names:
            raise InvalidRequestError(f"two tools are named {name!r}; use tool(function, name=…)")
        if name is not None:
            names.add(name)
        found.append(made)
    return found


def runnable(given: Tools) -> list[Tool]:
    """Turn functions into tools that can be run; raises InvalidRequestError, also for descriptions."""
    found = as_tools(given)
    for one in found:
        if not isinstance(one, Tool):
            raise InvalidRequestError(
                f"an agent cannot run {name_in(one)!r}, which is only a description; give the function"
            )
    return [one for one in found if isinstance(one, Tool)]


def name_in(description: JsonObject) -> str | None:
    """Return the name in a description by hand; None for a provider's built-in tool."""
    function = description.get("function", description)
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling *function* returns an awaitable."""
    function = _unwrapped(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # tests whether it is async, not whether it is callable
    )


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name: every call would pay for their tokens."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _unwrapped(function: Callable[..., object]) -> Callable[..., object]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _docstring_of(function: Callable[..., object]) -> str | None:
    if inspect.isroutine(function) or inspect.isclass(function):
        return function.__doc__
    return type(function).__call__.__doc__ or type(function).__doc__


def _signature(name: str, function: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, SyntaxError) as error:
        raise InvalidRequestError(
            f"tool {name!r} has an annotation that cannot be resolved ({error}); use names of its module"
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"tool {name!r} has no signature: {error}") from error


def _model_of(name: str, signature: inspect.Signature, descriptions: Mapping[str, str]) -> type[BaseModel]:
    """Return a model of the arguments. Its fields are numbered: any name may be a parameter's."""
    fields = {
        f"p{number}": _field(name, parameter, descriptions.get(parameter.name))
        for number, parameter in enumerate(signature.parameters.values())
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        return create_model(name, __config__=config, **fields)  # type: ignore[call-overload, no-any-return]  # made at run time
    except PydanticUserError as error:
        raise InvalidRequestError(
            f"tool {name!r} has a parameter that JSON cannot carry: {error.message}"
        ) from error


def _field(name: str, parameter: inspect.Parameter, description: str | None) -> tuple[object, object]:
    place = f"parameter {parameter.name!r} of tool {name!r}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise InvalidRequestError(
            f"{place} is {parameter.kind.description}; a model can fill only parameters with names"
        )
    if parameter.annotation is parameter.empty:
        raise InvalidRequestError(
            f"{place} has no annotation; say what it takes, as in {parameter.name}: str"
        )
    annotation = parameter.annotation
    if description and not _is_described(annotation):
        annotation = Annotated[annotation, Field(description=description)]
    default = parameter.default
    if default is parameter.empty:
        return annotation, Field(alias=parameter.name)
    if isinstance(default, str | int | None) or (isinstance(default, float) and math.isfinite(default)):
        return annotation, Field(default, alias=parameter.name)
    # Not a JSON value, so it is left out of the schema; the function applies it itself.
    return annotation, Field(default_factory=lambda: default, alias=parameter.name)


def _is_described(annotation: object) -> bool:
    if get_origin(annotation) is not Annotated:
        return False
    return any(isinstance(one, FieldInfo) and one.description for one in get_args(annotation)[1:])


def _problems_in(error: ValidationError) -> str:
    """Return what is wrong with the arguments, in words for the model."""
    mistakes = error.errors(include_url=False, include_context=False)
    lines = [
        f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}, got {one['input']!r:.100}"
        for one in mistakes[:_MAX_ERRORS]
    ]
    more = len(mistakes) - len(lines)
    return "; ".join([*lines, f"and {more} more"] if more else lines)
