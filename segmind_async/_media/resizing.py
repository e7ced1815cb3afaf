"""Make images smaller with Pillow, which comes with an extra."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidRequestError
from .formats import inspect_image

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_DECODED_PIXELS = 89_478_485
"""Pixels of an image that may be decoded to be made smaller: Pillow's own guard against bombs."""

_JPEG_QUALITY = 90
"""Text in a photograph stays legible; files are about half as long as at 95."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """The largest size of an image in pixels; larger ones are made smaller. None: no limit."""

    side: int | None = None
    pixels: int | None = None

    def __bool__(self) -> bool:
        return self.side is not None or self.pixels is not None

    def scale(self, width: int, height: int) -> float:
        """Return the factor, above 0 and at most 1, by which an image must shrink."""
        by_side = 1.0 if self.side is None else self.side / max(width, height)
        by_pixels = 1.0 if self.pixels is None else math.sqrt(self.pixels / (width * height))
        return min(1.0, by_side, by_pixels)


def shrink(data: bytes, name: str, limit: SizeLimit) -> bytes:
    """Return an image within the limit: unchanged if it is already, else its first frame, made smaller."""
    info = inspect_image(data, name)
    if limit.scale(info.width, info.height) == 1.0 and not info.animated:
        return data
    pixels = info.width * info.height
    if pixels > MAX_DECODED_PIXELS:
        raise InvalidRequestError(
            f"{name} has {pixels} pixels, and at most {MAX_DECODED_PIXELS} are decoded; "
            "make it smaller elsewhere"
        )

    def decoded() -> bytes:
        from PIL import Image  # noqa: PLC0415  # an extra

        with Image.open(io.BytesIO(data)) as opened:
            return _encode_frame(opened, opened.format, limit)

    return with_pillow(name, decoded)


def encode_pillow(image: Image, name: str, limit: SizeLimit) -> bytes:
    """Return the bytes of a Pillow image; works on a copy, since the program may go on using it."""
    return with_pillow(name, lambda: _encode_frame(image.copy(), image.format, limit))


def with_pillow(name: str, work: Callable[[], bytes]) -> bytes:
    try:
        return work()
    except ImportError as error:
        raise InvalidRequestError(
            f"{name} cannot be made smaller without Pillow: pip install 'segmind-async[images]'"
        ) from error
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise InvalidRequestError(f"{name} cannot be decoded: {error}") from error


def _encode_frame(frame: Image, source_format: str | None, limit: SizeLimit) -> bytes:
    """Return an image within the limit and upright: a JPEG if it was one, else a PNG. Changes *frame*."""
    from PIL import ImageOps  # noqa: PLC0415  # an extra

    photo = source_format in {"JPEG", "MPO"}
    plain = "RGBA" if frame.has_transparency_data and not photo else "RGB"
    scale = limit.scale(*frame.size)
    # Rounded down: the limit is never exceeded.
    target = max(1, int(frame.width * scale)), max(1, int(frame.height * scale))
    frame.draft(None, target)  # a JPEG is decoded at a fraction of its size, for much less work
    if frame.mode not in {"L", plain}:
        frame = frame.convert(plain)
    if frame.size != target:
        frame = frame.resize(target, reducing_gap=2.0)
    out = io.BytesIO()
    # The orientation is in the metadata, which a new encoding would lose.
    upright = ImageOps.exif_transpose(frame)
    if photo:
        upright.save(out, "JPEG", quality=_JPEG_QUALITY)
    else:
        upright.save(out, "PNG")
    return out.getvalue()
