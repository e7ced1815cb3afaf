"""An answer as the event stream of OpenAI's `stream=true`, formed when it is whole. Pure.

The service does not stream; SDKs that ask for a stream receive one nevertheless. Source: OpenAI's API
reference, "The chat completion chunk object" (2026-08).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from ...models import JsonDict, JsonObject
from .._errors import GatewayError
from .envelope import envelope

PIECE = 256
"""Characters of one piece of a text."""

HEARTBEAT = b": waiting for the answer\n"
"""A comment, which readers of event streams skip. It has no blank line after it and no `id:`: some of them
would take that for an empty event (openai-python 3.57 after an `id:`)."""

DONE = b"data: [DONE]\n\n"

HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # Proxies would keep heartbeats back until their buffer is full.
    "X-Accel-Buffering": "no",
}


def event(data: JsonObject) -> bytes:
    """Write one event."""
    return b"data: " + to_json(data) + b"\n\n"


def error_event(error: GatewayError) -> bytes:
    """Write an error that comes after the stream has begun; SDKs raise it."""
    return event(envelope(error))


def chat_events(answer: JsonObject, *, with_usage: bool) -> bytes:
    """Write an answer in OpenAI's form as a whole stream.

    *with_usage*: the token counts come last, in a chunk without choices (`stream_options.include_usage`).
    """
    chunks = [event(chunk) for chunk in _chunks(answer, with_usage=with_usage)]
    return b"".join([*chunks, DONE])


def _chunks(answer: Any, *, with_usage: bool) -> Iterator[JsonDict]:
    shared: JsonDict = {name: answer[name] for name in ("id", "created", "model")}
    shared["object"] = "chat.completion.chunk"
    if "system_fingerprint" in answer:
        shared["system_fingerprint"] = answer["system_fingerprint"]
    usage = {"usage": None} if with_usage else {}
    first = answer["choices"][0]

    def chunk(delta: JsonObject, finish: object = None) -> JsonDict:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**shared, "choices": [choice], **usage}

    for delta in _deltas(first["message"]):
        yield chunk(delta)
    yield chunk({}, first["finish_reason"])
    if with_usage:
        yield {**shared, "choices": [], "usage": answer.get("usage")}


def _deltas(message: JsonDict) -> Iterator[JsonDict]:
    """Yield what the chunks add to the message: its role, texts in pieces, tool calls."""
    # Before the text, as models write it: what a provider adds of its own (`reasoning_content`).
    own = {name: value for name, value in message.items() if name not in _FORMED and value is not None}
    yield {"role": "assistant", "content": "" if message["content"] is not None else None, **own}
    for name in ("content", "refusal"):
        text = message.get(name)
        for piece in pieces(text if isinstance(text, str) else ""):
            yield {name: piece}
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call["function"]
        begun = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [begun]}
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


_FORMED = frozenset({"role", "content", "refusal", "tool_calls"})


def pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of PIECE characters."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
