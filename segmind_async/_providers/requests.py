"""The bytes of a request: checks that hold for every provider, then the provider's own form.

Messages come in OpenAI's form, whatever the model. Unknown parts and parameters pass unchanged: the gateway
forwards them, and the provider judges them. Input that is certain to be refused, or is not JSON, is refused
here, before it costs a round trip.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence

from pydantic_core import PydanticSerializationError, to_json

from .._media.parts import LazyPart, PartsNotLoadedError
from ..errors import InvalidRequestError
from ..models import ChatRequest, JsonDict, JsonObject, Message, Messages
from ..tools import Tool, as_tools, name_in
from .openai_messages import file_of, image_url_of, parts_of, texts_of, with_valid_calls
from .provider import TOOL_CHOICES, Provider
from .registry import provider_of

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_SENDABLE = re.compile(r"https?://|data:", re.I)
_SURROGATE = re.compile("[\ud800-\udfff]")


class EncodedRequest(ChatRequest):
    """A request whose *body* is in its provider's form already, and is sent as it is.

    *fields* are what the body holds.
    """

    __slots__ = ("body",)

    def __init__(self, model: str, body: bytes, fields: JsonDict) -> None:
        rows = fields.get("messages")
        plain = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
        super().__init__(rows if plain else "", model=model)  # type: ignore[arg-type]  # checked just before
        # What its caller has demanded of the answer is for its caller to judge.
        self.parameters = {name: fields[name] for name in fields.keys() - {"messages", "tool_choice"}}
        self.body = body


def encode(model: str, messages: Messages, parameters: JsonObject) -> bytes:
    """Return the request body for *model* as UTF-8 JSON.

    Raises InvalidRequestError naming the message or parameter that cannot be sent, PartsNotLoadedError for
    parts that must be loaded first.
    """
    rows = _checked(messages)
    provider = provider_of(model)
    body = provider.body(with_valid_calls(rows))
    if parameters:
        _check_parameters(parameters)
        if "tools" in parameters or "tool_choice" in parameters:
            parameters = _with_tools(provider, parameters)
        parameters = provider.parameters(parameters)
        for name in parameters:
            if name in body:
                raise InvalidRequestError(f"parameter {name!r} is made from the messages; leave it out")
        body.update(parameters)
    try:
        encoded = to_json(body)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InvalidRequestError(_why_not_json(rows, parameters, error)) from error
    if b"NaN" in encoded or b"Infinity" in encoded:
        # As words of a text, or as numbers that JSON does not have.
        _check_finite(body)
    return encoded


def must_call(parameters: JsonObject) -> bool:
    """Return whether the parameters oblige the model to call a tool."""
    choice = parameters.get("tool_choice")
    return isinstance(choice, str) and choice not in {"auto", "none"}


def check_messages(messages: object) -> None:
    """Check that *messages* is a conversation; raises InvalidRequestError naming the first mistake."""
    if isinstance(messages, str):
        return
    for index, message in enumerate(check_sequence(messages)):
        _check_message(f"messages[{index}]", message)


def check_sequence(messages: object) -> Sequence[object]:
    """Return *messages* if it is a list of them; raises InvalidRequestError for anything else."""
    way = "give a string, or a list of messages such as [user('…')]"
    if isinstance(messages, Mapping) and "role" in messages:
        way = "put the message into a list"
    if not isinstance(messages, Sequence) or isinstance(messages, bytes | bytearray):
        raise InvalidRequestError(f"messages={reprlib.repr(messages)} is a {type(messages).__name__}; {way}")
    return messages


def _checked(messages: Messages) -> Sequence[Message]:
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    if type(messages) is not list:
        check_sequence(messages)
    if not messages:
        raise InvalidRequestError("messages is empty; give at least one message")
    for message in messages:
        # Most are plain dictionaries of a role and a text: the full check would cost more than encoding.
        plain = type(message) is dict and type(message.get("content")) is str
        role = message.get("role") if plain else None
        if type(role) is not str or role not in ROLES:
            check_messages(messages)
            return _with_loaded_parts(messages)
    return messages


def _with_loaded_parts(messages: Sequence[Message]) -> Sequence[Message]:
    """Replace lazy parts by the parts to be sent; raises PartsNotLoadedError if one is not loaded."""
    lazy = [part for row in messages for part in parts_of(row) or () if isinstance(part, LazyPart)]
    if not lazy:
        return messages
    if any(part.part is None for part in lazy):
        # All of them: those that are loaded now may have been dropped when the others are.
        raise PartsNotLoadedError(lazy)
    return [
        {**row, "content": [_loaded(part) for part in parts]} if (parts := parts_of(row)) else row
        for row in messages
    ]


def _loaded(part: object) -> object:
    return part.part if isinstance(part, LazyPart) else part


def _check_message(place: str, message: object) -> None:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"{place}={reprlib.repr(message)} is a {type(message).__name__}; give "
            "{'role': …, 'content': …}, or use user()"
        )
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequestError(f"{place} has role={role!r}; use one of {', '.join(sorted(ROLES))}")
    content = message.get("content")
    if isinstance(content, str) or (content is None and message.keys() & {"tool_calls", "refusal"}):
        return
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray) or not content:
        raise InvalidRequestError(
            f"{place} has content of type {type(content).__name__}; give a string or a list of parts"
        )
    for number, part in enumerate(content):
        if not isinstance(part, Mapping):
            raise InvalidRequestError(f"{place}.content[{number}] is a {type(part).__name__}; give a part")
        if not isinstance(part, LazyPart):
            _check_url(f"{place}.content[{number}]", part)


def _check_url(place: str, part: JsonObject) -> None:
    """Raise InvalidRequestError for a URL that nobody can fetch.

    A copy of what image() or document() return for a file holds the file's name only: the call would be
    billed, the file never seen.
    """
    url, file = image_url_of(part), file_of(part)
    noun, url = ("image", url) if file is None else ("document", file.url)
    if url is not None and not _SENDABLE.match(url):
        raise InvalidRequestError(
            f"{place} has the {noun} URL {url[:60]!r}, which cannot be fetched; "
            f"give https://… or data:…, and put what {noun}() returns into the message as it is"
        )


def _check_parameters(parameters: JsonObject) -> None:
    if parameters.get("stream"):
        raise InvalidRequestError("stream=True: the service does not stream; leave it out")
    count = parameters.get("n")
    if count not in (None, 1):
        raise InvalidRequestError(
            f"n={count!r}: of several answers one would be read, and all be paid; send as many calls, as "
            "with chat_many([…] * n)"
        )
    for name in ("response_model", "response_format"):
        value = parameters.get(name)
        if (name == "response_model" and name in parameters) or _is_type(value):
            shown = value.__name__ if isinstance(value, type) else value
            raise InvalidRequestError(
                f"{name}={shown}: pass the type as parse={shown}; its value comes in `parsed`"
            )


def _is_type(value: object) -> bool:
    """Return whether a `response_format` is a type, and not the JSON that a provider takes."""
    return value is not None and not isinstance(value, Mapping | str)


def _check_finite(value: object, place: str = "") -> None:
    """Raise InvalidRequestError naming the place of a number that is none in JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequestError(
            f"{place}={value!r} is not a JSON number; give a finite one, or leave it out"
        )
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_finite(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        for index, part in enumerate(value):
            _check_finite(part, f"{place}[{index}]")


def _why_not_json(messages: Sequence[Message], parameters: JsonObject, error: Exception) -> str:
    """Return which message or parameter could not be encoded, after encoding has failed."""
    for index, message in enumerate(messages):
        for text in texts_of(message):
            found = _SURROGATE.search(text)
            if found:
                return (
                    f"messages[{index}] holds half a character ({found.group()!a}) at position "
                    f"{found.start()}; clean it with text.encode('utf-8', 'replace').decode()"
                )
    for name, value in parameters.items():
        try:
            to_json(value)
        except (PydanticSerializationError, UnicodeEncodeError):
            return f"parameter {name!r} of type {type(value).__name__} cannot be written as JSON"
    return f"messages cannot be written as JSON: {error}"


def _with_tools(provider: Provider, parameters: JsonObject) -> JsonDict:
    """Return *parameters* with `tools` and `tool_choice` in the provider's form.

    Raises InvalidRequestError for tools that cannot be described, and for a choice that names none of them.
    """
    rest = {name: value for name, value in parameters.items() if name not in {"tools", "tool_choice"}}
    given = parameters.get("tools")
    tools = [] if given is None else as_tools(given)  # type: ignore[arg-type]  # as_tools checks the type
    choice = parameters.get("tool_choice")
    if isinstance(choice, str):
        _check_choice(choice, [one.name if isinstance(one, Tool) else name_in(one) for one in tools])
    if tools:
        rest.update(provider.tool_parameters([_described(one) for one in tools]))
    if choice is not None:
        rest.update(provider.tool_choice(choice) if isinstance(choice, str) else {"tool_choice": choice})
    return rest


def _check_choice(choice: str, names: list[str | None]) -> None:
    if not names:
        raise InvalidRequestError(f"tool_choice={choice!r} without tools; pass tools=[…], or leave it out")
    if choice not in TOOL_CHOICES and choice not in names:
        known = ", ".join(repr(name) for name in (*TOOL_CHOICES, *names) if name)
        raise InvalidRequestError(f"tool_choice={choice!r} is none of {known}")


def _described(one: Tool | JsonObject) -> JsonObject:
    """Return a tool in OpenAI's form; a description by hand unchanged."""
    if not isinstance(one, Tool):
        return one
    function = {"name": one.name, "description": one.description, "parameters": one.parameters}
    return {"type": "function", "function": function}
