"""Read the body of `POST /v1/responses`, in OpenAI's form, into a call of chat completions. Pure.

Source: OpenAI's API reference, "Create a model response" (2026-08). Unknown fields are passed on, as those
of chat completions are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from ...._providers.registry import check_slug
from ....models import JsonDict
from ..._errors import invalid
from ..chat_request import ChatCall, chat_parameters
from ..request_fields import (
    Fields,
    FieldTypes,
    check_types,
    checked,
    is_bool,
    is_choice,
    is_count,
    is_list,
    is_number,
    is_object,
    is_text,
    read_body,
    trace_of,
    unsupported,
)
from .input_items import messages_of, read_items


class Earlier(Protocol):
    """What a request may refer to. Each method raises GatewayError if the request gets too long by it."""

    @property
    def size(self) -> int:
        """Bytes of the request with all that it has referred to."""
        ...

    def item(self, id_: str) -> JsonDict | None:
        """Return an item of an earlier response by its id; None if it is not kept."""
        ...

    def conversation(self, id_: str) -> list[JsonDict] | None:
        """Return all items up to an earlier response, by its id; None if it is not kept."""
        ...


@dataclass(frozen=True, slots=True)
class ResponsesCall:
    """A response as its caller wants it."""

    chat: ChatCall
    items: list[JsonDict]
    """Its own input, without that of earlier responses, and with the items that it refers to."""
    echoed: Fields
    """Fields of the request that its response repeats."""
    store: bool
    """Whether later requests may refer to it."""
    size: int
    """Bytes of the request with all that it refers to."""

    @property
    def previous(self) -> str | None:
        """Id of the response that it follows."""
        previous: str | None = self.echoed["previous_response_id"]
        return previous


def read_response_request(body: bytes, earlier: Earlier) -> ResponsesCall:
    """Read a request; raises GatewayError that names the field: a 400, or a 413 for too long references."""
    fields: Fields = read_body(body)
    check_types(fields, _TYPES)
    _check_unsupported(fields)
    model = checked("model", check_slug, fields.get("model"))
    before = _before(fields.get("previous_response_id"), earlier)
    given = fields.get("input", "")
    if not given and not before:
        raise invalid("'input' must be a text, or a list of at least one item", "input")
    # What was kept is followed, if only by nothing new, by an answer.
    items = read_items(given or [], earlier.item)
    messages = messages_of(before, items)
    if "instructions" in fields:
        messages.insert(0, {"role": "system", "content": fields["instructions"]})
    chat = ChatCall(
        model,
        messages,
        chat_parameters(_chat_fields(fields)),
        trace_of(fields),
        stream=fields.get("stream") is True,
    )
    echoed = {name: fields.get(name, default) for name, default in _ECHOED.items()}
    return ResponsesCall(chat, items, echoed, fields.get("store") is not False, earlier.size)


def _before(previous: str | None, earlier: Earlier) -> list[JsonDict]:
    """Return all items up to the response that is followed."""
    if previous is None:
        return []
    found = earlier.conversation(previous)
    if found is None:
        raise invalid(
            f"the response {previous[:80]!r} is not kept here (any more): they are kept in memory, while "
            "there is room; send the conversation itself as input",
            "previous_response_id",
            "previous_response_not_found",
        )
    return found


def _chat_fields(fields: Fields) -> JsonDict:
    """Return the parameters in the form of chat completions."""
    rest = {name: value for name, value in fields.items() if name not in _KEPT}
    if "max_output_tokens" in fields:
        rest["max_completion_tokens"] = fields["max_output_tokens"]
    for outer, inner, name in (
        ("reasoning", "effort", "reasoning_effort"),
        ("text", "verbosity", "verbosity"),
    ):
        value = fields.get(outer, {}).get(inner)
        if value is not None:
            place = f"{outer}.{inner}"
            check_types({place: value}, {place: (is_text, "a string")})
            rest[name] = value
    response_format = _response_format(fields.get("text", {}).get("format"))
    if response_format is not None:
        rest["response_format"] = response_format
    tools = [_tool(index, one) for index, one in enumerate(fields.get("tools", []))]
    choice = fields.get("tool_choice", "auto")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice)
    return {**rest, "tools": tools, "tool_choice": _tool_choice(choice)}


def _response_format(wanted: object) -> JsonDict | None:
    """Return a format of the text in the form of chat completions; None for plain text."""
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise invalid(f"'text.format' must be an object, not {wanted!r:.80}", "text.format", "invalid_type")
    kind = wanted.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise invalid(
            f"'text.format.type' is {kind!r:.60}; use text, json_schema or json_object", "text.format"
        )
    for name, fits, what in (("name", is_text, "a string"), ("schema", is_object, "an object")):
        if not fits(wanted.get(name)):
            raise invalid(f"'text.format.{name}' must be {what}, not {wanted.get(name)!r:.80}", "text.format")
    described = {name: wanted[name] for name in _SCHEMA_FIELDS if wanted.get(name) is not None}
    return {"type": "json_schema", "json_schema": described}


def _tool(index: int, given: object) -> Fields:
    """Return a function in the form of chat completions."""
    if not isinstance(given, dict):
        raise invalid(f"'tools[{index}]' must be an object, not {given!r:.80}", "tools", "invalid_type")
    kind = given.get("type")
    if kind != "function":
        raise unsupported(
            "tools",
            f"'tools[{index}]' has type {kind!r:.60}, which runs at OpenAI; the service has only functions, "
            "which you run",
        )
    if not isinstance(given.get("name"), str):
        raise invalid(f"'tools[{index}].name' must be a string", "tools")
    function = {name: given[name] for name in _FUNCTION_FIELDS if given.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | Fields) -> str | JsonDict:
    if isinstance(choice, str):
        return choice
    name = choice.get("name")
    if choice.get("type") != "function" or not isinstance(name, str):
        raise invalid(
            "'tool_choice' must be none, auto, required, or {'type': 'function', 'name': …}", "tool_choice"
        )
    return {"type": "function", "function": {"name": name}}


def _allowed(tools: list[Fields], choice: Fields) -> tuple[list[Fields], str]:
    """Return those of *tools* that a choice of several allows, and its mode."""
    rows = choice.get("tools")
    named = [one.get("name") for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
    allowed = [one for one in tools if one["function"]["name"] in named]
    mode = choice.get("mode", "auto")
    if not allowed or not _is_mode(mode):
        raise invalid(
            "'tool_choice' of type allowed_tools must name some of the tools, and the mode auto or required",
            "tool_choice",
        )
    return allowed, mode


def _is_mode(mode: object) -> TypeGuard[str]:
    return mode in ("auto", "required")


def _check_unsupported(fields: JsonDict) -> None:
    """Raise a 400 for what this gateway does not do, although OpenAI does."""
    for name, reason in _UNSUPPORTED.items():
        if fields.get(name):
            raise unsupported(name, reason)


def _is_input(value: object) -> bool:
    return isinstance(value, str | list)


_KEPT = frozenset({
    "model", "input", "instructions", "stream", "stream_options", "user", "metadata", "store", "include",
    "previous_response_id", "max_output_tokens", "max_tool_calls", "reasoning", "text", "truncation",
    "tools", "tool_choice", "background", "conversation", "prompt", "context_management", "moderation",
    "top_logprobs",
})  # fmt: skip
"""Fields that are read here, and not passed on. `include` and `max_tool_calls` concern tools that run at
OpenAI; a conversation is never truncated."""

_SCHEMA_FIELDS = ("name", "description", "schema", "strict")
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")

_ECHOED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
"""Fields that a response repeats, and what stands there if the request has none."""

_UNSUPPORTED: Mapping[str, str] = {
    "background": "there are no responses in the background; send it without, or use /v1/batches",
    "conversation": "conversations are not kept; use previous_response_id, or send them as input",
    "prompt": "prompts are not kept; send their text as instructions and input",
    "context_management": "a conversation is never shortened; send what the model is to see",
    "moderation": "the service has no moderation of its own",
    "top_logprobs": "the service sends no log probabilities",
}

_TYPES: FieldTypes = {
    "model": (is_text, "a string"),
    "input": (_is_input, "a string or a list of items"),
    "background": (is_bool, "true or false"),
    "include": (is_list, "a list"),
    "instructions": (is_text, "a string"),
    "max_output_tokens": (is_count, "a whole number"),
    "metadata": (is_object, "an object"),
    "parallel_tool_calls": (is_bool, "true or false"),
    "previous_response_id": (is_text, "a string"),
    "reasoning": (is_object, "an object"),
    "store": (is_bool, "true or false"),
    "stream": (is_bool, "true or false"),
    "stream_options": (is_object, "an object"),
    "temperature": (is_number, "a number"),
    "text": (is_object, "an object"),
    "tool_choice": (is_choice, "a string or an object"),
    "tools": (is_list, "a list of tools"),
    "top_logprobs": (is_count, "a whole number"),
    "top_p": (is_number, "a number"),
    "truncation": (is_text, "a string"),
    "user": (is_text, "a string"),
}
