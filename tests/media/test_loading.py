"""Images of messages: loaded off the event loop, once, and refused before anything is billed."""

from __future__ import annotations

import copy
import io
import itertools
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image
from pydantic_core import from_json

import segmind_async as sa
from segmind_async._media import loading
from segmind_async._media.formats import image_part
from segmind_async._media.loading import SourceImage
from segmind_async.testing import ScriptedTransport, answer
from tests.pictures import claimed, drawn, opened
from tests.support import client


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    loading.cache.clear()


def sent(transport: ScriptedTransport, number: int = -1) -> str:
    body = from_json(transport.requests[number].body or b"{}")
    return str(body["messages"][0]["content"][1]["image_url"]["url"])


def shown(part: Any) -> str:
    """Return the URL of an image's part, loaded if necessary."""
    if isinstance(part, SourceImage):
        part.load()
        part = part.part
    return str(part["image_url"]["url"])


async def asking(part: Any) -> str:
    """Return the URL that a client sends."""
    transport = ScriptedTransport()
    async with client(transport) as c:
        await c.chat([sa.user("?", part)])
    return sent(transport)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_a_file_is_sent_by_its_true_type(form: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.bmp"
    path.write_bytes(drawn(form))
    for source in (path, str(path)):
        url = await asking(sa.image(source))
        assert url.startswith(f"data:image/{form.lower()};base64,")
        assert opened(url).size == (40, 30)


async def test_bytes_and_data_urls_are_sent_by_their_true_type() -> None:
    url = await asking(sa.image(drawn("JPEG")))
    assert url.startswith("data:image/jpeg;base64,")
    wrong = url.replace("image/jpeg", "image/png")
    assert await asking(sa.image(wrong)) == url


async def test_a_web_url_is_passed_on_and_never_fetched() -> None:
    assert await asking(sa.image("https://example.com/a.png")) == "https://example.com/a.png"


async def test_a_pillow_image_is_sent_and_not_changed() -> None:
    picture = Image.new("RGB", (300, 200))
    assert opened(await asking(sa.image(picture))).format == "PNG"
    assert opened(await asking(sa.image(picture, max_side=30))).size == (30, 20)
    assert picture.size == (300, 200)


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.write(drawn("PNG"))
        file.truncate(5 * 2**30)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


BAD: list[Any] = [
    pytest.param(lambda at: at, "is not a file", id="a-directory"),
    pytest.param(lambda at: pipe(at / "pipe"), "is not a file", id="a-pipe"),
    pytest.param(lambda at: at / "missing.png", "cannot be read: .*No such file", id="missing"),
    pytest.param(lambda at: at / "a\0b", "cannot be read: .*embedded null", id="no-path"),
    pytest.param(lambda at: sparse(at / "a.png"), "has 5368709120 bytes, more than 20971520", id="5-gigabytes"),
    pytest.param(lambda at: written(at / "a.png", b""), "is empty", id="empty"),
    pytest.param(lambda at: written(at / "a.png", b"text"), "not a PNG, JPEG, GIF or WebP", id="wrong-extension"),
    pytest.param(lambda at: written(at / "a.png", drawn("JPEG")[:300]), "is a truncated JPEG image", id="truncated"),
    pytest.param(lambda at: written(at / "a.png", claimed(20_000, 20_000)), "has 20000 × 20000 pixels", id="a-bomb"),
    pytest.param(lambda at: written(at / "a.gif", drawn("GIF", frames=2)), "is animated", id="moving"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "says"), BAD)
async def test_a_file_that_cannot_be_sent_is_refused_before_anything_is_billed(
    make: Any, says: str, tmp_path: Path
) -> None:
    part, transport = sa.image(make(tmp_path)), ScriptedTransport()
    async with client(transport) as c:
        with pytest.raises(sa.InvalidRequestError, match=f"(?s)the image '.*{says}"):
            await c.chat([sa.user("?", part)])
        (failed, fine) = await c.chat_many([[sa.user("?", part)], "fine"])
    assert (failed.status, fine.status) == ("failed", "ok")
    assert isinstance(failed.error, sa.InvalidRequestError)
    assert len(transport.requests) == 1


async def test_the_error_for_a_file_that_cannot_be_opened_names_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(sa.InvalidRequestError, match="cannot be read: not yours"):
        shown(sa.image(path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: sa.image(b"x"), "the image begins with 78", id="bytes"),
        pytest.param(lambda: sa.image("data:image/png;base64,AA=="), "the image begins with 00", id="data-url"),
        pytest.param(lambda: sa.image("data:text/plain;base64,AA=="), "must begin with data:image", id="no-image"),
        pytest.param(lambda: sa.image("https://a/b", max_side=5), "cannot be made smaller here", id="web"),
        pytest.param(lambda: sa.image(7), "the image is a int; give a path", id="number"),  # type: ignore[arg-type]
        pytest.param(lambda: sa.image("a.png", max_side=0), "max_side=0", id="no-side"),
        pytest.param(lambda: sa.image("a.png", max_pixels=-1), "max_pixels=-1", id="no-pixels"),
    ],
)  # fmt: skip
def test_arguments_that_need_no_loading_are_refused_at_once(make: Any, says: str) -> None:
    with pytest.raises((sa.InvalidRequestError, sa.ConfigurationError), match=says):
        make()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        pytest.param({"max_side": 400}, (400, 200), id="fits"),
        pytest.param({"max_side": 100}, (100, 50), id="side"),
        pytest.param({"max_pixels": 5000}, (100, 50), id="pixels"),
        pytest.param({"max_pixels": 4999}, (99, 49), id="pixels-never-more"),
        pytest.param({"max_side": 100, "max_pixels": 800}, (40, 20), id="the-stricter-counts"),
        pytest.param({"max_side": 1}, (1, 1), id="a-dot"),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_large_image_is_made_smaller(
    form: str, size: dict[str, int], wanted: tuple[int, int], tmp_path: Path
) -> None:
    data = drawn(form, (400, 200))
    path = written(tmp_path / "a", data)
    for source in (path, data):
        got = opened(shown(sa.image(source, **size)))
        assert got.size == wanted
        if wanted != (400, 200):
            assert got.format == ("JPEG" if form == "JPEG" else "PNG")


