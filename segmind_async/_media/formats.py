"""Recognise image formats by their bytes, and put images into messages. Nothing is decoded, no file is read.

An image is sent unchanged or refused before anything is billed: truncated, animated, too long a file, too
many pixels. The error says what helps.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from ..errors import InvalidRequestError
from ..models import JsonObject
from .parts import check_size

MAX_IMAGE_SIDE = 8_000
"""Pixels of the longer side. Anthropic refuses larger ones, the others scale down far below (2026-08)."""

SMALLER = "image(…, max_side=2000) makes it smaller"
"""The way out for a large image."""


class ImageInfo(NamedTuple):
    """Type and size of an image, in pixels, as its bytes have them."""

    media_type: str
    width: int
    height: int
    animated: bool = False


class ForeignFormat(NamedTuple):
    """A format of pictures that no provider takes."""

    noun: str
    way_out: str
    convertible: bool = True
    """Whether Pillow may be able to read it."""


_CONVERTS = "image(…, max_side=2000) converts it"
_TIFF = ForeignFormat("a TIFF image", _CONVERTS)
_SVG = ForeignFormat("an SVG drawing", "render it to PNG, with rsvg-convert or cairosvg", convertible=False)
_SVG_WITHIN = 1024
"""Bytes before the element; an XML declaration, comments and a document type may come first."""

_FOREIGN = (
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
    (b"MM\0+", _TIFF),
    (b"BM", ForeignFormat("a BMP image", _CONVERTS)),
    (b"\0\0\1\0", ForeignFormat("an ICO image", _CONVERTS)),
    (b"\0\0\0\x0cjP  ", ForeignFormat("a JPEG 2000 image", _CONVERTS)),
    (b"\0\0\0\x0cJXL ", ForeignFormat("a JPEG XL image", "convert it to PNG or JPEG")),
    (b"\xff\x0a", ForeignFormat("a JPEG XL image", "convert it to PNG or JPEG")),
    (b"%PDF-", ForeignFormat("a PDF", "pass it to document()", convertible=False)),
)
_BRANDS = (
    ((b"avif", b"avis"), ForeignFormat("an AVIF image", _CONVERTS)),
    (
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        ForeignFormat(
            "a HEIC image",
            "convert it to JPEG, or call pillow_heif.register_heif_opener() first: then "
            "image(…, max_side=2000) converts it",
        ),
    ),
)


def url_part(url: str) -> JsonObject:
    """Return an image part that holds a URL, in OpenAI's form."""
    return {"type": "image_url", "image_url": {"url": url}}


def image_part(data: bytes, name: str) -> JsonObject:
    """Return an image part that holds the image itself.

    Raises InvalidRequestError for an image that the providers do not take.
    """
    check_size(len(data), name, SMALLER)
    info = inspect_image(data, name)
    if info.animated:
        # OpenAI refuses them. Anthropic uses only the first frame: less than the caller pays for.
        raise InvalidRequestError(
            f"{name} is animated, which the providers do not take; send single frames, or the first one: "
            "image(…, max_side=2000)"
        )
    if max(info.width, info.height) > MAX_IMAGE_SIDE:
        raise InvalidRequestError(
            f"{name} has {info.width} × {info.height} pixels, more than {MAX_IMAGE_SIDE} a side; {SMALLER}"
        )
    return url_part(f"data:{info.media_type};base64,{base64.b64encode(data).decode('ascii')}")


def inspect_image(data: bytes, name: str) -> ImageInfo:
    """Return type and size of an image by its bytes, whatever its name says.

    Raises InvalidRequestError for a truncated image, and for other formats than the providers take: PNG,
    JPEG, GIF and WebP. Source: the specifications of the formats.
    """
    for magic, format_name, read in _FORMATS:
        if not data.startswith(magic):
            continue
        try:
            info = read(data)
        except (struct.error, IndexError):
            raise InvalidRequestError(f"{name} is a truncated {format_name} image") from None
        if info is None or not info.width or not info.height:
            raise InvalidRequestError(f"{name} begins like a {format_name} image and is not one")
        return info
    foreign = foreign_format(data)
    if foreign is not None:
        raise InvalidRequestError(f"{name} is {foreign.noun}, which no provider takes; {foreign.way_out}")
    start = f"begins with {data[:8].hex(' ')}" if data else "is empty"
    raise InvalidRequestError(f"{name} {start}: not a PNG, JPEG, GIF or WebP image")


def foreign_format(data: bytes) -> ForeignFormat | None:
    """Return the format of a picture that no provider takes, by its bytes; None for any other data."""
    for magic, foreign in _FOREIGN:
        if data.startswith(magic):
            return foreign
    if data[4:8] == b"ftyp":  # ISO base media: the brand says which
        return next((foreign for brands, foreign in _BRANDS if data[8:12] in brands), None)
    return _SVG if b"<svg" in data[:_SVG_WITHIN] else None


# The readers below return None for data in another format, and index past the end of truncated data.


def _png(data: bytes) -> ImageInfo | None:
    if data[12:16] not in (b"IHDR", b""):
        return None
    width, height = struct.unpack_from(">II", data, 16)
    at, chunk_type, animated = 8, b"", False
    while chunk_type != b"IEND":
        length, chunk_type = struct.unpack_from(">I4s", data, at)
        if chunk_type == b"acTL":  # the number of frames follows (PNG, third edition, section 11.3.6.1)
            animated = struct.unpack_from(">I", data, at + 8)[0] > 1
        at += 12 + length
    return ImageInfo("image/png", width, height, animated) if at <= len(data) else _truncated()


# Frame headers: the "start of frame" markers; three numbers of their range mean something else.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_SOS, _EOI = 0xDA, b"\xff\xd9"


def _jpeg(data: bytes) -> ImageInfo | None:
    info: ImageInfo | None = None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _SOS:
            # The compressed data follows. Other bytes may come after its end marker, which must be there.
            return info if data.find(_EOI, at) >= 0 else _truncated()
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            info = ImageInfo("image/jpeg", width, height)
        if marker == 0xFF:
            at += 1  # a fill byte
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _truncated() -> NoReturn:
    raise IndexError


_FRAME, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B


def _gif(data: bytes) -> ImageInfo | None:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    frames = 0
    for block in _gif_blocks(data, 13 + _colour_table_size(flags)):
        frames += block == _FRAME
        if frames > 1:
            break
    return ImageInfo("image/gif", width, height, frames > 1) if frames else None


def _gif_blocks(data: bytes, at: int) -> Iterator[int]:
    """Yield the type of each complete block. Some writers leave the trailer out."""
    while at < len(data) and data[at] in (_FRAME, _EXTENSION):
        block = data[at]
        at += 2 if block == _EXTENSION else 11 + _colour_table_size(data[at + 9])
        while data[at]:
            at += 1 + data[at]  # a sub-block, its length first
        at += 1
        yield block


def _colour_table_size(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> ImageInfo | None:
    (size,) = struct.unpack_from("<I", data, 4)
    chunk = data[8:16]
    if not chunk.startswith(b"WEBP"):
        return None
    if len(data) < size + 8:
        return _truncated()
    if chunk == b"WEBPVP8X":
        flags, *sides = struct.unpack_from("<B3xHBHB", data, 20)
        width, height = (low + (high << 16) + 1 for low, high in (sides[:2], sides[2:]))
        return ImageInfo("image/webp", width, height, bool(flags & 0x02))
    if chunk == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageInfo("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"WEBPVP8 ":
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
