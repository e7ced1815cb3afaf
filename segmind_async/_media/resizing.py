"""Make images smaller with Pillow, which comes with an extra."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._text.error_text import message_of
from ..errors import InvalidRequestError
from .formats import foreign_format, inspect_image

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_DECODED_PIXELS = 89_478_485
"""Pixels of an image that may be decoded to be made smaller: Pillow's own guard against bombs."""

_PHOTOGRAPHS = frozenset({"JPEG", "MPO", "AVIF", "HEIF"})
"""Pillow's names of the formats whose images become JPEG, unless they are transparent."""

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
    """Return an image within the limit: unchanged if it is already, else its first frame, made smaller.

    Formats that no provider takes are converted if Pillow can read them.
    """
    foreign = foreign_format(data)
    if foreign is None or not foreign.convertible:
        info = inspect_image(data, name)
        if limit.scale(info.width, info.height) == 1.0 and not info.animated:
            return data
        _check_pixels(info.width, info.height, name)

    def decoded() -> bytes:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # an extra

        try:
            with Image.open(io.BytesIO(data)) as opened:
                _check_pixels(*opened.size, name)
                return _encode_frame(opened, opened.format, limit)
        except UnidentifiedImageError:
            inspect_image(data, name)  # raises, and names the format
            raise

    return with_pillow(name, decoded)


def _check_pixels(width: int, height: int, name: str) -> None:
    pixels = width * height
    if pixels > MAX_DECODED_PIXELS:
        raise InvalidRequestError(
            f"{name} has {pixels} pixels, and at most {MAX_DECODED_PIXELS} are decoded; "
            "make it smaller elsewhere"
        )


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
    except InvalidRequestError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise InvalidRequestError(f"{name} cannot be decoded: {message_of(error)}") from error


def _encode_frame(frame: Image, source_format: str | None, limit: SizeLimit) -> bytes:
    """Return an image within the limit and upright: a JPEG if it was one, else a PNG. Changes *frame*."""
    from PIL import ImageOps  # noqa: PLC0415  # an extra

    photo = source_format in _PHOTOGRAPHS and not frame.has_transparency_data
    plain = "RGBA" if frame.has_transparency_data else "RGB"
    scale = limit.scale(*frame.size)
    # Rounded down: the limit is never exceeded.
    target = max(1, int(frame.width * scale)), max(1, int(frame.height * scale))
    frame.draft(None, target)  # a JPEG is decoded at a fraction of its size, for much less work
    frame = _with_8_bits(frame)
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


def _with_8_bits(frame: Image) -> Image:
    """Return an image of 16 or 32 bits or of floats with 8 bits and the same tones; others unchanged.

    Pillow's own conversion cuts off all values above 255, which makes such images white. Only 16 bits have a
    scale by definition; floats usually go to 1, integers of 32 bits to 255 or 65 535.
    """
    if not frame.mode.startswith(("I", "F")):
        return frame
    if frame.mode.startswith("I;"):
        frame, scales = frame.convert("I"), [65_535.0]
    else:
        scales = [255.0, 65_535.0] if frame.mode == "I" else [1.0, 255.0, 65_535.0]
    low, high = frame.getextrema()
    black, white = _tone_range(scales, float(low), float(high))  # type: ignore[arg-type]  # of one channel
    scale = 255.0 / (white - black)
    # As floats: images of 16 bits cannot hold values between the tones, nor below black.
    return frame.convert("F").point(lambda value: value * scale + (0.5 - black * scale)).convert("L")


def _tone_range(scales: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """Return the values of black and white: the first scale that the values fit into, else their extremes.

    Raises ValueError for values that are not numbers.
    """
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError("it holds values that are not finite numbers")
    if low >= 0:
        for white in scales:
            if high <= white:
                return 0.0, white
    return low, high if high > low else low + 1.0
