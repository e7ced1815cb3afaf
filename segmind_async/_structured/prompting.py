"""Ask for structured output, and ask again after an invalid answer.

Most providers take a JSON schema as `response_format`. For models that take `json_object` only, which neither
tells the model the schema nor works unless the messages contain the word "JSON", the schema stands in the
messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from pydantic_core import to_json

from ..models import ChatRequest, Message, Messages
from .shape import Shape

_FORMAT = "response_format"


class SchemaSupport(Enum):
    """The `response_format` that a provider's models take for structured output."""

    JSON_SCHEMA = auto()
    JSON_OBJECT = auto()
    """Any JSON object; the schema must stand in the messages."""


def request_with_shape(request: ChatRequest, shape: Shape[Any], support: SchemaSupport) -> ChatRequest:
    """Return *request* with *shape* asked for in the way the model supports.

    A `response_format` among the request's own parameters wins (None: none is sent), and the schema is put
    into the messages: for models that take no schema.
    """
    given = request.parameters
    if _FORMAT in given:
        own = {name: value for name, value in given.items() if name != _FORMAT or value is not None}
        return ChatRequest.of(_with_schema_text(request.messages, shape), request.model, own)
    if support is SchemaSupport.JSON_OBJECT:
        plain = {**given, _FORMAT: {"type": "json_object"}}
        return ChatRequest.of(_with_schema_text(request.messages, shape), request.model, plain)
    return ChatRequest.of(request.messages, request.model, {**given, _FORMAT: shape.response_format})


def request_after_invalid(request: ChatRequest, answer: str, problem: str) -> ChatRequest:
    """Return *request* followed by the invalid answer and a message that names the problem."""
    turn = [{"role": "assistant", "content": answer}] if answer else []  # empty messages are refused
    complaint = (
        f"Your answer does not fit: {problem}. "
        "Answer again with one JSON object that fits the schema, and nothing else."
    )
    messages = [*_listed(request.messages), *turn, {"role": "user", "content": complaint}]
    return ChatRequest.of(messages, request.model, request.parameters)


def _with_schema_text(messages: Messages, shape: Shape[Any]) -> Messages:
    """Append the schema as a system message; invalid or empty messages pass, for encoding to refuse."""
    given: object = messages
    if not isinstance(given, Sequence) or not given:
        return messages
    text = (
        "Answer with one JSON object that fits this JSON schema, and nothing else:\n"
        + to_json(shape.schema).decode()
    )
    return [*_listed(messages), {"role": "system", "content": text}]


def _listed(messages: Messages) -> Sequence[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
