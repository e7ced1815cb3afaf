"""Load images and documents from disk, bytes or Pillow when a call needs them: in a thread, and once.

Loaded parts are cached for a while, and shared by all parts of one file: many calls with one image read it
once, and many images do not fill the memory.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary, ref

from anyio import to_thread

from ..errors import InvalidRequestError
from ..models import JsonObject
from .documents import SPLIT, document_part, file_part
from .formats import SMALLER, image_part, url_part
from .parts import MAX_FILE_BYTES, LazyPart, check_size
from .resizing import SizeLimit, encode_pillow, shrink, with_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SOURCE_BYTES = 10 * MAX_FILE_BYTES
"""Bytes of a file that may be read to be made smaller."""

MAX_CACHE_BYTES = 64 * 1024 * 1024
"""Bytes of loaded parts that are cached: two of the longest, or a hundred photographs."""

ImageSource: TypeAlias = "Path | bytes | Image"


class _CacheEntry:
    """A loaded part; None until the first thread that needs it has loaded it under the lock."""

    __slots__ = ("__weakref__", "lock", "part")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.part: JsonObject | None = None


class _PartCache:
    """The parts loaded last, oldest dropped first. An entry in use is shared although it was dropped."""

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


cache = _PartCache()


class SourcePart(LazyPart):
    """A lazy part with the path or the bytes of its file. The cache shares it between the calls of a file."""

    __slots__ = ("_entry",)

    def __init__(self, named: JsonObject) -> None:
        super().__init__(named)
        # Weak: whether the bytes stay in memory is the cache's decision, not that of a list of messages.
        self._entry: ref[_CacheEntry] | None = None

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None if it is not loaded, or was dropped from the cache."""
        entry = None if self._entry is None else self._entry()
        return None if entry is None else entry.part

    def load(self) -> object:
        """Read, check and encode the file, unless it is cached; blocks.

        `part` is set at least as long as the returned object is held. Raises InvalidRequestError for a
        file that cannot be sent.
        """
        entry = (None if self._entry is None else self._entry()) or cache.entry(self._cache_key())
        with entry.lock:
            if entry.part is None:
                entry.part, size = self._encode()
                cache.keep(entry, size)
        self._entry = ref(entry)
        return entry

    def _cache_key(self) -> tuple[object, ...]:
        """Return the identity of the part's bytes."""
        raise NotImplementedError

    def _encode(self) -> tuple[JsonObject, int]:
        """Return the part, and roughly the bytes it takes."""
        raise NotImplementedError


class SourceImage(SourcePart):
    """A lazy image with its source: a path, bytes, or a Pillow image."""

    __slots__ = ("_limit", "_source", "_url")

    def __init__(self, source: ImageSource, limit: SizeLimit) -> None:
        self._url = _identity_url(source, limit)
        super().__init__(url_part(self._url))
        self._source = source
        self._limit = limit

    def __reduce__(self) -> tuple[type[SourceImage], tuple[ImageSource, SizeLimit]]:
        return SourceImage, (self._source, self._limit)

    def _cache_key(self) -> tuple[object, ...]:
        if not isinstance(self._source, Path):
            return (self._url,)
        return (*_file_identity(self._source, _name(self._source)), self._limit)

    def _encode(self) -> tuple[JsonObject, int]:
        source, name, limit = self._source, _name(self._source), self._limit
        if isinstance(source, Path):
            source = _read_file(source, name, SMALLER, MAX_SOURCE_BYTES if limit else MAX_FILE_BYTES)
        if not isinstance(source, bytes):
            source = encode_pillow(source, name, limit)
        elif limit:
            source = shrink(source, name, limit)
        return image_part(source, name), len(source) * 4 // 3


class SourceDocument(SourcePart):
    """A lazy PDF with its path."""

    __slots__ = ("_filename", "_path")

    def __init__(self, path: Path, filename: str) -> None:
        super().__init__(file_part(filename, path.absolute().as_uri()))
        self._path = path
        self._filename = filename

    def __reduce__(self) -> tuple[type[SourceDocument], tuple[Path, str]]:
        return SourceDocument, (self._path, self._filename)

    def _cache_key(self) -> tuple[object, ...]:
        return (*_file_identity(self._path, self._name), self._filename)

    def _encode(self) -> tuple[JsonObject, int]:
        data = _read_file(self._path, self._name, SPLIT, MAX_FILE_BYTES)
        return document_part(data, self._filename, self._name), len(data) * 4 // 3

    @property
    def _name(self) -> str:
        return f"the document {str(self._path)!r}"


async def load_parts(parts: Sequence[LazyPart]) -> Sequence[object]:
    """Load parts in a thread, one after the other; they are set as long as the result is held.

    If cancelled, the thread is abandoned and ends by itself: a disk that does not answer cannot keep a call
    from ending.
    """
    return [await to_thread.run_sync(part.load, abandon_on_cancel=True) for part in parts]


def _identity_url(source: ImageSource, limit: SizeLimit) -> str:
    """Return a URL that differs between sources; it is compared, and never sent.

    A job recognises its rows by their requests, also after a restart: images in memory are named by content.
    """
    suffix = f"#{limit.side}-{limit.pixels}" if limit else ""
    if isinstance(source, Path):
        return source.absolute().as_uri() + suffix
    if isinstance(source, bytes):
        return f"memory:{blake2b(source, digest_size=16).hexdigest()}{suffix}"
    pixels = with_pillow(_name(source), source.tobytes)
    return f"memory:{source.mode}-{source.width}-{blake2b(pixels, digest_size=16).hexdigest()}{suffix}"


def _name(source: ImageSource) -> str:
    return f"the image {str(source)!r}" if isinstance(source, Path) else "the image"


def _file_identity(path: Path, name: str) -> tuple[int, ...]:
    """Return what changes with the contents of a file: its inode, time and size."""
    status = _stat(path, name)
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _stat(path: Path, name: str) -> os.stat_result:
    """Return the status of a regular file; a pipe, for one, could block without end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"{name} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequestError(f"{name} is not a file")
    return status


def _read_file(path: Path, name: str, way_out: str, max_bytes: int) -> bytes:
    check_size(_stat(path, name).st_size, name, way_out, max_bytes)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidRequestError(f"{name} cannot be read: {error}") from error
    check_size(len(data), name, way_out, max_bytes)  # it may have grown since
    return data
