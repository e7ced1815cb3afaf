"""Images that are read from disk, or made smaller, when a call needs them: in a thread, and once.

As long as anybody holds a picture of a file, others of the same file share its bytes.
"""

from __future__ import annotations

import io
import math
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from anyio import to_thread

from ._core.media import MAX_IMAGE_BYTES, Unread, check_size, look, part_of, part_of_url
from .errors import InvalidRequestError
from .models import JsonObject

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 89_478_485
"""Pixels of an image that may be decoded to be made smaller: Pillow's own guard against bombs."""

MOST_BYTES = 10 * MAX_IMAGE_BYTES
"""Bytes of a file that may be read to be made smaller."""

_JPEG_QUALITY = 90
"""Text in a photograph stays legible; files are about half as long as at 95."""

PictureSource: TypeAlias = "Path | bytes | Image"


@dataclass(frozen=True, slots=True)
class Size:
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


class _Bytes:
    """The part that a source becomes, made once by whoever comes first."""

    __slots__ = ("__weakref__", "lock", "part")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.part: JsonObject | None = None


_files: WeakValueDictionary[tuple[object, ...], _Bytes] = WeakValueDictionary()
_files_lock = threading.Lock()


class Picture(Unread):
    """An image part that reads itself. Meanwhile it holds a URL that names its source."""

    __slots__ = ("_bytes", "_size", "_source")

    def __init__(self, source: PictureSource, size: Size) -> None:
        super().__init__(part_of_url(_address(source, size)))
        self._source = source
        self._size = size
        self._bytes: _Bytes | None = None

    def __reduce__(self) -> tuple[type[Picture], tuple[PictureSource, Size]]:
        return Picture, (self._source, self._size)

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None until the bytes are read."""
        return None if self._bytes is None else self._bytes.part

    def read(self) -> None:
        """Read, check and encode; blocks. Raises InvalidRequestError for what cannot be sent."""
        held = self._shared() if self._bytes is None else self._bytes
        with held.lock:
            if held.part is None:
                held.part = self._made()
        self._bytes = held

    def _shared(self) -> _Bytes:
        """Return what all pictures of the same file share, as long as it does not change."""
        if not isinstance(self._source, Path):
            return _Bytes()
        about = _stat(self._source)
        key = (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size, self._size)
        with _files_lock:
            return _files.setdefault(key, _Bytes())

    def _made(self) -> JsonObject:
        source, name, size = self._source, _name(self._source), self._size
        if isinstance(source, Path):
            source = _contents(source, MOST_BYTES if size else MAX_IMAGE_BYTES)
        if isinstance(source, bytes):
            return part_of(_shrunk(source, name, size) if size else source, name)
        return part_of(_drawn(source, name, size), name)


async def read_all(images: Sequence[Unread]) -> None:
    """Read images in a thread, one after the other."""
    for picture in images:
        if isinstance(picture, Picture) and picture.part is None:
            await to_thread.run_sync(picture.read)


def _address(source: PictureSource, size: Size) -> str:
    """Return a URL that tells sources apart where requests are compared; it is never sent."""
    wanted = f"#{size.side}-{size.pixels}" if size else ""
    if isinstance(source, Path):
        return source.absolute().as_uri() + wanted
    return f"memory:{id(source):x}{wanted}"


def _name(source: PictureSource) -> str:
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


def _contents(path: Path, most: int) -> bytes:
    check_size(_stat(path).st_size, _name(path), most)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidRequestError(f"{_name(path)} cannot be read: {error}") from error
    check_size(len(data), _name(path), most)  # it may have grown meanwhile
    return data


def _shrunk(data: bytes, name: str, size: Size) -> bytes:
    """Return an image that fits: the same bytes if it does already, else its first frame, made smaller."""
    seen = look(data, name)
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


def _drawn(frame: Image, name: str, size: Size) -> bytes:
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


def _encoded(frame: Image, form: str | None, size: Size) -> bytes:
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