def test_an_image_that_fits_is_sent_byte_for_byte(tmp_path: Path) -> None:
    data = drawn("JPEG", (400, 200))
    assert shown(sa.image(data, max_side=400, max_pixels=80_000)) == shown(sa.image(data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_images_of_all_modes_are_made_smaller(mode: str) -> None:
    got = opened(shown(sa.image(Image.new(mode, (100, 50)), max_side=10)))
    assert got.size == (10, 5)
    assert got.mode in {"L", "RGB", "RGBA"}


def test_the_first_frame_of_an_animation_is_sent_if_it_may_be_made_smaller() -> None:
    got = opened(shown(sa.image(drawn("GIF", frames=3), max_side=2000)))
    assert (got.format, getattr(got, "n_frames", 1), got.size) == ("PNG", 1, (40, 30))


def test_a_photograph_is_sent_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    got = opened(shown(sa.image(drawn("JPEG", (400, 200), exif=exif), max_side=100)))
    assert got.size == (50, 100)
    assert 0x0112 not in got.getexif()


def test_a_decompression_bomb_is_not_decoded_to_be_made_smaller() -> None:
    with pytest.raises(
        sa.InvalidRequestError, match="has 400000000 pixels, and at most 89478485 are decoded"
    ):
        shown(sa.image(claimed(20_000, 20_000), max_side=100))


def test_an_image_that_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(sa.InvalidRequestError, match="the image cannot be decoded"):
        shown(sa.image(claimed(5000, 5000), max_side=100))


def test_a_longer_file_may_be_read_to_be_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(drawn("PNG", (900, 900)) + bytes(21 * 2**20))
    assert opened(shown(sa.image(path, max_side=90))).size == (90, 90)
    with pytest.raises(sa.InvalidRequestError, match="bytes, more than 209715200"):
        shown(sa.image(sparse(path), max_side=90))


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        sa.InvalidRequestError, match=r"without Pillow: pip install 'segmind-async\[images\]'"
    ):
        shown(sa.image(claimed(5000, 5000), max_side=100))


async def test_a_thousand_calls_load_one_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))
    made: list[str] = []

    def counted(data: bytes, name: str) -> Any:
        made.append(name)
        return image_part(data, name)

    monkeypatch.setattr(loading, "image_part", counted)
    message = sa.user("?", sa.image(path))
    transport = ScriptedTransport(otherwise=lambda _request: answer("a dot"))
    async with client(transport) as c:
        async with c.fan_out([message] for _ in range(1000)) as outcomes:
            assert all([outcome.status == "ok" async for outcome in outcomes])
    assert len(made) == 1
    assert len({request.body for request in transport.requests}) == 1


