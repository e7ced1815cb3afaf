"""What an image is, by its first bytes, and its form inside a message."""

from __future__ import annotations

import base64
import re

from ..errors import InvalidRequestError

_WEB = re.compile(r"https?://", re.I)
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.I | re.ASCII)


def is_url(text: str) -> bool:
    """Tell a web or data URL from a path."""
    return bool(_WEB.match(text) or text.lower().startswith("data:"))


def check_url(url: str) -> str:
    """Refuse a data URL that holds no base64 image; web URLs are the gateway's to fetch."""
    if _WEB.match(url) or _DATA.match(url):
        return url
    raise InvalidRequestError(
        f"the image URL {url[:60]!r} must be https://…, http://… or data:image/…;base64,…"
    )


def media_type(data: bytes, name: str) -> str:
    """Return an image's type by its magic bytes; *name* only serves the error.

    Source: the formats' own specifications; the list is what OpenAI, Anthropic and Google all take.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    begins = f"begins with {data[:8].hex(' ')}" if data else "is empty"
    raise InvalidRequestError(f"{name} {begins}: no PNG, JPEG, GIF or WebP image")


def data_url(data: bytes, name: str) -> str:
    """Return an image as a URL that holds it whole."""
    return f"data:{media_type(data, name)};base64,{base64.b64encode(data).decode('ascii')}"
