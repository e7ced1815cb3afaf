"""Undoing the content coding of a body, never to more bytes than allowed."""

from __future__ import annotations

import zlib


class DamagedError(ValueError):
    """The body is not what its coding says, or it ends too early."""


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """Return the body without its coding, cut after *most* bytes and one more.

    Codings that were not accepted are left as they are: what then is not JSON is reported as such.
    Raises DamagedError.
    """
    coding = coding.strip().lower()
    if coding in {"gzip", "x-gzip"}:
        return _inflated(body, 31, most)
    if coding == "deflate":
        # Some servers send the bare stream; the other form begins with a byte that says so (RFC 1950).
        return _inflated(body, 15 if body[:1] and body[0] & 15 == 8 else -15, most)
    return body


def _inflated(body: bytes, window: int, most: int) -> bytes:
    """Return the members of *body*, one after the other, without compression."""
    parts: list[bytes] = []
    left = most + 1
    while body and left > 0:
        stream = zlib.decompressobj(window)
        try:
            part = stream.decompress(body, left)
        except zlib.error as error:
            raise DamagedError(str(error)) from error
        parts.append(part)
        left -= len(part)
        if left > 0 and not stream.eof:
            raise DamagedError("the compressed body ends too early")
        body = stream.unused_data
    return b"".join(parts)
