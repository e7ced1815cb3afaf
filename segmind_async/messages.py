"""Builders of messages: plain dictionaries in OpenAI's form, whatever the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._images import formats as media
from ._images.loading import SizeLimit, SourceImage
from ._providers.answers import assistant_message, tool_message
from .config import check_count
from .errors import InvalidRequestError
from .models import ChatCompletion, JsonObject, ToolCall

if TYPE_CHECKING:
    from PIL.Image import Image


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
        return assistant_message(text)
    return {"role": "assistant", "content": text}


def tool_result(call: ToolCall, text: str) -> JsonObject:
    """Tell the model what the tool it called gave back; every call of an answer needs a result."""
    return tool_message(call, text)


def image(
    source: str | bytes | Path | Image, *, max_side: int | None = None, max_pixels: int | None = None
) -> JsonObject:
    """Put an image into a message: a file, bytes, a Pillow image, a data URL, or a web URL.

    It is sent inside the request by its true type (its first bytes decide, not its name): PNG, JPEG, GIF or
    WebP of at most 20 MiB and 8 000 pixels a side. Providers take no moving pictures, so those are refused.
    With `max_side` or `max_pixels` a larger image is made smaller (of a moving one the first frame is
    taken); that needs the extra `[images]`, and `max_side=2000` is more than models look at.

    A file is read when a call needs it, off the event loop, and once for all calls that use it at a time;
    what is wrong with it is raised by that call, and fails that row of a fan-out. A job that goes on knows a
    file by its path, other images by their content. A web URL is passed on and fetched by the service, which
    fails for some hosts; nothing is ever fetched from here.

    Raises InvalidRequestError for what is no such image.
    """
    for name, value in (("max_side", max_side), ("max_pixels", max_pixels)):
        if value is not None:
            check_count(name, value, at_least=1)
    size = SizeLimit(max_side, max_pixels)
    if isinstance(source, str) and media.is_web_url(source):
        if size:
            raise InvalidRequestError(
                f"the image {source[:80]!r} is on the web, and cannot be made smaller here"
            )
        return media.url_part(source)
    if isinstance(source, str) and media.is_data_url(source):
        source = media.data_in_url(source)
    if isinstance(source, bytes) and not size:
        return media.image_part(source, "the image")
    if isinstance(source, str):
        return SourceImage(Path(source), size)
    if isinstance(source, bytes | Path) or hasattr(source, "thumbnail"):
        return SourceImage(source, size)
    raise InvalidRequestError(
        f"the image is a {type(source).__name__}; give a path, bytes, a Pillow image or a URL"
    )
