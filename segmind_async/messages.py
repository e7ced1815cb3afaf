"""Builders of messages: plain dictionaries in OpenAI's form, whatever the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._core import media
from ._core.dialogue import result_of, said
from .errors import InvalidRequestError
from .models import ChatCompletion, JsonObject, ToolCall

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The least of what the providers take in one request (20 MB, Google and Anthropic, 2026-08)."""


def system(text: str) -> JsonObject:
    """Tell the model how to behave."""
    return {"role": "system", "content": text}


def user(*parts: str | JsonObject) -> JsonObject:
    """Say something to the model: texts, and images made by `image()`, in this order."""
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    if not parts:
        raise InvalidRequestError("user() needs at least one text or image")
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "user", "content": content}


def assistant(text: str | ChatCompletion[Any]) -> JsonObject:
    """Repeat what the model said earlier, its tool calls included, or show it how to answer."""
    if isinstance(text, ChatCompletion):
        return said(text)
    return {"role": "assistant", "content": text}


def tool_result(call: ToolCall, text: str) -> JsonObject:
    """Tell the model what the tool it called gave back; every call of an answer needs a result."""
    return result_of(call, text)


def image(source: str | bytes | Path) -> JsonObject:
    """Put an image into a message: bytes, a file, a data URL, or a web URL.

    A file is read now, and sent inside the request by its true type (its first bytes decide, not its
    name): PNG, JPEG, GIF or WebP of at most 20 MiB. A web URL is passed on and fetched by the service,
    which fails for some hosts; nothing is ever fetched from here.

    Raises InvalidRequestError for what is no such image, OSError for a file that cannot be read.
    """
    if isinstance(source, str) and media.is_url(source):
        return _part(media.check_url(source))
    if isinstance(source, bytes):
        _check_size(len(source), "the image")
        return _part(media.data_url(source, "the image"))
    path = Path(source)
    if not path.is_file():
        # A directory cannot be read, and a pipe would be waited for without end.
        raise InvalidRequestError(f"the image {str(path)!r} is no file")
    _check_size(path.stat().st_size, str(path))
    return _part(media.data_url(path.read_bytes(), str(path)))


def _part(url: str) -> JsonObject:
    return {"type": "image_url", "image_url": {"url": url}}


def _check_size(size: int, name: str) -> None:
    if size > MAX_IMAGE_BYTES:
        raise InvalidRequestError(f"{name} has {size} bytes, more than {MAX_IMAGE_BYTES}; make it smaller")