def test_messages_of_one_file_share_its_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))
    one, two, small = sa.image(path), sa.image(str(path)), sa.image(path, max_side=9)
    assert shown(one) is shown(two)
    assert opened(shown(small)).size == (9, 6)


def test_a_file_that_was_replaced_by_one_of_the_same_length_is_loaded_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", claimed(40, 30))
    os.utime(path, ns=(1, 1))
    assert opened(shown(sa.image(path))).size == (40, 30)
    written(path, claimed(30, 40))
    os.utime(path, ns=(2, 2))
    assert opened(shown(sa.image(path))).size == (30, 40)


async def test_very_many_images_do_not_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [sa.image(written(tmp_path / f"{n}.png", claimed(40, 30 + n))) for n in range(50)]
    size = len(claimed(40, 30)) * 4 // 3
    monkeypatch.setattr(loading, "MAX_CACHE_BYTES", 3 * size)
    transport = ScriptedTransport()
    async with client(transport) as c:
        # Each message holds two: one may be dropped while the other is loaded.
        rows = await c.chat_many([sa.user("?", one, two)] for one, two in itertools.pairwise(pictures))
        assert [row.status for row in rows] == ["ok"] * 49
        assert sum(isinstance(one, SourceImage) and one.part is not None for one in pictures) == 3
        sizes = {opened(sent(transport, n)).size for n in range(49)}
        assert sizes == {(40, 30 + n) for n in range(49)}
        await c.chat([sa.user("again", pictures[0])])
    assert opened(sent(transport)).size == (40, 30)


async def test_an_image_dropped_while_another_is_loaded_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (sa.image(written(tmp_path / f"{n}.png", claimed(40, 30 + n))) for n in range(2))
    monkeypatch.setattr(loading, "MAX_CACHE_BYTES", len(claimed(40, 30)) * 4 // 3)
    async with client() as c:
        await c.chat([sa.user("?", one)])
        assert (await c.chat([sa.user("?", one, two)])).text.startswith("echo")


@pytest.mark.slow
async def test_a_slow_disk_does_not_keep_a_call_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(loading, "_read_file", lambda *_: release.wait(30))
    part = sa.image(written(tmp_path / "a.png", drawn("PNG")))
    async with client() as c:
        with pytest.raises(sa.APITimeoutError, match="no answer within timeout=5 s"):
            await c.chat([sa.user("?", part)], timeout=5)
        assert c.statistics().in_flight == 0
    release.set()


def test_images_in_memory_are_loaded_once_and_never_confused() -> None:
    widths = range(10, 19)
    assert [opened(shown(sa.image(Image.new("RGB", (width, 5))))).width for width in widths] == list(widths)
    picture = sa.image(Image.new("RGB", (10, 5)))
    assert shown(picture) is shown(picture)


async def test_an_image_is_loaded_in_another_thread_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))
    release, threads = threading.Event(), []
    contents = loading._read_file

    def slow(*given: Any) -> bytes:
        threads.append(threading.current_thread())
        release.wait(30)
        return contents(*given)

    monkeypatch.setattr(loading, "_read_file", slow)
    async with client() as c, anyio.create_task_group() as tasks:
        tasks.start_soon(c.chat, [sa.user("?", sa.image(path))])
        while not threads:
            await anyio.lowlevel.checkpoint()
        assert (await c.chat("meanwhile")).text == "echo: meanwhile"
        release.set()
    assert threading.current_thread() not in threads


