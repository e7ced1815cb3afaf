"""Image formats, recognised by their bytes."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async import InvalidRequestError
from segmind_async._media import parts
from segmind_async._media.formats import ImageInfo, image_part, inspect_image
from tests.pictures import claimed, drawn

PICTURES = {
    "png": (drawn("PNG"), ImageInfo("image/png", 40, 30)),
    "png-grey": (drawn("PNG", mode="L"), ImageInfo("image/png", 40, 30)),
    "png-animated": (drawn("PNG", frames=3), ImageInfo("image/png", 40, 30, animated=True)),
    "jpeg": (drawn("JPEG"), ImageInfo("image/jpeg", 40, 30)),
    "jpeg-progressive": (drawn("JPEG", progressive=True), ImageInfo("image/jpeg", 40, 30)),
    "jpeg-with-exif": (drawn("JPEG", exif=b"Exif\0\0" + b"\xff\xd9" * 40), ImageInfo("image/jpeg", 40, 30)),
    "gif": (drawn("GIF"), ImageInfo("image/gif", 40, 30)),
    "gif-with-a-comment": (drawn("GIF", comment=b"a" * 300), ImageInfo("image/gif", 40, 30)),
    "gif-animated": (drawn("GIF", frames=3), ImageInfo("image/gif", 40, 30, animated=True)),
    "webp": (drawn("WEBP"), ImageInfo("image/webp", 40, 30)),
    "webp-lossless": (drawn("WEBP", lossless=True), ImageInfo("image/webp", 40, 30)),
    "webp-large": (drawn("WEBP", (40, 5000), exif=b"Exif\0\0"), ImageInfo("image/webp", 40, 5000)),
    "webp-animated": (drawn("WEBP", frames=3), ImageInfo("image/webp", 40, 30, animated=True)),
}
EACH_IMAGE = pytest.mark.parametrize(("data", "info"), PICTURES.values(), ids=PICTURES)


@EACH_IMAGE
def test_type_and_size_are_read_from_the_bytes(data: bytes, info: ImageInfo) -> None:
    assert inspect_image(data, "x.bmp") == info
    assert inspect_image(data + b"rubbish behind it", "x.bmp") == info


@EACH_IMAGE
def test_no_prefix_of_an_image_is_accepted(data: bytes, info: ImageInfo) -> None:
    # A GIF without its trailer is whole, and two frames suffice to see that it is animated.
    ends = len(data) - (info.media_type == "image/gif")
    for length in range(0, ends, max(1, ends // 200)):
        if info.animated and length > ends // 3:
            continue
        with pytest.raises(InvalidRequestError, match=r"is a truncated|is empty|begins with|and is not one"):
            inspect_image(data[:length], "x")


@EACH_IMAGE
def test_a_truncated_image_is_reported_as_such(data: bytes, info: ImageInfo) -> None:
    if not info.animated:
        with pytest.raises(InvalidRequestError, match=r"x is a truncated (PNG|JPEG|GIF|WebP) image"):
            inspect_image(data[: len(data) * 2 // 3], "x")


@given(st.sampled_from([data for data, _ in PICTURES.values()]), st.data())
def test_damaged_data_raises_nothing_but_invalid_request(data: bytes, draws: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 8))):
        damaged[draws.draw(st.integers(0, len(damaged) - 1))] = draws.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidRequestError):
        inspect_image(bytes(damaged), "x")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "x is empty: not a PNG", id="empty"),
        pytest.param(b"text", "x begins with 74 65 78 74: not a PNG, JPEG, GIF or WebP image", id="text"),
        pytest.param(b"BM12", "x is a BMP image, which no provider takes; image", id="bmp"),
        pytest.param(b"RIFF\4\0\0\0WAVE", "x begins like a WebP image and is not one", id="a-sound"),
        pytest.param(b"RIFF\4\0\0\0WEBPODD ", "x begins like a WebP image and is not one", id="unknown-webp"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(40), "x begins like a PNG image and is not one", id="png-header-only"),
        pytest.param(b"\xff\xd8\xff\xff\xff\x01 a text", "x begins like a JPEG image and is not one", id="jpeg-header-only"),
        pytest.param(b"\xff\xd8\xff\xda\0\0\xff\xd9", "x begins like a JPEG image and is not one", id="jpeg-without-a-frame"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0;", "x begins like a GIF image and is not one", id="gif-without-a-frame"),
        pytest.param(claimed(0, 5), "x begins like a PNG image and is not one", id="no-width"),
    ],
)  # fmt: skip
def test_data_that_is_no_image_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        inspect_image(data, "x")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(claimed(8001, 5), r"x has 8001 × 5 pixels, more than 8000 a side; image\(…, max_side=2000\)", id="wide"),
        pytest.param(claimed(20_000, 20_000), "x has 20000 × 20000 pixels", id="a-bomb"),
        pytest.param(drawn("GIF", frames=2), "x is animated, .* send single frames, or the first one", id="gif"),
        pytest.param(drawn("WEBP", frames=2), "x is animated", id="webp"),
        pytest.param(bytes(20 * 1024 * 1024 + 1), "x has 20971521 bytes, more than 20971520; image", id="long"),
    ],
)  # fmt: skip
def test_images_that_providers_do_not_take_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        image_part(data, "x")


def test_an_image_becomes_a_data_url() -> None:
    data = drawn("PNG")
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    assert image_part(data, "x") == {"type": "image_url", "image_url": {"url": url}}
    assert parts.data_in_url(url, "image", "image/…") == data
    assert image_part(claimed(8000, 8000), "x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("data:text/plain;base64,AA==", "must begin with data:image"),
        ("data:image/png,raw", "must begin with"),
        ("data:", "must begin with"),
        ("data:image/png;base64,A A=", "holds no base64"),
        ("data:image/png;base64,AAA", "holds no base64"),
        ("data:image/png;base64,AAÄA", "holds no base64"),
    ],
)
def test_data_urls_without_an_image_are_refused(url: str, says: str) -> None:
    assert parts.is_data_url(url)
    with pytest.raises(InvalidRequestError, match=says):
        parts.data_in_url(url, "image", "image/…")


@pytest.mark.parametrize(
    ("text", "web", "data"),
    [
        ("https://a/b", True, False),
        ("HTTP://a", True, False),
        ("DATA:image/png;base64,AA==", False, True),
        ("a.png", False, False),
        ("/x/https://y", False, False),
        ("C:\\a.png", False, False),
        ("ftp://a/b", False, False),
        ("data.png", False, False),
    ],
)
def test_urls_and_paths(text: str, web: bool, data: bool) -> None:
    assert (parts.is_web_url(text), parts.is_data_url(text)) == (web, data)


def test_a_lazy_part_must_define_how_it_is_loaded() -> None:
    lazy: Any = parts.LazyPart()
    with pytest.raises(NotImplementedError):
        _ = lazy.part
    with pytest.raises(NotImplementedError):
        lazy.load()
