"""How an answer of a shape is asked for, and asked for again, in each provider's way.

OpenAI, Claude and Gemini models take the same word, `json_schema`. DeepSeek's take `json_object` alone,
which neither tells the model the schema nor works unless the messages say "JSON": there the shape is
told in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from ..models import ChatRequest, Message, Messages
from .shape import Shape

_FORMAT = "response_format"

_WITHOUT_SCHEMAS = ("deepseek-",)
"""Beginnings of slugs whose models take `json_object` only. Source: DeepSeek's API reference (2026-08)."""


def asked_for(shape: Shape[Any], model: str, request: ChatRequest) -> ChatRequest:
    """Return *request* so that *model* answers in *shape*.

    Who names a `response_format` of their own (None: none at all) gets that one, and the shape told in
    words: for models that take no schema.
    """
    given = request.parameters
    if _FORMAT in given:
        own = {name: value for name, value in given.items() if name != _FORMAT or value is not None}
        return ChatRequest.of(_told(shape, request.messages), request.model, own)
    if model.startswith(_WITHOUT_SCHEMAS):
        plain = {**given, _FORMAT: {"type": "json_object"}}
        return ChatRequest.of(_told(shape, request.messages), request.model, plain)
    return ChatRequest.of(request.messages, request.model, {**given, _FORMAT: shape.response_format})


def asked_again(request: ChatRequest, answer: str, problem: str) -> ChatRequest:
    """Return *request* with the answer it got, and what is wrong with that."""
    said = [{"role": "assistant", "content": answer}] if answer else []  # empty ones are refused
    complaint = (
        f"Your answer does not fit: {problem}. "
        "Answer again with one JSON object that fits the schema, and nothing else."
    )
    messages = [*_listed(request.messages), *said, {"role": "user", "content": complaint}]
    return ChatRequest.of(messages, request.model, request.parameters)


def _told(shape: Shape[Any], messages: Messages) -> Messages:
    """Put the schema behind the messages; what is none, or empty, is left for encoding to refuse."""
    given: object = messages
    if not isinstance(given, Sequence) or not given:
        return messages
    words = (
        "Answer with one JSON object that fits this JSON schema, and nothing else:\n"
        + to_json(shape.schema).decode()
    )
    return [*_listed(messages), {"role": "system", "content": words}]


def _listed(messages: Messages) -> Sequence[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
