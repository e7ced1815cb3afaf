"""Answers of any provider: read from bytes, judged, and written as a message or in OpenAI's form.

An answer is either whole or unreadable, never half: a body that cannot be read raises UnreadableError and
nothing else. Values that are merely unknown (new finish reasons, nulls, extra fields) pass, and `raw` keeps
them.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

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
            return _with_call_ids(answer) if answer.tool_calls else answer
    raise UnreadableError(f"a JSON object of no known form, with the fields {shortened(sorted(raw))}")


def _with_call_ids(answer: Answer) -> Answer:
    """Return *answer* with an id for each tool call that has none, or that of another one.

    The id is made of the answer's content: the same whenever it is read, another in another answer.
    """
    calls = answer.tool_calls
    ids = [call.id for call in calls]
    if all(ids) and len({*ids}) == len(ids):
        return answer
    digest = blake2b(to_json(answer.raw), digest_size=8).hexdigest()
    named = tuple(replace(call, id=f"call_{digest}_{index}") for index, call in enumerate(calls))
    return answer._replace(tool_calls=named)


def assistant_message(completion: ChatCompletion[Any]) -> JsonDict:
    """Return an answer as the next message of its conversation, with the parts that must come back."""
    provider = recognised(completion.raw)
    parts = None if provider is None else provider.parts_to_return(completion.raw)
    text = completion.text or refusal_of(completion.raw) or ""
    message: JsonDict = {"role": "assistant", "content": parts or text}
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
