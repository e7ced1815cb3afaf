"""Pictures drawn for tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image


def drawn(
    form: str, size: tuple[int, int] = (40, 30), *, mode: str = "RGB", frames: int = 1, **options: Any
) -> bytes:
    """Return a picture in a format, all of it, as Pillow writes it."""
    pictures = [Image.new(mode, size, n * 50) for n in range(frames)]
    out = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(out, form, **more, **options)
    return out.getvalue()


def claimed(width: int, height: int) -> bytes:
    """Return a small PNG that claims to be of any size: a bomb, if the size is large."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def opened(url: object) -> Image.Image:
    """Decode the data URL of a message's part."""
    import base64

    assert isinstance(url, str)
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
