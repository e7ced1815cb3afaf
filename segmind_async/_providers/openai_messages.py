"""Read messages in OpenAI's form: texts, images, documents, tool calls and their results.

All conversations have this form until a provider translates them. A provider's marks that must come back
with a tool call (Gemini's thought signature) travel in `extra_content`, where Google's OpenAI-compatible
interface puts them (Google's documentation, 2026-08).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic_core import from_json

from ..errors import InvalidRequestError
from ..models import JsonObject, Message

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
"""Ids that each provider takes: Claude these characters, OpenAI at most 40 (API references, 2026-08)."""

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_LONGEST_NAME = 64
"""Of a function (OpenAI's, Anthropic's and Google's API references, 2026-08)."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)


class InlineData(NamedTuple):
    """A file inside a data URL."""

    media_type: str
    data: str
    """Base64."""


class File(NamedTuple):
    """A document in a message."""

    url: str
    """A data URL, or one on the web."""
    filename: str | None


def split_system(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Split a conversation into its system prompts, joined by blank lines, and the rest.

    Raises InvalidRequestError if nothing but system prompts is there.
    """
    system = [row for row in messages if row["role"] in {"system", "developer"}]
    rest = [row for row in messages if row["role"] not in {"system", "developer"}]
    if not rest:
        raise InvalidRequestError("messages holds only system prompts; add one from the user")
    return "\n\n".join(text for row in system for text in texts_of(row)), rest


def answer_text(message: Message) -> str:
    """Return the text of an assistant's message, that of a refusal included."""
    refusal = message.get("refusal")
    return "".join(texts_of(message)) or (refusal if isinstance(refusal, str) else "")


def is_blank(part: JsonObject) -> bool:
    """Return whether a part is a text of nothing but white space."""
    return (
        part.get("type", "text") == "text" and isinstance(text := part.get("text"), str) and not text.strip()
    )


def texts_of(message: Message) -> list[str]:
    """Return the texts of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, Sequence) else ()
    return [text for part in parts if isinstance(part, Mapping) and isinstance(text := part.get("text"), str)]


def parts_of(message: Message) -> Sequence[JsonObject] | None:
    """Return a message's content parts; None if its content is a string or missing."""
    content = message.get("content")
    return content if isinstance(content, Sequence) and not isinstance(content, str) else None


def image_url_of(part: JsonObject) -> str | None:
    """Return the URL of an image part; None for any other part."""
    image = part.get("image_url") if part.get("type") == "image_url" else None
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else None


def inline_data(url: str) -> InlineData | None:
    """Return the file that a data URL holds; None for a URL of another kind."""
    found = _DATA_URL.match(url)
    return None if found is None else InlineData(found.group(1), url[found.end() :])


def file_of(part: JsonObject) -> File | None:
    """Return the file of a part that holds one, or names one on the web; None for any other part."""
    file = part.get("file") if part.get("type") == "file" else None
    if not isinstance(file, Mapping):
        return None
    url = file.get("file_url", file.get("file_data"))
    filename = file.get("filename")
    return File(url, filename if isinstance(filename, str) else None) if isinstance(url, str) else None


def with_valid_calls(messages: Sequence[Message]) -> Sequence[Message]:
    """Return *messages* with ids of tool calls that are unique in the conversation, and names of functions.

    Each provider refuses a part of what others, or models behind them, use: one id for two calls, the same
    ids in each turn, other characters, names that no function can have. Results follow their calls. Messages
    that need no change are the same objects.
    """
    if not any("tool_calls" in row for row in messages):
        return messages
    given = {_id_of(call.get("id")) for row in messages for call in calls_of(row)}
    used: set[object] = set()
    waiting: dict[object, list[str]] = {}
    found: list[Message] = []
    for index, row in enumerate(messages):
        if calls := calls_of(row):
            waiting = {}
            valid = [_valid_call(call, f"call_{index}_{n}", used, given) for n, call in enumerate(calls)]
            for old, new in zip(calls, valid, strict=True):
                waiting.setdefault(_id_of(old.get("id")), []).append(str(new["id"]))
            row = row if valid == calls else {**row, "tool_calls": valid}  # noqa: PLW2901
        elif row["role"] == "tool" and (ids := waiting.get(_id_of(row.get("tool_call_id")))):
            key = ids.pop(0)
            row = row if key == row["tool_call_id"] else {**row, "tool_call_id": key}  # noqa: PLW2901
        found.append(row)
    return found


def _id_of(value: object) -> object:
    """Return an id that can be looked up: one may be a list, from a model or from outside."""
    return repr(value) if isinstance(value, list | dict) else value


def _valid_call(call: JsonObject, free: str, used: set[object], given: set[object]) -> JsonObject:
    """Return *call*, with a new id if its own is in *used* or not valid; adds its id to *used*."""
    key = call.get("id")
    if not isinstance(key, str) or key in used or not _CALL_ID.fullmatch(key):
        key = free
        while key in used or key in given:
            key += "_"
    used.add(key)
    function, name = _function_of(call), _function_of(call).get("name")
    valid = _NOT_IN_NAME.sub("_", name)[:_LONGEST_NAME] or "_" if isinstance(name, str) else name
    if key == call.get("id") and valid == name:
        return call
    return {**call, "id": key, "function": {**function, "name": valid}}


def calls_of(message: Message) -> list[JsonObject]:
    """Return the tool calls of a message."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, Sequence) else []


def function_name_of(call: JsonObject) -> str:
    """Return the name of the function a tool call names; raises InvalidRequestError without one."""
    name = _function_of(call).get("name")
    if not isinstance(name, str):
        raise InvalidRequestError(f"a tool call names no function: {call!r:.200}")
    return name


def arguments_of(call: JsonObject) -> JsonObject:
    """Return a tool call's arguments as an object.

    Empty if they are not one, as in a truncated answer: the conversation goes on without them.
    """
    text = _function_of(call).get("arguments")
    try:
        found = from_json(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def result_id_of(message: Message) -> str:
    """Return the id of the tool call that a message of the role `tool` answers.

    Raises InvalidRequestError without one.
    """
    key = message.get("tool_call_id")
    if not isinstance(key, str):
        raise InvalidRequestError(f"a message of the role 'tool' has tool_call_id={key!r}; use tool_result()")
    return key


def function_in(description: JsonObject) -> JsonObject:
    """Return a tool's description without OpenAI's wrapper; one without the wrapper unchanged."""
    function = description.get("function")
    return function if isinstance(function, Mapping) else description


def _function_of(call: JsonObject) -> JsonObject:
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}
