"""Read the body of `POST /v1/chat/completions`, in OpenAI's form, into a call of the client. Pure.

Source: OpenAI's API reference, chat completions (2026-08). Unknown fields are passed on: the service, or
the provider behind it, judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..._providers.registry import check_slug
from ..._providers.requests import check_messages
from ..._wire.json import UnreadableError, read_object
from ...errors import InvalidRequestError
from ...models import JsonDict, Messages
from ...tools import as_tools, name_in
from .._errors import GatewayError, invalid

T = TypeVar("T")
R = TypeVar("R")

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
    _check_types(fields)
    _check_unsupported(fields)
    model = checked("model", check_slug, fields.get("model"))
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list of at least one message", "messages")
    checked("messages", check_messages, messages)
    options = fields.get("stream_options")
    return ChatCall(
        model,
        messages,
        _parameters(model, fields),
        _trace_of(fields),
        stream=fields.get("stream") is True,
        with_usage=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


def read_body(body: bytes) -> JsonDict:
    """Read a JSON object, fields that are null left out: to OpenAI's SDKs they mean the default."""
    try:
        fields = read_object(body)
    except UnreadableError as error:
        raise invalid(f"the body is not a JSON object: {error}") from error
    return {name: value for name, value in fields.items() if value is not None}


def checked(param: str, check: Callable[[T], R], value: T) -> R:
    """Return `check(value)`; a refusal becomes an error that names *param*."""
    try:
        return check(value)
    except InvalidRequestError as error:
        raise invalid(error.message, param) from error


def _parameters(model: str, fields: JsonDict) -> JsonDict:
    """Return what is passed on, in the client's form."""
    rest = {name: value for name, value in fields.items() if name not in _KEPT}
    if not rest.get("tools"):
        # LangChain and others send an empty list for none, which providers refuse.
        rest.pop("tools", None)
        rest.pop("parallel_tool_calls", None)
        if rest.get("tool_choice") in ("none", "auto"):  # it may be an object
            rest.pop("tool_choice")
    else:
        _check_tools(rest["tools"])
    if "tool_choice" in rest:
        rest["tool_choice"] = _tool_choice(rest["tool_choice"])
    return rest


def _check_tools(tools: object) -> None:
    """Raise a 400 unless each tool is an object with, if it is a function, a name of its own."""
    rows = tools if isinstance(tools, list) else []
    for index, one in enumerate(rows):
        if not isinstance(one, dict):
            raise invalid(f"'tools[{index}]' must be an object, not {one!r:.80}", "tools", "invalid_type")
        if one.get("type") == "function" and name_in(one) is None:
            raise invalid(f"'tools[{index}].function.name' must be a string", "tools")
    checked("tools", as_tools, rows)


def _tool_choice(choice: object) -> object:
    """Return a choice of one function by its name, as the client takes it for all providers."""
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str):
            raise invalid("'tool_choice.function.name' must be a string", "tool_choice")
        return name
    return choice


def _trace_of(fields: JsonDict) -> str:
    metadata = fields.get("metadata")
    named = sorted(metadata.items()) if isinstance(metadata, dict) else []
    user = fields.get("user")
    return "/".join([*([str(user)] if user else []), *(f"{name}={value}" for name, value in named)])


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # Neither NaN nor infinity, which Python's JSON parser accepts.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_stop(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_choice(value: object) -> bool:
    return isinstance(value, str | dict)


_TYPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "model": (_is_text, "a string"),
    "messages": (_is_list, "a list of messages"),
    "frequency_penalty": (_is_number, "a number"),
    "function_call": (_is_choice, "a string or an object"),
    "functions": (_is_list, "a list"),
    "logit_bias": (_is_object, "an object"),
    "logprobs": (_is_bool, "true or false"),
    "max_completion_tokens": (_is_count, "a whole number"),
    "max_tokens": (_is_count, "a whole number"),
    "metadata": (_is_object, "an object"),
    "modalities": (_is_list, "a list"),
    "n": (_is_whole, "a whole number"),
    "parallel_tool_calls": (_is_bool, "true or false"),
    "presence_penalty": (_is_number, "a number"),
    "reasoning_effort": (_is_text, "a string"),
    "response_format": (_is_object, "an object"),
    "seed": (_is_whole, "a whole number"),
    "stop": (_is_stop, "a string or a list of strings"),
    "stream": (_is_bool, "true or false"),
    "stream_options": (_is_object, "an object"),
    "temperature": (_is_number, "a number"),
    "tool_choice": (_is_choice, "a string or an object"),
    "tools": (_is_list, "a list of tools"),
    "top_logprobs": (_is_count, "a whole number"),
    "top_p": (_is_number, "a number"),
    "user": (_is_text, "a string"),
}


def _check_types(fields: JsonDict) -> None:
    """Raise a 400 for the first known field of a wrong type."""
    for name, value in fields.items():
        known = _TYPES.get(name)
        if known is not None and not known[0](value):
            raise invalid(f"'{name}' must be {known[1]}, not {value!r:.80}", name, "invalid_type")


def _check_unsupported(fields: JsonDict) -> None:
    """Raise a 400 for what the service does not do, although OpenAI does."""
    if fields.get("n", 1) != 1:
        raise _unsupported("n", "the service gives one answer to a call: send it several times")
    if fields.get("logprobs") or fields.get("top_logprobs"):
        raise _unsupported("logprobs", "the service sends no log probabilities")


def _unsupported(param: str, reason: str) -> GatewayError:
    return invalid(f"'{param}' is not supported here: {reason}", param, "unsupported_parameter")
