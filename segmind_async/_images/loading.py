"""Images that are read from disk, or made smaller, when a call needs them: in a thread, and once.

What was read is kept a while, and shared by all pictures of a file: many calls with one picture read it
once, and many pictures do not fill the memory.
"""

from __future__ import annotations

import io
import math
import stat
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary, ref

from anyio import to_thread

from ..errors import InvalidRequestError
from ..models import JsonObject
from .formats import (
    MAX_IMAGE_BYTES,
    LazyImage,
    check_size,
    image_part,
    inspect_image,
    url_part,
)

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 89_478_485
"""Pixels of an image that may be decoded to be made smaller: Pillow's own guard against bombs."""

MOST_BYTES = 10 * MAX_IMAGE_BYTES
"""Bytes of a file that may be read to be made smaller."""

MOST_KEPT = 64 * 1024 * 1024
"""Bytes of images that are kept for calls to come: two of the longest, or a hundred photographs."""

_JPEG_QUALITY = 90
"""Text in a photograph stays legible; files are about half as long as at 95."""

ImageSource: TypeAlias = "Path | bytes | Image"


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How large an image may be at most; larger ones are made smaller. None: as large as it is."""

    side: int | None = None
    pixels: int | None = None

    def __bool__(self) -> bool:
        return self.side is not None or self.pixels is not None

    def scale(self, width: int, height: int) -> float:
        """Return by how much an image must shrink, at most 1."""
        by_side = 1.0 if self.side is None else self.side / max(width, height)
        by_pixels = 1.0 if self.pixels is None else math.sqrt(self.pixels / (width * height))
        return min(1.0, by_side, by_pixels)


class _CacheEntry:
    """The part that a source becomes, made once by whoever comes first."""

    __slots__ = ("__weakref__", "lock", "part")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.part: JsonObject | None = None


class _ImageCache:
    """What was read lately: kept a while for calls to come, and shared by pictures of one file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakValueDictionary[tuple[object, ...], _CacheEntry] = WeakValueDictionary()
        self._kept: deque[tuple[_CacheEntry, int]] = deque()
        self._size = 0

    def of(self, key: tuple[object, ...]) -> _CacheEntry:
        """Return what all that are known by *key* share, as long as anybody holds it."""
        with self._lock:
            return self._known.setdefault(key, _CacheEntry())

    def keep(self, held: _CacheEntry, size: int) -> None:
        """Hold what was just read, and let go of the oldest as room is needed."""
        with self._lock:
            self._kept.append((held, size))
            self._size += size
            while self._size > MOST_KEPT:
                self._size -= self._kept.popleft()[1]

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._kept.clear()
            self._size = 0


cache = _ImageCache()


class SourceImage(LazyImage):
    """An image part that reads itself. Meanwhile it holds a URL that names its source."""

    __slots__ = ("_address", "_bytes", "_size", "_source")

    def __init__(self, source: ImageSource, size: SizeLimit) -> None:
        self._address = _address(source, size)
        super().__init__(url_part(self._address))
        self._source = source
        self._size = size
        self._bytes: ref[_CacheEntry] | None = None

    def __reduce__(self) -> tuple[type[SourceImage], tuple[ImageSource, SizeLimit]]:
        return SourceImage, (self._source, self._size)

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None if the bytes are not read, or not kept any more."""
        held = None if self._bytes is None else self._bytes()
        return None if held is None else held.part

    def load(self) -> object:
        """Read, check and encode; blocks. The part is there at least as long as what is returned is held.

        Raises InvalidRequestError for what cannot be sent.
        """
        held = (None if self._bytes is None else self._bytes()) or cache.of(self._key())
        with held.lock:
            if held.part is None:
                held.part, size = self._made()
                cache.keep(held, size)
        self._bytes = ref(held)
        return held

    def _key(self) -> tuple[object, ...]:
        """Return what the same bytes are known by: a file's place and age, else what they are."""
        if not isinstance(self._source, Path):
            return (self._address,)
        about = _stat(self._source)
        return (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size, self._size)

    def _made(self) -> tuple[JsonObject, int]:
        """Return the part, and about how many bytes it takes."""
        source, name, size = self._source, _name(self._source), self._size
        if isinstance(source, Path):
            source = _contents(source, MOST_BYTES if size else MAX_IMAGE_BYTES)
        if not isinstance(source, bytes):
            source = _drawn(source, name, size)
        elif size:
            source = _shrunk(source, name, size)
        return image_part(source, name), len(source) * 4 // 3


