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

from ..models import ChatRequest, Message, Messages, ToolCall
from .rules import SchemaRules
from .shape import Shape

_FORMAT = "response_format"


class SchemaSupport(Enum):
    """The `response_format` that a provider's models take for structured output."""

    JSON_SCHEMA = auto()
    JSON_OBJECT = auto()
    """Any JSON object; the schema must stand in the messages."""
    PROMPT = auto()
    """None: the schema must stand in the messages."""


def request_with_shape(
    request: ChatRequest, shape: Shape[Any], support: SchemaSupport, rules: SchemaRules
) -> ChatRequest:
    """Return *request* with *shape* asked for in the way the model supports.

    A schema that *rules* do not allow in any form stands in the messages instead.

    A `response_format` among the request's own parameters wins (None: none is sent), and the schema is put
    into the messages: for models that take no schema.
    """
    given = request.parameters
    if _FORMAT not in given and support is SchemaSupport.JSON_SCHEMA and not rules.refusal(shape.schema):
        asked = {**given, _FORMAT: shape.response_format(rules)}
        return ChatRequest.of(request.messages, request.model, asked)
    if _FORMAT in given:
        given = {name: value for name, value in given.items() if name != _FORMAT or value is not None}
    elif support is SchemaSupport.JSON_OBJECT:
        given = {**given, _FORMAT: {"type": "json_object"}}
    messages = _with_schema_text(request.messages, shape, offers_tools=offers_tools(request))
    return ChatRequest.of(messages, request.model, given)


def offers_tools(request: ChatRequest) -> bool:
    """Return whether the model may call tools instead of answering."""
    return bool(request.parameters.get("tools"))


def calls_offered_tools(request: ChatRequest | None, calls: Sequence[ToolCall]) -> bool:
    """Return whether an answer with these *calls* is a step towards the answer, which has no value yet."""
    return bool(calls) and request is not None and offers_tools(request)


def request_after_invalid(request: ChatRequest, answer: str, problem: str) -> ChatRequest:
    """Return *request* followed by the invalid answer and a message that names the problem."""
    turn = [{"role": "assistant", "content": answer}] if answer else []  # empty messages are refused
    complaint = (
        f"Your answer does not fit: {problem}. "
        "Answer again with one JSON object that fits the schema, and nothing else."
    )
    messages = [*_listed(request.messages), *turn, {"role": "user", "content": complaint}]
    return ChatRequest.of(messages, request.model, request.parameters)


def _with_schema_text(messages: Messages, shape: Shape[Any], *, offers_tools: bool) -> Messages:
    """Append the schema as a system message; invalid or empty messages pass, for encoding to refuse."""
    given: object = messages
    if not isinstance(given, Sequence) or not given:
        return messages
    when = "When you need no more tools, answer" if offers_tools else "Answer"
    text = (
        f"{when} with one JSON object that fits this JSON schema, and nothing else:\n"
        + to_json(shape.schema).decode()
    )
    return [*_listed(messages), {"role": "system", "content": text}]


def _listed(messages: Messages) -> Sequence[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
