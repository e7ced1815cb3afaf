"""Undoing the content coding of a body, never to more bytes than allowed.

The standard library knows gzip and deflate, and zstd from Python 3.14 on; the packages `brotli` (or
`brotlicffi`) and `backports.zstd` are used where they are installed, as aiohttp does.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol


class DamagedError(ValueError):
    """The body is not what its coding says, or it ends too early."""


class Stream(Protocol):
    """Undoes the coding of one member of a body."""

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Return the beginning of what *data* holds, about *most* bytes of it at most."""
        ...

    @property
    def eof(self) -> bool:
        """Whether the member has been read to its end."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""
        ...


MakeStream = Callable[[], Stream]

_MOST_MEMBERS = 1024
"""As many as aiohttp reads. Each costs about a microsecond, and one of gzip may be as short as 20 bytes."""
_FIRST_PIECE = 64


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """Return the body without its coding, cut after *most* bytes and one more.

    Codings that were not accepted are left as they are: what then is not JSON is reported as such.
    Raises DamagedError.
    """
    coding = coding.strip().lower()
    if coding == "deflate" and body and body[0] & 15 != 8:
        # Some servers send the bare stream; the other form begins with a byte that says so (RFC 1950).
        return _unpacked(body, lambda: zlib.decompressobj(-15), most)
    make = _STREAMS.get("gzip" if coding == "x-gzip" else coding)
    return body if make is None or not body else _unpacked(body, make, most)


def _unpacked(body: bytes, make: MakeStream, most: int) -> bytes:
    """Return the members of *body*, one after the other, without compression.

    What a stream is given beyond the end of its member it copies. So the members after the first are read
    in pieces that begin small and double: else the time would grow with the square of their number.
    """
    parts: list[bytes] = []
    left, at, size = most + 1, 0, len(body)
    for _ in range(_MOST_MEMBERS):
        stream = make()
        while not stream.eof:
            piece = body[at : at + size]
            if not piece:
                raise DamagedError("the compressed body ends too early")
            try:
                part = stream.decompress(piece, left)[:left]
            except _ERRORS as error:
                raise DamagedError(str(error)) from error
            parts.append(part)
            left -= len(part)
            if left == 0:
                return b"".join(parts)
            at, size = at + len(piece), size * 2
        at, size = at - len(stream.unused_data), _FIRST_PIECE
        if at == len(body):
            return b"".join(parts)
    raise DamagedError(f"the compressed body has more than {_MOST_MEMBERS} members")


class _BrotliStream:
    """A decompressor of brotli as a stream. It counts in blocks, and may exceed the bound by one."""

    unused_data = b""
    """Nothing may come after the end: the decompressor takes it for an error."""

    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor

    def decompress(self, data: bytes, most: int, /) -> bytes:
        part: bytes = self._decompressor.process(data, output_buffer_limit=most)
        return part

    @property
    def eof(self) -> bool:
        return bool(self._decompressor.is_finished())


def streams_of(brotli: Any, zstd: Any) -> dict[str, MakeStream]:
    """Return how each coding is undone with these modules, of which None is one that is not installed."""
    streams: dict[str, MakeStream] = {
        "gzip": lambda: zlib.decompressobj(31),
        "deflate": lambda: zlib.decompressobj(15),
    }
    # A brotli before 1.2 cannot bound its output.
    if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data"):
        streams["br"] = lambda: _BrotliStream(brotli.Decompressor())
    if zstd is not None:
        streams["zstd"] = zstd.ZstdDecompressor
    return streams


def installed(*names: str) -> Any:
    """Return the first of these modules that is installed; None without any."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


_BROTLI, _ZSTD = installed("brotlicffi", "brotli"), installed("compression.zstd", "backports.zstd")
_STREAMS = streams_of(_BROTLI, _ZSTD)
_ERRORS = (zlib.error, getattr(_BROTLI, "error", zlib.error), getattr(_ZSTD, "ZstdError", zlib.error))

ACCEPTED = ", ".join(_STREAMS)
"""Codings that `decoded` undoes, as the header `Accept-Encoding` names them."""
