"""Messages into the bytes a provider takes.

Messages come in OpenAI's form, whatever the model; unknown parts and parameters are passed on as they
are, because the gateway forwards them and the provider is the one to judge. What is certain to be
refused, or not to be JSON, is refused here, before it costs a round trip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from pydantic_core import PydanticSerializationError, to_json

from .._images.formats import ImagesNotLoadedError, LazyImage
from ..errors import InvalidRequestError
from ..models import JsonObject, Message, Messages
from .dialogue import anthropic_turns, declared, gemini_turns
from .families import Family, family_of

Json: TypeAlias = dict[str, object]
_Translate: TypeAlias = Callable[[JsonObject], JsonObject]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
_SENDABLE = re.compile(r"https?://|data:", re.I)
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(model: str, messages: Messages, parameters: JsonObject) -> bytes:
    """Build the request body for *model* as UTF-8 JSON.

    Raises InvalidRequestError naming the message or parameter that cannot be sent, UnreadError for images
    that must be read before.
    """
    rows = _checked(messages)
    family = family_of(model)
    body = _BUILDERS[family](rows)
    if parameters:
        _check_parameters(parameters)
        if "tools" in parameters or "tool_choice" in parameters:
            parameters = declared(family, parameters)
        for name in parameters:
            if name in body:
                raise InvalidRequestError(f"parameter {name!r} is made from the messages; leave it out")
        body.update(parameters)
    try:
        return to_json(body)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InvalidRequestError(_why_no_json(rows, parameters, error)) from error


def check_messages(messages: object) -> None:
    """Refuse what is no conversation, naming what is wrong; raises InvalidRequestError."""
    if isinstance(messages, str):
        return
    for index, message in enumerate(_listed(messages)):
        _check_message(f"messages[{index}]", message)


def _listed(messages: object) -> Sequence[object]:
    if type(messages) is not list and (
        not isinstance(messages, Sequence) or isinstance(messages, bytes | bytearray)
    ):
        raise InvalidRequestError(
            f"messages is a {type(messages).__name__}; give a string or a list of messages"
        )
    return messages


def _checked(messages: Messages) -> Sequence[Message]:
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    if not _listed(messages):
        raise InvalidRequestError("messages is empty; give at least one message")
    for message in messages:
        # Most are plain dictionaries of a role and a text: to look closer costs more than to send them.
        plain = type(message) is dict and type(message.get("content")) is str
        role = message.get("role") if plain else None
        if type(role) is not str or role not in ROLES:
            check_messages(messages)
            return _with_images(messages)
    return messages


def _with_images(messages: Sequence[Message]) -> Sequence[Message]:
    """Put what has been read in the place of what only named it."""
    named = [part for row in messages for part in _listed_parts(row) if isinstance(part, LazyImage)]
    if not named:
        return messages
    if any(part.part is None for part in named):
        # All of them: those that are there now may be gone when the others have been read.
        raise ImagesNotLoadedError(named)
    return [
        {**row, "content": [_read(part) for part in parts]} if (parts := _listed_parts(row)) else row
        for row in messages
    ]


def _listed_parts(message: Message) -> Sequence[object]:
    content = message.get("content")
    return content if isinstance(content, Sequence) and not isinstance(content, str) else ()


def _read(part: object) -> object:
    return part.part if isinstance(part, LazyImage) else part


def _check_message(place: str, message: object) -> None:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"{place} is a {type(message).__name__}; give {{'role': …, 'content': …}}, or use user()"
        )
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequestError(f"{place} has role={role!r}; use one of {', '.join(sorted(ROLES))}")
    content = message.get("content")
    if isinstance(content, str) or (content is None and "tool_calls" in message):
        return
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray) or not content:
        raise InvalidRequestError(
            f"{place} has content of type {type(content).__name__}; give a string or a list of parts"
        )
    for number, part in enumerate(content):
        if not isinstance(part, Mapping):
            raise InvalidRequestError(f"{place}.content[{number}] is a {type(part).__name__}; give a part")
        url = None if isinstance(part, LazyImage) else _image_url(part)
        if url is not None and not _SENDABLE.match(url):
            # A copy of what image() gave for a file names the file alone; it would be paid for, and unseen.
            raise InvalidRequestError(
                f"{place}.content[{number}] has the image URL {url[:60]!r}, which nobody can fetch; "
                "give https://… or data:…, and put what image() returns into the message as it is"
            )


def _check_parameters(parameters: JsonObject) -> None:
    if parameters.get("stream"):
        raise InvalidRequestError("stream=True: the service does not stream; leave it out")
    for name, value in parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequestError(f"{name}={value!r} is no JSON number")


def _why_no_json(messages: Sequence[Message], parameters: JsonObject, error: Exception) -> str:
    """Find what could not be encoded. Only reached when something could not."""
    for index, message in enumerate(messages):
        for text in _texts(message):
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


def _texts(message: Message) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, Sequence) else ()
    return [text for part in parts if isinstance(part, Mapping) and isinstance(text := part.get("text"), str)]


def _openai(messages: Sequence[Message]) -> Json:
    return {"messages": messages}


def _anthropic(messages: Sequence[Message]) -> Json:
    """Claude takes the system prompt apart, as `instruction`, and images as typed sources."""
    system, rest = _apart(messages)
    body: Json = {"messages": anthropic_turns(rest, _anthropic_parts)}
    if system:
        body["instruction"] = system
    return body


def _gemini(messages: Sequence[Message]) -> Json:
    """Gemini's `messages` is an object; its assistant is called `model`."""
    system, rest = _apart(messages)
    inner: Json = {"contents": gemini_turns(rest, _gemini_parts)}
    if system:
        inner["system_instruction"] = {"parts": {"text": system}}
    return {"messages": inner}


_BUILDERS = {Family.OPENAI: _openai, Family.ANTHROPIC: _anthropic, Family.GEMINI: _gemini}


def _apart(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Split the system prompts, joined, from the rest."""
    system = [row for row in messages if row["role"] in {"system", "developer"}]
    rest = [row for row in messages if row["role"] not in {"system", "developer"}]
    if not rest:
        raise InvalidRequestError("messages holds system prompts alone; add one from the user")
    return "\n\n".join(text for row in system for text in _texts(row)), rest


def _parts(row: Message, translate: _Translate) -> object:
    content = row.get("content")
    if not isinstance(content, Sequence) or isinstance(content, str):
        return content
    return [translate(part) for part in content]


def _anthropic_parts(row: Message) -> object:
    return _parts(row, _anthropic_part)


def _gemini_parts(row: Message) -> list[object]:
    content = row.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_gemini_part(part) for part in content]
    return [{"text": content or ""}]


def _anthropic_part(part: JsonObject) -> JsonObject:
    url = _image_url(part)
    if url is None:
        return part
    inline = _DATA_URL.match(url)
    if inline is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    source = {"type": "base64", "media_type": inline.group(1), "data": url[inline.end() :]}
    return {"type": "image", "source": source}


def _gemini_part(part: JsonObject) -> JsonObject:
    if part.get("type") == "text":
        return {"text": part.get("text", "")}
    url = _image_url(part)
    if url is None:
        return part
    inline = _DATA_URL.match(url)
    if inline is None:
        raise InvalidRequestError(
            f"the image URL {url[:80]!r}: Gemini models take the image itself; pass its bytes to image()"
        )
    return {"inlineData": {"mimeType": inline.group(1), "data": url[inline.end() :]}}


def _image_url(part: JsonObject) -> str | None:
    """Return the URL of an image part in OpenAI's form, None for any other part."""
    image = part.get("image_url") if part.get("type") == "image_url" else None
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else None
