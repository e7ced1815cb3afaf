"""Bytes of an answer into one shape, told apart by structure.

An answer is either whole or unreadable, never half: what cannot be read raises UnreadableError and
nothing else. What is merely unknown (new finish reasons, nulls, extra fields) passes, and `raw` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from pydantic_core import to_json

from .._wire.json import UnreadableError, read_object, shortened
from ..models import ToolCall, Usage

Json: TypeAlias = dict[str, object]


class Answer(NamedTuple):
    """What the provider said."""

    text: str
    finish_reason: str | None
    usage: Usage
    tool_calls: tuple[ToolCall, ...]
    raw: Json


def decode(body: bytes) -> Answer:
    """Read the body of a 200 answer.

    The charset a header names is ignored: JSON between machines is UTF-8 (RFC 8259, section 8.1).
    """
    raw = read_object(body)
    if "choices" in raw:
        return _openai(raw)
    if "candidates" in raw or "promptFeedback" in raw:
        return _gemini(raw)
    if isinstance(raw.get("content"), list):
        return _anthropic(raw)
    if "error" in raw:
        raise UnreadableError(f"status 200 with an error inside: {shortened(raw['error'])}")
    raise UnreadableError(f"a JSON object of no known shape, with the fields {shortened(sorted(raw))}")


def _openai(raw: Json) -> Answer:
    choice = _first(raw["choices"], "choices")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UnreadableError(f"choices[0] without a message: {shortened(choice)}")
    text = message.get("content")
    if not isinstance(text, str):
        # Unless it is text, as nearly always, there must at least be a word of why.
        if not message.keys() & {"content", "tool_calls", "refusal"}:
            raise UnreadableError(f"choices[0] without a message: {shortened(choice)}")
        text = _text(text)
    usage = _object(raw.get("usage"))
    calls = message.get("tool_calls")
    return Answer(
        text,
        _word(choice.get("finish_reason")),
        Usage(
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
            _count(usage.get("total_tokens")),
        ),
        tuple(_openai_call(call) for call in _objects(calls)) if calls else (),
        raw,
    )


def _openai_call(call: Json) -> ToolCall:
    function = _object(call.get("function"))
    return ToolCall(_word(call.get("id")), str(function.get("name")), _arguments(function.get("arguments")))


def _anthropic(raw: Json) -> Answer:
    parts = _objects(raw["content"])
    if not parts and raw.get("stop_reason") is None:
        raise UnreadableError("content without parts and without a stop_reason")
    usage = _object(raw.get("usage"))
    asked, answered = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    return Answer(
        text=_joined(part for part in parts if part.get("type") == "text"),
        finish_reason=_word(raw.get("stop_reason")),
        usage=Usage(asked, answered, _sum(asked, answered)),
        tool_calls=tuple(
            ToolCall(_word(part.get("id")), str(part.get("name")), _arguments(part.get("input")))
            for part in parts
            if part.get("type") == "tool_use"
        ),
        raw=raw,
    )


def _gemini(raw: Json) -> Answer:
    blocked = _word(_object(raw.get("promptFeedback")).get("blockReason"))
    candidate = {} if blocked and not raw.get("candidates") else _first(raw.get("candidates"), "candidates")
    content = _object(candidate.get("content"))
    finish = _word(candidate.get("finishReason")) or blocked
    if not content and finish is None:
        raise UnreadableError(f"candidates[0] without content: {shortened(candidate)}")
    # Thinking is marked, not kept apart: it is no part of what the model says.
    parts = [part for part in _objects(content.get("parts")) if not part.get("thought")]
    usage = _object(raw.get("usageMetadata"))
    return Answer(
        text=_joined(parts),
        finish_reason=finish,
        usage=Usage(
            _count(usage.get("promptTokenCount")),
            _count(usage.get("candidatesTokenCount")),
            _count(usage.get("totalTokenCount")),
        ),
        tool_calls=tuple(
            # Its newer models refuse a conversation in which a call has lost its signature.
            ToolCall(
                _word(call.get("id")),
                str(call.get("name")),
                _arguments(call.get("args")),
                _word(part.get("thoughtSignature")),
            )
            for part in parts
            if (call := _object(part.get("functionCall")))
        ),
        raw=raw,
    )


def _first(value: object, name: str) -> Json:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    raise UnreadableError(f"{name} holds no answer: {shortened(value)}")


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        return _joined(_objects(content))
    raise UnreadableError(f"content is neither text nor parts: {shortened(content)}")


def _joined(parts: Iterable[Json]) -> str:
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if value and isinstance(value, list) else []


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    # The exact type: a bool is an int too.
    return value if type(value) is int and value >= 0 else None


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _arguments(value: object) -> str:
    """Return a call's arguments as JSON text: OpenAI sends text, the others an object."""
    return value if isinstance(value, str) else to_json(value).decode()
