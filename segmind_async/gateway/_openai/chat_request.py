"""Read the body of `POST /v1/chat/completions`, in OpenAI's form, into a call of the client. Pure.

Source: OpenAI's API reference, chat completions (2026-08). Unknown fields are passed on: the service, or
the provider behind it, judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..._providers.registry import check_slug
from ..._providers.requests import check_messages
from ...models import JsonDict, Messages
from .._errors import invalid
from .request_fields import (
    FieldTypes,
    check_tools,
    check_types,
    checked,
    is_bool,
    is_choice,
    is_count,
    is_list,
    is_number,
    is_object,
    is_stop,
    is_text,
    is_whole,
    read_body,
    trace_of,
    unsupported,
)

_KEPT = frozenset({"model", "messages", "stream", "stream_options", "user", "metadata", "n", "logprobs"})
"""Fields that are read here, and not passed on."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A call as its caller wants it."""

    model: str
    messages: Messages
    parameters: JsonDict
    trace: str
    """From `user` and `metadata`; empty without them."""
    stream: bool = False
    with_usage: bool = False
    """Whether the event stream ends with the token counts."""


def read_chat(body: bytes) -> ChatCall:
    """Read a request; raises GatewayError, a 400 that names the field."""
    fields = read_body(body)
    parameters = chat_parameters(fields)
    model = checked("model", check_slug, fields.get("model"))
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list of at least one message", "messages")
    checked("messages", check_messages, messages)
    options = fields.get("stream_options")
    return ChatCall(
        model,
        messages,
        parameters,
        trace_of(fields),
        stream=fields.get("stream") is True,
        with_usage=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


def chat_parameters(fields: JsonDict) -> JsonDict:
    """Return what is passed on of the fields of a chat completion.

    Raises GatewayError, a 400, for a known field of a wrong type, bad tools, and what is not supported.
    """
    check_types(fields, FIELD_TYPES)
    _check_unsupported(fields)
    rest = {name: value for name, value in fields.items() if name not in _KEPT}
    if not rest.get("tools"):
        # LangChain and others send an empty list for none, which providers refuse.
        rest.pop("tools", None)
        rest.pop("parallel_tool_calls", None)
        if rest.get("tool_choice") in ("none", "auto"):  # it may be an object
            rest.pop("tool_choice")
    else:
        check_tools(rest["tools"])
    if "tool_choice" in rest:
        rest["tool_choice"] = _tool_choice(rest["tool_choice"])
    return rest


def _tool_choice(choice: object) -> object:
    """Return a choice of one function by its name, as the client takes it for all providers."""
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str):
            raise invalid("'tool_choice.function.name' must be a string", "tool_choice")
        return name
    return choice


FIELD_TYPES: FieldTypes = {
    "model": (is_text, "a string"),
    "messages": (is_list, "a list of messages"),
    "frequency_penalty": (is_number, "a number"),
    "function_call": (is_choice, "a string or an object"),
    "functions": (is_list, "a list"),
    "logit_bias": (is_object, "an object"),
    "logprobs": (is_bool, "true or false"),
    "max_completion_tokens": (is_count, "a whole number"),
    "max_tokens": (is_count, "a whole number"),
    "metadata": (is_object, "an object"),
    "modalities": (is_list, "a list"),
    "n": (is_whole, "a whole number"),
    "parallel_tool_calls": (is_bool, "true or false"),
    "presence_penalty": (is_number, "a number"),
    "reasoning_effort": (is_text, "a string"),
    "response_format": (is_object, "an object"),
    "seed": (is_whole, "a whole number"),
    "stop": (is_stop, "a string or a list of strings"),
    "stream": (is_bool, "true or false"),
    "stream_options": (is_object, "an object"),
    "temperature": (is_number, "a number"),
    "tool_choice": (is_choice, "a string or an object"),
    "tools": (is_list, "a list of tools"),
    "top_logprobs": (is_count, "a whole number"),
    "top_p": (is_number, "a number"),
    "user": (is_text, "a string"),
    "verbosity": (is_text, "a string"),
}
"""The fields of a chat completion whose types are checked here."""


def _check_unsupported(fields: JsonDict) -> None:
    """Raise a 400 for what the service does not do, although OpenAI does."""
    if fields.get("n", 1) != 1:
        raise unsupported("n", "the service gives one answer to a call: send it several times")
    if fields.get("logprobs") or fields.get("top_logprobs"):
        raise unsupported("logprobs", "the service sends no log probabilities")