async def test_an_image_takes_no_slot_while_it_is_loaded(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))
    seen: list[int] = []
    picture = sa.image(path)
    assert isinstance(picture, SourceImage)
    async with client(limits=sa.Limits(max_in_flight=1)) as c:
        read = SourceImage.load

        def watched(self: SourceImage) -> None:
            seen.append(c.statistics().in_flight)
            read(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SourceImage, "load", watched)
            await c.chat([sa.user("?", picture)])
    assert seen == [0]


def test_a_lazy_image_survives_pickle_and_copy(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))
    one = sa.image(path, max_side=2000)
    url = shown(one)
    for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), copy.copy(one)):
        assert twin == one
        assert shown(twin) == url
    assert len(pickle.dumps(one)) < 500


def test_requests_with_different_images_differ(tmp_path: Path) -> None:
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    assert sa.image(a) == sa.image(a)
    assert sa.image(a) != sa.image(b)
    assert str(sa.image(a)["image_url"]).startswith("{'url': 'file:///")
    assert sa.image(a) != sa.image(a, max_side=5)
    png = drawn("PNG")
    assert sa.image(png, max_side=5) == sa.image(bytes(png), max_side=5)
    assert sa.image(png, max_side=5) != sa.image(png, max_side=6)
    assert sa.image(png, max_side=5) != sa.image(drawn("GIF"), max_side=5)
    one, twin, other, turned = (
        Image.new("RGB", size, n) for size, n in (((4, 6), 0), ((4, 6), 0), ((4, 6), 9), ((6, 4), 0))
    )
    assert sa.image(one) == sa.image(twin)
    assert sa.image(one) != sa.image(other)
    assert sa.image(one) != sa.image(turned)


def test_a_pillow_image_that_cannot_be_read_is_refused_at_once() -> None:
    with Image.open(io.BytesIO(claimed(5000, 5000))) as broken:
        with pytest.raises(sa.InvalidRequestError, match="the image cannot be decoded"):
            sa.image(broken)


async def test_a_job_recognises_images_after_a_restart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", drawn("PNG"))

    def rows() -> list[Any]:
        pictures = [sa.image(path), sa.image(drawn("GIF"), max_side=9), sa.image(Image.new("RGB", (9, 9)))]
        return [[sa.user("?", picture)] for picture in pictures]

    for requests in (3, 0):
        transport = ScriptedTransport()
        async with client(transport) as c, c.run_job(rows(), journal=tmp_path / "journal") as job:
            assert [outcome.status async for outcome in job] == ["ok"] * 3
        assert len([request for request in transport.requests if request.body]) == requests


RAMP = [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("mode", "low", "high"),
    [
        pytest.param("I;16", 0, 65_535, id="16-bits"),
        pytest.param("I;16B", 0, 65_535, id="16-bits-big-endian"),
        pytest.param("I", 0, 65_535, id="32-bits-of-16"),
        pytest.param("I", 0, 255, id="32-bits-of-8"),
        pytest.param("I", -1000, 1_000_000, id="32-bits"),
        pytest.param("F", 0, 1, id="floats-to-1"),
        pytest.param("F", 0, 255, id="floats-to-255"),
        pytest.param("F", -0.5, 0.5, id="floats-below-0"),
    ],
)
def test_images_of_more_than_8_bits_keep_their_tones(mode: str, low: float, high: float) -> None:
    picture = Image.new("I" if mode.startswith("I") else mode, (100, 20))
    for column in range(5):
        value = low + (high - low) * RAMP[column]
        picture.paste(value if mode == "F" else int(value), (20 * column, 0, 20 * column + 20, 20))
    got = opened(shown(sa.image(picture.convert(mode), max_side=50))).convert("L")
    tones = [got.getpixel((10 * column + 5, 5)) for column in range(5)]
    assert tones == pytest.approx([255 * tone for tone in RAMP], abs=1.5)


