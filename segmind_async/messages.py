"""Builders of messages: plain dictionaries in OpenAI's form, whatever the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ._media import documents, formats
from ._media.loading import SourceDocument, SourceImage
from ._media.parts import data_in_url, is_data_url, is_web_url
from ._media.resizing import SizeLimit
from ._providers.answers import assistant_message, tool_message
from .config import check_count
from .errors import InvalidRequestError
from .models import ChatCompletion, JsonObject, ToolCall

if TYPE_CHECKING:
    from PIL.Image import Image


def system(text: str) -> JsonObject:
    """Return a system message: how the model is to behave."""
    return {"role": "system", "content": text}


def user(*parts: str | JsonObject) -> JsonObject:
    """Return a user message of texts, and of what `image()` and `document()` return, in this order."""
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    if not parts:
        raise InvalidRequestError("user() needs at least one text, image or document")
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "user", "content": content}


def assistant(text: str | ChatCompletion[Any]) -> JsonObject:
    """Return an assistant message: an earlier answer with its tool calls, or a text as an example."""
    if isinstance(text, ChatCompletion):
        return assistant_message(text)
    return {"role": "assistant", "content": text}


def tool_result(call: ToolCall, text: str) -> JsonObject:
    """Return the result of a tool call as a message; every call of an answer needs one."""
    return tool_message(call, text)


def image(
    source: str | bytes | Path | Image, *, max_side: int | None = None, max_pixels: int | None = None
) -> JsonObject:
    """Return an image part for a message, from a file, bytes, a Pillow image, a data URL, or a web URL.

    The image is sent inside the request with the type of its first bytes, whatever its name: PNG, JPEG, GIF
    or WebP of at most 20 MiB and 8 000 pixels a side. Providers take no animations, so those are refused.
    With `max_side` or `max_pixels` a larger image is made smaller, an animation reduced to its first frame,
    and another format that Pillow reads (TIFF, AVIF, BMP …) converted; that needs the extra `[images]`.
    `max_side=2000` is more than models use.

    A file is read when a call needs it, off the event loop, and once for all calls that use it at a time;
    errors are raised by that call, and fail that row of a fan-out. A resumed job recognises a file by its
    path, other images by their content. A web URL is passed on and fetched by the service, which fails for
    some hosts; the client itself never fetches one.

    Raises InvalidRequestError for an image that cannot be sent.
    """
    for name, value in (("max_side", max_side), ("max_pixels", max_pixels)):
        if value is not None:
            check_count(name, value, at_least=1)
    limit = SizeLimit(max_side, max_pixels)
    if isinstance(source, str) and is_web_url(source):
        if limit:
            raise InvalidRequestError(
                f"the image {source[:80]!r} is on the web, and cannot be made smaller here"
            )
        return formats.url_part(source)
    if isinstance(source, str) and is_data_url(source):
        source = data_in_url(source, "image", "image/…")
    if isinstance(source, bytes) and not limit:
        return formats.image_part(source, "the image")
    if isinstance(source, str):
        return SourceImage(Path(source), limit)
    if isinstance(source, bytes | Path) or hasattr(source, "thumbnail"):
        return SourceImage(source, limit)
    raise InvalidRequestError(
        f"the image is a {type(source).__name__}; give a path, bytes, a Pillow image or a URL"
    )


def document(source: str | bytes | Path, *, name: str | None = None) -> JsonObject:
    """Return a PDF as a part for a message, from a file, bytes, a data URL, or a web URL.

    The document is sent inside the request, in the form that each provider takes: at most 20 MiB. Models see
    its text and its pages as images; providers have limits of pages of their own. `name` is what the model
    is told the file is called; None takes that of the path or URL.

    A file is read when a call needs it, as an `image()` is. Only Claude models take a web URL: the service
    fetches it, the client never does.

    Raises InvalidRequestError for a document that cannot be sent.
    """
    if isinstance(source, str) and is_web_url(source):
        return documents.file_url_part(name or _last_segment(source), source)
    if isinstance(source, str) and is_data_url(source):
        source = data_in_url(source, "document", documents.MEDIA_TYPE)
    if isinstance(source, bytes):
        return documents.document_part(source, name or _UNNAMED, "the document")
    if isinstance(source, str | Path):
        path = Path(source)
        return SourceDocument(path, name or path.name)
    raise InvalidRequestError(f"the document is a {type(source).__name__}; give a path, bytes or a URL")


_UNNAMED = "document.pdf"


def _last_segment(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or _UNNAMED
