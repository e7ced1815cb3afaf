"""Answers of any provider: read from bytes, judged, and written as a message or in OpenAI's form.

An answer is either whole or unreadable, never half: a body that cannot be read raises UnreadableError and
nothing else. Values that are merely unknown (new finish reasons, nulls, extra fields) pass, and `raw` keeps
them.
"""

from __future__ import annotations

from typing import Any

from .._wire.json import UnreadableError, read_object, shortened
from ..models import ChatCompletion, JsonDict, ToolCall
from .finish import finish_of, refusal_of
from .openai import call_id_of, write_answer, write_call
from .provider import Answer
from .registry import PROVIDERS, recognised


def decode(body: bytes) -> Answer:
    """Read the body of a 200 answer; its structure decides which provider reads it.

    The charset a header names is ignored: JSON between machines is UTF-8 (RFC 8259, section 8.1).
    """
    raw = read_object(body)
    if raw.get("error"):
        # Also beside an answer: then that is half of one.
        raise UnreadableError(f"status 200 with an error inside: {shortened(raw['error'])}")
    for provider in PROVIDERS:
        if provider.recognises(raw):
            answer = provider.read_answer(raw)
            if (answer.finish_reason or "").lower() == "error":
                raise UnreadableError(f"an answer that ended with an error: {shortened(answer.text)}")
            return answer
    raise UnreadableError(f"a JSON object of no known form, with the fields {shortened(sorted(raw))}")


def assistant_message(completion: ChatCompletion[Any]) -> JsonDict:
    """Return an answer as the next message of its conversation, with the parts that must come back."""
    provider = recognised(completion.raw)
    parts = None if provider is None else provider.parts_to_return(completion.raw)
    message: JsonDict = {"role": "assistant", "content": parts or completion.text}
    if completion.tool_calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = [write_call(call) for call in completion.tool_calls]
    return message


def tool_message(call: ToolCall, text: str) -> JsonDict:
    """Return the result of a tool call as a message."""
    return {"role": "tool", "tool_call_id": call_id_of(call), "content": text}


def as_openai(completion: ChatCompletion[Any], *, created: int) -> JsonDict:
    """Return an answer of any provider as the body of an OpenAI `chat.completion`.

    *created* is the time of the answer in epoch seconds.
    """
    finish = finish_of(completion.finish_reason, completion.raw)
    return write_answer(completion, finish, refusal_of(completion.raw), created=created)
