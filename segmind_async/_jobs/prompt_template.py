"""Make a request of a row's columns: prompt template, one column alone, system prompt, parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import TypeAlias

from pydantic_core import to_json

from ..errors import ConfigurationError
from ..messages import assistant, system, user
from ..models import ChatRequest, JsonObject, Message

Columns: TypeAlias = Mapping[str, object]

MakeRequest: TypeAlias = Callable[[Columns], ChatRequest]
"""Makes a request of a row's columns; raises ValueError naming the missing column."""


def template(prompt: str) -> MakeRequest:
    """Fill `{column}`s of *prompt* from each row; raises ConfigurationError for a flawed template."""
    parts = _parts_of(prompt)

    def fill(columns: Columns) -> ChatRequest:
        return ChatRequest(
            "".join(text if name is None else f"{text}{_shown(name, columns)}" for text, name in parts)
        )

    return fill


def fields_of(prompt: str) -> list[str]:
    """Return the columns that a template names; raises ConfigurationError for a flawed one."""
    return [name for _, name in _parts_of(prompt) if name is not None]


def _parts_of(prompt: str) -> list[tuple[str, str | None]]:
    """Return the texts of a template, each with the column that follows it.

    A template holds names of columns and nothing else: attributes, conversions and formats would let a prompt
    reach into objects, or ask for a text of any length.
    """
    try:
        parsed = list(Formatter().parse(prompt))
    except ValueError as error:
        raise ConfigurationError(
            f"prompt={prompt!r}: {error}; write {{{{ and }}}} for plain braces"
        ) from error
    for _, name, form, conversion in parsed:
        if name is None:
            continue
        if not name or not name.replace("_", "").replace("-", "").replace(" ", "").isalnum():
            raise ConfigurationError(f"prompt={prompt!r} names {name!r}, which is not a plain column name")
        if form or conversion:
            raise ConfigurationError(
                f"prompt={prompt!r} gives {name!r} a format or conversion; write {{{name}}} alone, "
                "and {{ and }} for plain braces"
            )
    return [(text, name) for text, name, _, _ in parsed]


def _shown(name: str, columns: Columns) -> object:
    """Return the value for a template: lists and objects as JSON, others as they are."""
    value = columns.get(name)
    if value is None:
        if name in columns:
            raise ValueError(f"no value in column {name!r}")
        raise ValueError(f"no column {name!r} among {_names(columns)}")
    if isinstance(value, bytes):
        raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
            f"column {name!r} holds {len(value)} bytes that are not text"
        )
    return to_json(value).decode() if isinstance(value, list | dict) else value


def column(name: str) -> MakeRequest:
    """Send the text of one column as it is."""

    def take(columns: Columns) -> ChatRequest:
        text = columns.get(name)
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
                f"no text in column {name!r}, only {_names(columns)}"
            )
        return ChatRequest(text)

    return take


def with_instruction(
    instruction: str, make: MakeRequest, examples: Iterable[tuple[str, str]] = ()
) -> MakeRequest:
    """Add a system prompt, and examples of a question and its answer, to the requests of *make*."""
    turns = [turn for asked, answered in examples for turn in (user(asked), assistant(answered))]

    def prefixed(columns: Columns) -> ChatRequest:
        request = make(columns)
        messages = request.messages
        rest: list[Message] = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        )
        return ChatRequest.of([system(instruction), *turns, *rest], request.model, request.parameters)

    return prefixed


def with_parameters(parameters: JsonObject, make: MakeRequest) -> MakeRequest:
    """Add *parameters* to the requests of *make*; those of a row itself win."""

    def extended(columns: Columns) -> ChatRequest:
        request = make(columns)
        return ChatRequest.of(request.messages, request.model, {**parameters, **request.parameters})

    return extended if parameters else make


def _names(columns: Columns) -> str:
    return ", ".join(repr(name) for name in columns) or "none"