def test_an_image_of_16_bits_in_a_file_keeps_its_tones(tmp_path: Path) -> None:
    Image.new("I;16", (20, 10), 65_535 // 4).save(tmp_path / "scan.png")
    got = opened(shown(sa.image(tmp_path / "scan.png", max_side=10)))
    assert got.getpixel((0, 0)) == pytest.approx(64, abs=1)


@pytest.mark.parametrize("value", [7.0, 70_000.0, -3.0])
def test_an_image_of_one_tone_is_made_smaller(value: float) -> None:
    assert opened(shown(sa.image(Image.new("F", (20, 10), value), max_side=10))).size == (10, 5)


def test_an_image_of_no_numbers_is_refused() -> None:
    with pytest.raises(sa.InvalidRequestError, match="holds values that are not finite numbers"):
        shown(sa.image(Image.new("F", (20, 10), float("inf")), max_side=10))


def test_the_first_frame_of_an_animated_png_is_sent_if_it_may_be_made_smaller() -> None:
    with pytest.raises(sa.InvalidRequestError, match="is animated, which the providers do not take"):
        sa.image(drawn("PNG", frames=3))
    got = opened(shown(sa.image(drawn("PNG", frames=3), max_side=2000)))
    assert (got.format, getattr(got, "n_frames", 1), got.size) == ("PNG", 1, (40, 30))


@pytest.mark.parametrize(
    ("form", "noun", "becomes"),
    [
        ("TIFF", "a TIFF image", "PNG"),
        ("BMP", "a BMP image", "PNG"),
        ("ICO", "an ICO image", "PNG"),
        ("JPEG2000", "a JPEG 2000 image", "PNG"),
        ("AVIF", "an AVIF image", "JPEG"),
    ],
)
def test_formats_that_no_provider_takes_are_named_and_converted(form: str, noun: str, becomes: str) -> None:
    options: dict[str, Any] = {"sizes": [(40, 30)]} if form == "ICO" else {}
    data = drawn(form, **options)
    with pytest.raises(sa.InvalidRequestError, match=rf"the image is {noun}, .*max_side=2000\) converts it"):
        sa.image(data)
    got = opened(shown(sa.image(data, max_side=2000)))
    assert (got.format, got.size) == (becomes, (40, 30))


def test_a_transparent_image_stays_so() -> None:
    got = opened(shown(sa.image(drawn("AVIF", mode="RGBA"), max_side=2000)))
    assert (got.format, got.mode) == ("PNG", "RGBA")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC image, .*register_heif_opener", id="heic"),
        pytest.param(b"\0\0\0\x18ftypmp42\0\0\0\0", "begins with .*not a PNG", id="film"),
        pytest.param(b"\xff\x0a\0\0", "is a JPEG XL image, .*convert it to PNG", id="jxl"),
        pytest.param(b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "is an SVG drawing, .*render it", id="svg"),
        pytest.param(b"%PDF-1.7", r"is a PDF, .*pass it to document\(\)", id="pdf"),
        pytest.param(b"BM and no picture", "is a BMP image|cannot be decoded", id="no-bmp"),
    ],
)
@pytest.mark.parametrize("smaller", [{}, {"max_side": 2000}])
def test_formats_that_cannot_be_read_are_named_with_the_way_out(
    data: bytes, says: str, smaller: dict[str, int]
) -> None:
    with pytest.raises(sa.InvalidRequestError, match=f"the image {says}"):
        shown(sa.image(data, **smaller))


def test_an_image_of_a_foreign_format_may_be_too_large_to_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmind_async._media.resizing.MAX_DECODED_PIXELS", 1000)
    with pytest.raises(sa.InvalidRequestError, match="has 1200 pixels, and at most 1000 are decoded"):
        shown(sa.image(drawn("TIFF"), max_side=10))