async def load_images(images: Sequence[LazyImage]) -> Sequence[object]:
    """Read images in a thread, one after the other; they are there as long as what is returned is held.

    If cancelled, the thread ends by itself: a disk that does not answer keeps no call from ending.
    """
    return [
        await to_thread.run_sync(picture.load, abandon_on_cancel=True)
        for picture in images
        if isinstance(picture, SourceImage)
    ]


def _address(source: ImageSource, size: SizeLimit) -> str:
    """Return a URL that tells sources apart where requests are compared; it is never sent.

    A job knows its rows by what they ask, also after a restart: what is in memory is named by its content.
    """
    wanted = f"#{size.side}-{size.pixels}" if size else ""
    if isinstance(source, Path):
        return source.absolute().as_uri() + wanted
    if isinstance(source, bytes):
        return f"memory:{blake2b(source, digest_size=16).hexdigest()}{wanted}"
    content = _by_pillow(_name(source), source.tobytes)
    return f"memory:{source.mode}-{source.width}-{blake2b(content, digest_size=16).hexdigest()}{wanted}"


def _name(source: ImageSource) -> str:
    return f"the image {str(source)!r}" if isinstance(source, Path) else "the image"


def _stat(path: Path) -> Any:
    """Return what is known of a file. A directory is none, and a pipe would be waited for without end."""
    try:
        about = path.stat()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"{_name(path)} cannot be read: {error}") from error
    if not stat.S_ISREG(about.st_mode):
        raise InvalidRequestError(f"{_name(path)} is no file")
    return about


def _contents(path: Path, max_bytes: int) -> bytes:
    check_size(_stat(path).st_size, _name(path), max_bytes)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidRequestError(f"{_name(path)} cannot be read: {error}") from error
    check_size(len(data), _name(path), max_bytes)  # it may have grown meanwhile
    return data


def _shrunk(data: bytes, name: str, size: SizeLimit) -> bytes:
    """Return an image that fits: the same bytes if it does already, else its first frame, made smaller."""
    seen = inspect_image(data, name)
    if size.scale(seen.width, seen.height) == 1.0 and not seen.animated:
        return data
    pixels = seen.width * seen.height
    if pixels > MOST_PIXELS:
        raise InvalidRequestError(
            f"{name} has {pixels} pixels, and at most {MOST_PIXELS} are decoded; make it smaller elsewhere"
        )

    def decoded() -> bytes:
        from PIL import Image  # noqa: PLC0415  # an extra

        with Image.open(io.BytesIO(data)) as opened:
            return _encoded(opened, opened.format, size)

    return _by_pillow(name, decoded)


def _drawn(frame: Image, name: str, size: SizeLimit) -> bytes:
    """Return a picture that a program holds; a copy of it is used, so that it stays as it is."""
    return _by_pillow(name, lambda: _encoded(frame.copy(), frame.format, size))


def _by_pillow(name: str, work: Callable[[], bytes]) -> bytes:
    try:
        return work()
    except ImportError as error:
        raise InvalidRequestError(
            f"{name} cannot be made smaller without Pillow: pip install 'segmind-async[images]'"
        ) from error
    except Exception as error:  # its decoders raise whatever they meet
        raise InvalidRequestError(f"{name} cannot be decoded: {error}") from error


def _encoded(frame: Image, form: str | None, size: SizeLimit) -> bytes:
    """Return a picture, small enough and upright, as JPEG if it was one, else as PNG. *frame* is used up."""
    from PIL import ImageOps  # noqa: PLC0415  # an extra

    photo = form in {"JPEG", "MPO"}
    plain = "RGBA" if frame.has_transparency_data and not photo else "RGB"
    scale = size.scale(*frame.size)
    # Down, never up: what was asked for is the most.
    target = max(1, int(frame.width * scale)), max(1, int(frame.height * scale))
    frame.draft(None, target)  # a JPEG decodes to a fraction of its size for much less work
    if frame.mode not in {"L", plain}:
        frame = frame.convert(plain)
    if frame.size != target:
        frame = frame.resize(target, reducing_gap=2.0)
    out = io.BytesIO()
    # How a camera was held stands beside the picture, where encoding anew would lose it.
    upright = ImageOps.exif_transpose(frame)
    if photo:
        upright.save(out, "JPEG", quality=_JPEG_QUALITY)
    else:
        upright.save(out, "PNG")
    return out.getvalue()
