"""Make a request of a row's columns: prompt template, one column alone, images, system prompt, parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import TypeAlias

from pydantic_core import to_json

from .._media.image_folder import ImageFolder
from .._media.parts import is_data_url, is_web_url
from .._providers.openai_messages import image_url_of, parts_of
from ..errors import ConfigurationError
from ..messages import assistant, image, system, user
from ..models import ChatRequest, JsonObject, Message

Columns: TypeAlias = Mapping[str, object]

MakeRequest: TypeAlias = Callable[[Columns], ChatRequest]
"""Makes a request of a row's columns; raises ValueError naming the missing column."""


def template(prompt: str) -> MakeRequest:
    """Fill `{column}`s of *prompt* from each row; raises ConfigurationError for a flawed template."""
    parts = _parts_of(prompt)

    def fill(columns: Columns) -> ChatRequest:
        return ChatRequest(
            "".join(text if name is None else f"{text}{_shown(name, columns)}" for text, name in parts)
        )

    return fill


def fields_of(prompt: str) -> list[str]:
    """Return the columns that a template names; raises ConfigurationError for a flawed one."""
    return [name for _, name in _parts_of(prompt) if name is not None]


def _parts_of(prompt: str) -> list[tuple[str, str | None]]:
    """Return the texts of a template, each with the column that follows it.

    A template holds names of columns and nothing else: attributes, conversions and formats would let a prompt
    reach into objects, or ask for a text of any length.
    """
    try:
        parsed = list(Formatter().parse(prompt))
    except ValueError as error:
        raise ConfigurationError(
            f"prompt={prompt!r}: {error}; write {{{{ and }}}} for plain braces"
        ) from error
    for _, name, form, conversion in parsed:
        if name is None:
            continue
        if not name or not name.replace("_", "").replace("-", "").replace(" ", "").isalnum():
            raise ConfigurationError(f"prompt={prompt!r} names {name!r}, which is not a plain column name")
        if form or conversion:
            raise ConfigurationError(
                f"prompt={prompt!r} gives {name!r} a format or conversion; write {{{name}}} alone, "
                "and {{ and }} for plain braces"
            )
    return [(text, name) for text, name, _, _ in parsed]


def _shown(name: str, columns: Columns) -> object:
    """Return the value for a template: lists and objects as JSON, others as they are."""
    value = columns.get(name)
    # NaN is what pandas has for a missing text in a dict.
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if name in columns:
            raise ValueError(f"no value in column {name!r}")
        raise ValueError(f"no column {name!r} among {_names(columns)}")
    if isinstance(value, bytes):
        raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
            f"column {name!r} holds {len(value)} bytes that are not text"
        )
    return to_json(value).decode() if isinstance(value, list | dict) else value


def column(name: str) -> MakeRequest:
    """Send the text of one column as it is."""

    def take(columns: Columns) -> ChatRequest:
        text = columns.get(name)
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
                f"no text in column {name!r}, only {_names(columns)}"
            )
        return ChatRequest(text)

    return take


IMAGE_COLUMN = "image"
"""Column with the image of a row, or a list of several."""


def with_images(folder: Path, make: MakeRequest) -> MakeRequest:
    """Let rows name the images of *folder*, in the column `image` and in the parts of their messages.

    Those of the column stand after the text of the last message, which must be the user's. A row that names
    any other file is invalid.
    """
    known = ImageFolder(folder)

    def illustrated(columns: Columns) -> ChatRequest:
        request = make(columns)
        given = columns.get(IMAGE_COLUMN)
        names = given if isinstance(given, list) else [] if given in (None, "") else [given]
        messages = request.messages
        if isinstance(messages, str):
            if not names:
                return request
            rows: list[Message] = [user(messages)]
        else:
            rows = [_with_named_images(message, known) for message in messages]
        if names:
            images = [_image_of_column(name, known) for name in names]
            rows[-1:] = [_with_parts(rows[-1] if rows else {}, images)]
        return ChatRequest.of(rows, request.model, request.parameters)

    return illustrated


def _image_of_column(name: object, known: ImageFolder) -> JsonObject:
    if not isinstance(name, str):
        raise ValueError(  # noqa: TRY004  # as above
            f"column {IMAGE_COLUMN!r} holds a {type(name).__name__}, not the name of an image"
        )
    return image(name) if is_web_url(name) or is_data_url(name) else known.image(name)


def _with_named_images(message: object, known: ImageFolder) -> Message:
    """Return a message whose images are read from the folder."""
    if not isinstance(message, Mapping):
        raise ValueError("a message of it is not an object")  # noqa: TRY004  # as above
    parts = parts_of(message)
    return {**message, "content": [_named_image(part, known) for part in parts]} if parts else message


def _named_image(part: object, known: ImageFolder) -> JsonObject:
    """Return the image that a part names; any other part as it is."""
    if not isinstance(part, Mapping):
        raise ValueError("a part of its messages is not an object")  # noqa: TRY004  # as above
    url = image_url_of(part)
    if url is None or is_web_url(url) or is_data_url(url):
        return part
    given = part["image_url"]
    more = given.keys() - {"url"} if isinstance(given, Mapping) else ()
    if more:
        raise ValueError(f"the image {url[:80]!r} of the folder takes no {', '.join(sorted(more))}")
    return known.image(url)


def _with_parts(message: Message, images: list[JsonObject]) -> Message:
    if message.get("role") != "user":
        raise ValueError(f"column {IMAGE_COLUMN!r} needs a last message of the user to stand in")
    content = message.get("content")
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
    return {**message, "content": [*(content if isinstance(content, list) else text), *images]}


def with_instruction(
    instruction: str, make: MakeRequest, examples: Iterable[tuple[str, str]] = ()
) -> MakeRequest:
    """Add a system prompt, and examples of a question and its answer, to the requests of *make*."""
    turns = [turn for asked, answered in examples for turn in (user(asked), assistant(answered))]

    def prefixed(columns: Columns) -> ChatRequest:
        request = make(columns)
        messages = request.messages
        rest: list[Message] = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        )
        return ChatRequest.of([system(instruction), *turns, *rest], request.model, request.parameters)

    return prefixed


def with_parameters(parameters: JsonObject, make: MakeRequest) -> MakeRequest:
    """Add *parameters* to the requests of *make*; those of a row itself win."""

    def extended(columns: Columns) -> ChatRequest:
        request = make(columns)
        return ChatRequest.of(request.messages, request.model, {**parameters, **request.parameters})

    return extended if parameters else make


def _names(columns: Columns) -> str:
    return ", ".join(repr(name) for name in columns) or "none"
