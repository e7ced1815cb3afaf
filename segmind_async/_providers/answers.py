"""Answers of any provider: read from bytes, judged, and written as a message or in OpenAI's form.

An answer is either whole or unreadable, never half: a body that cannot be read raises UnreadableError and
nothing else. Values that are merely unknown (new finish reasons, nulls, extra fields) pass, and `raw` keeps
them.
"""

from __future__ import annotations

from typing import Any

from .._wire.json import UnreadableError, read_object, shortened
from ..models import ChatCompletion, JsonDict, JsonObject, ToolCall
from .base import Answer, Finish
from .openai import call_id_of, write_answer, write_call
from .registry import PROVIDERS, recognised


def decode(body: bytes) -> Answer:
    """Read the body of a 200 answer; its structure decides which provider reads it.

    The charset a header names is ignored: JSON between machines is UTF-8 (RFC 8259, section 8.1).
    """
    raw = read_object(body)
    for provider in PROVIDERS:
        if provider.recognises(raw):
            return provider.read_answer(raw)
    if "error" in raw:
        raise UnreadableError(f"status 200 with an error inside: {shortened(raw['error'])}")
    raise UnreadableError(f"a JSON object of no known form, with the fields {shortened(sorted(raw))}")


def finish_of(finish_reason: str | None, raw: JsonObject) -> Finish:
    """Return how an answer ended, by its provider's words and by a refusal beside the text.

    A word that its own provider does not list is looked up in the others' lists: models behind a gateway
    do not always keep to one vocabulary. Unknown words count as WHOLE.
    """
    own = recognised(raw)
    if own is not None and own.refusal(raw):
        return Finish.REFUSED
    word = (finish_reason or "").lower()
    candidates = PROVIDERS if own is None else [own, *PROVIDERS]
    return next((one.finish_words[word] for one in candidates if word in one.finish_words), Finish.WHOLE)


def refusal_of(raw: JsonObject) -> str | None:
    """Return the text of a refusal that stands apart from the answer's text; None without one."""
    provider = recognised(raw)
    return None if provider is None else provider.refusal(raw)


def ignored_tools(completion: ChatCompletion[Any]) -> bool:
    """Return whether an answer that had to call a tool shows that no tool reached the model.

    A truncated or refused answer does not show it.
    """
    whole = finish_of(completion.finish_reason, completion.raw) is Finish.WHOLE
    return whole and not completion.tool_calls


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
