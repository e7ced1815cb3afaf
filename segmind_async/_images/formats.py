"""What an image is, by its bytes, and its form inside a message. Nothing is decoded, and nothing read.

An image is sent as it is or refused, with the way out, before anything is paid: cut off, animated, too
long a file, too many pixels.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from ..errors import InvalidRequestError
from ..models import JsonObject

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The least of what the providers take in one request (20 MB, Google and Anthropic, 2026-08)."""

MAX_IMAGE_SIDE = 8_000
"""Pixels of the longer side. Anthropic refuses larger ones, the others scale down far below (2026-08)."""

_SMALLER = "image(…, max_side=2000) makes it smaller"

_WEB = re.compile(r"https?://", re.I)
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.I | re.ASCII)


class ImageInfo(NamedTuple):
    """What the bytes of an image say of it."""

    media_type: str
    width: int
    height: int
    animated: bool = False


class LazyImage(dict[str, object]):
    """An image part whose bytes are read when a call needs them; until then it only names its source."""

    __slots__ = ()

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None until the bytes are read."""
        raise NotImplementedError


class ImagesNotLoadedError(Exception):
    """Messages cannot be encoded before these images are read."""

    def __init__(self, images: Sequence[LazyImage]) -> None:
        super().__init__(images)
        self.images = images


def is_web_url(text: str) -> bool:
    """Tell a web URL from a path."""
    return bool(_WEB.match(text))


def is_data_url(text: str) -> bool:
    """Tell a data URL from a path."""
    return text[:5].lower() == "data:"


def data_in_url(url: str) -> bytes:
    """Return the bytes that a data URL holds; raises InvalidRequestError if it holds no base64 image."""
    begins = _DATA.match(url)
    if begins is None:
        raise InvalidRequestError(f"the image URL {url[:60]!r} must begin with data:image/…;base64,")
    try:
        return base64.b64decode(url[begins.end() :], validate=True)
    except binascii.Error as error:
        raise InvalidRequestError(f"the image URL {url[:60]!r} holds no base64: {error}") from error


def url_part(url: str) -> JsonObject:
    """Return a URL as a part of a message, in OpenAI's form."""
    return {"type": "image_url", "image_url": {"url": url}}


def image_part(data: bytes, name: str) -> JsonObject:
    """Return an image whole, as a part of a message; raises InvalidRequestError for what is not taken."""
    check_size(len(data), name)
    seen = inspect_image(data, name)
    if seen.animated:
        # OpenAI refuses them, Anthropic looks at the first frame only: paid, and not what was meant.
        raise InvalidRequestError(
            f"{name} is animated, which the providers do not take; send single frames, or the first one: "
            "image(…, max_side=2000)"
        )
    if max(seen.width, seen.height) > MAX_IMAGE_SIDE:
        raise InvalidRequestError(
            f"{name} has {seen.width} × {seen.height} pixels, more than {MAX_IMAGE_SIDE} a side; {_SMALLER}"
        )
    return url_part(f"data:{seen.media_type};base64,{base64.b64encode(data).decode('ascii')}")


def check_size(size: int, name: str, max_bytes: int = MAX_IMAGE_BYTES) -> None:
    """Refuse what is too long to be sent, or to be made smaller."""
    if size > max_bytes:
        raise InvalidRequestError(f"{name} has {size} bytes, more than {max_bytes}; {_SMALLER}")


def inspect_image(data: bytes, name: str) -> ImageInfo:
    """Tell what an image is by its first bytes, whatever its name says, and whether all of it is there.

    Source: the formats' own specifications; PNG, JPEG, GIF and WebP are what providers take.
    """
    for magic, word, read in _FORMATS:
        if not data.startswith(magic):
            continue
        try:
            seen = read(data)
        except (struct.error, IndexError):
            raise InvalidRequestError(f"{name} is a {word} image that is cut off") from None
        if seen is None or not seen.width or not seen.height:
            raise InvalidRequestError(f"{name} begins like a {word} image and is none")
        return seen
    begins = f"begins with {data[:8].hex(' ')}" if data else "is empty"
    raise InvalidRequestError(f"{name} {begins}: no PNG, JPEG, GIF or WebP image")


# The readers below return None for what is no such image, and run over the end of one that is cut off.


def _png(data: bytes) -> ImageInfo | None:
    if data[12:16] not in (b"IHDR", b""):
        return None
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return ImageInfo("image/png", width, height) if at <= len(data) else _cut_off()


# Frame headers: the "start of frame" markers, among whose numbers three others stand.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_SOS, _EOI = 0xDA, b"\xff\xd9"


def _jpeg(data: bytes) -> ImageInfo | None:
    seen: ImageInfo | None = None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _SOS:
            # What follows is the picture itself. Rubbish may stand behind its end, but not in its place.
            return seen if data.find(_EOI, at) >= 0 else _cut_off()
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            seen = ImageInfo("image/jpeg", width, height)
        if marker == 0xFF:
            at += 1  # a fill byte
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _cut_off() -> NoReturn:
    raise IndexError


_FRAME, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B


def _gif(data: bytes) -> ImageInfo | None:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    frames = 0
    for kind in _gif_blocks(data, 13 + _colours(flags)):
        frames += kind == _FRAME
        if frames > 1:
            break
    return ImageInfo("image/gif", width, height, frames > 1) if frames else None


def _gif_blocks(data: bytes, at: int) -> Iterator[int]:
    """Yield the kind of each block that is there to its end. Some writers leave the trailer out."""
    while at < len(data) and data[at] in (_FRAME, _EXTENSION):
        kind = data[at]
        at += 2 if kind == _EXTENSION else 11 + _colours(data[at + 9])
        while data[at]:
            at += 1 + data[at]  # a sub-block, with its length before it
        at += 1
        yield kind


def _colours(flags: int) -> int:
    """Return the length of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> ImageInfo | None:
    (size,) = struct.unpack_from("<I", data, 4)
    kind = data[8:16]
    if not kind.startswith(b"WEBP"):
        return None
    if len(data) < size + 8:
        return _cut_off()
    if kind == b"WEBPVP8X":
        flags, *sides = struct.unpack_from("<B3xHBHB", data, 20)
        width, height = (low + (high << 16) + 1 for low, high in (sides[:2], sides[2:]))
        return ImageInfo("image/webp", width, height, bool(flags & 0x02))
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageInfo("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageInfo("image/webp", width & 0x3FFF, height & 0x3FFF)
    return None


_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"GIF87a", "GIF", _gif),
    (b"GIF89a", "GIF", _gif),
    (b"RIFF", "WebP", _webp),
)
