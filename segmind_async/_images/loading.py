"""Load images from disk, bytes or Pillow when a call needs them: in a thread, and once.

Loaded images are cached for a while, and shared by all image parts of one file: many calls with one image
read it once, and many images do not fill the memory.
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
from .formats import MAX_IMAGE_BYTES, LazyImage, check_size, image_part, inspect_image, url_part

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_DECODED_PIXELS = 89_478_485
"""Pixels of an image that may be decoded to be made smaller: Pillow's own guard against bombs."""

MAX_SOURCE_BYTES = 10 * MAX_IMAGE_BYTES
"""Bytes of a file that may be read to be made smaller."""

MAX_CACHE_BYTES = 64 * 1024 * 1024
"""Bytes of loaded images that are cached: two of the longest, or a hundred photographs."""

_JPEG_QUALITY = 90
"""Text in a photograph stays legible; files are about half as long as at 95."""

ImageSource: TypeAlias = "Path | bytes | Image"


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


class _CacheEntry:
    """A loaded image part; None until the first thread that needs it has loaded it under the lock."""

    __slots__ = ("__weakref__", "lock", "part")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.part: JsonObject | None = None


class _ImageCache:
    """The images loaded last, oldest dropped first. An entry in use is shared although it was dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: WeakValueDictionary[tuple[object, ...], _CacheEntry] = WeakValueDictionary()
        self._kept: deque[tuple[_CacheEntry, int]] = deque()
        self._size = 0

    def entry(self, key: tuple[object, ...]) -> _CacheEntry:
        """Return the entry of *key*, a new one unless the cache or a caller still holds it."""
        with self._lock:
            return self._entries.setdefault(key, _CacheEntry())

    def keep(self, entry: _CacheEntry, size: int) -> None:
        """Hold an entry of *size* bytes, and drop the oldest ones until the cache is small enough."""
        with self._lock:
            self._kept.append((entry, size))
            self._size += size
            while self._size > MAX_CACHE_BYTES:
                self._size -= self._kept.popleft()[1]

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._kept.clear()
            self._size = 0


cache = _ImageCache()


class SourceImage(LazyImage):
    """A lazy image with its source: a path, bytes, or a Pillow image."""

    __slots__ = ("_entry", "_limit", "_source", "_url")

    def __init__(self, source: ImageSource, limit: SizeLimit) -> None:
        self._url = _identity_url(source, limit)
        super().__init__(url_part(self._url))
        self._source = source
        self._limit = limit
        # Weak: whether the bytes stay in memory is the cache's decision, not that of a list of messages.
        self._entry: ref[_CacheEntry] | None = None

    def __reduce__(self) -> tuple[type[SourceImage], tuple[ImageSource, SizeLimit]]:
        return SourceImage, (self._source, self._limit)

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None if the image is not loaded, or was dropped from the cache."""
        entry = None if self._entry is None else self._entry()
        return None if entry is None else entry.part

    def load(self) -> object:
        """Read, check and encode the image, unless it is cached; blocks.

        `part` is set at least as long as the returned object is held. Raises InvalidRequestError for an
        image that cannot be sent.
        """
        entry = (None if self._entry is None else self._entry()) or cache.entry(self._cache_key())
        with entry.lock:
            if entry.part is None:
                entry.part, size = self._encode()
                cache.keep(entry, size)
        self._entry = ref(entry)
        return entry

    def _cache_key(self) -> tuple[object, ...]:
        """Return the identity of the bytes: a file by its inode, time and size, other sources by content."""
        if not isinstance(self._source, Path):
            return (self._url,)
        status = _stat(self._source)
        return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, self._limit)

    def _encode(self) -> tuple[JsonObject, int]:
        """Return the part, and roughly the bytes it takes."""
        source, name, limit = self._source, _name(self._source), self._limit
        if isinstance(source, Path):
            source = _read_file(source, MAX_SOURCE_BYTES if limit else MAX_IMAGE_BYTES)
        if not isinstance(source, bytes):
            source = _encode_pillow(source, name, limit)
        elif limit:
            source = _shrink(source, name, limit)
        return image_part(source, name), len(source) * 4 // 3


async def load_images(images: Sequence[LazyImage]) -> Sequence[object]:
    """Load images in a thread, one after the other; their parts are set as long as the result is held.

    If cancelled, the thread is abandoned and ends by itself: a disk that does not answer cannot keep a call
    from ending.
    """
    return [await to_thread.run_sync(image.load, abandon_on_cancel=True) for image in images]


def _identity_url(source: ImageSource, limit: SizeLimit) -> str:
    """Return a URL that differs between sources; it is compared, and never sent.

    A job recognises its rows by their requests, also after a restart: images in memory are named by content.
    """
    suffix = f"#{limit.side}-{limit.pixels}" if limit else ""
    if isinstance(source, Path):
        return source.absolute().as_uri() + suffix
    if isinstance(source, bytes):
        return f"memory:{blake2b(source, digest_size=16).hexdigest()}{suffix}"
    pixels = _with_pillow(_name(source), source.tobytes)
    return f"memory:{source.mode}-{source.width}-{blake2b(pixels, digest_size=16).hexdigest()}{suffix}"


def _name(source: ImageSource) -> str:
    return f"the image {str(source)!r}" if isinstance(source, Path) else "the image"


def _stat(path: Path) -> Any:
    """Return the status of a regular file; a pipe, for one, could block without end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"{_name(path)} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequestError(f"{_name(path)} is not a file")
    return status


def _read_file(path: Path, max_bytes: int) -> bytes:
    check_size(_stat(path).st_size, _name(path), max_bytes)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidRequestError(f"{_name(path)} cannot be read: {error}") from error
    check_size(len(data), _name(path), max_bytes)  # it may have grown since
    return data


def _shrink(data: bytes, name: str, limit: SizeLimit) -> bytes:
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

    return _with_pillow(name, decoded)


def _encode_pillow(image: Image, name: str, limit: SizeLimit) -> bytes:
    """Return the bytes of a Pillow image; works on a copy, since the program may go on using it."""
    return _with_pillow(name, lambda: _encode_frame(image.copy(), image.format, limit))


def _with_pillow(name: str, work: Callable[[], bytes]) -> bytes:
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
