"""`/v1/files`: what is taken, what is refused and how, and what is left of it on the disk."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import openai
import pytest

from segmind_async import ConfigurationError
from segmind_async.gateway import GatewayOptions
from tests.gateway.batches.support import kept, uploaded
from tests.gateway.support import World

MIB = 1024 * 1024


def form(content: bytes = b"{}\n", filename: str = "a.jsonl", **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(default_to_multipart=True)
    made.add_field("file", content, filename=filename)
    for name, value in {"purpose": "batch", **fields}.items():
        made.add_field(name, value)
    return made


async def error_of(w: World, data: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    response = await w.post("/files", data=data, headers=headers)
    return response.status, (await response.json())["error"]


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("file-"))


async def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 4096
    async with kept(tmp_path) as (_, sdk):
        file = await uploaded(sdk, whole)
        assert (file.bytes, file.filename, file.purpose, file.status) == (
            len(whole),
            "rows.jsonl",
            "batch",
            "processed",
        )
        assert (await sdk.files.content(file.id)).content == whole
        assert await sdk.files.retrieve(file.id) == file
    async with kept(tmp_path) as (_, sdk):
        assert [one async for one in sdk.files.list()] == [file]
        assert (await sdk.files.delete(file.id)).deleted
        with pytest.raises(openai.NotFoundError, match="No such File"):
            await sdk.files.content(file.id)
        assert stored(tmp_path) == []


async def test_parts_in_any_order_and_further_ones(tmp_path: Path) -> None:
    async with kept(tmp_path) as (w, _):
        made = form(filename="x.jsonl", further="1")
        response = await w.post("/files", data=made)
        body = await response.json()
        assert (response.status, body["filename"]) == (200, "x.jsonl")
        assert response.headers["x-request-id"].startswith("gw-")


BAD_FORMS: dict[str, tuple[bytes, int, str | None]] = {
    "empty": (b"", 400, None),
    "no-form": (b"nothing of the kind", 400, None),
    "never-closed": (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}',
        400,
        None,
    ),
    "no-end": (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n', 400, None),
    "no-file": (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
        400,
        "file",
    ),
    "no-name": (b"--b\r\nX: y\r\n\r\nbatch\r\n--b--\r\n", 400, "file"),
    "file-without-a-name": (
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n{}\r\n--b--\r\n',
        400,
        "file",
    ),
    "form-in-a-form": (
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
        400,
        None,
    ),
    "many-parts": (
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' * 20 + b"--b--\r\n",
        400,
        None,
    ),
    "long-field": (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n",
        400,
        "purpose",
    ),
    "header-flood": (b"--b\r\n" + b"X: y\r\n" * 20_000 + b"\r\nx\r\n--b--\r\n", 400, None),
    "long-header": (b"--b\r\nX: " + b"y" * 200_000 + b"\r\n\r\nx\r\n--b--\r\n", 400, None),
}


@pytest.mark.parametrize("name", BAD_FORMS)
async def test_a_bad_form_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    body, status, param = BAD_FORMS[name]
    async with kept(tmp_path) as (w, _):
        found, error = await error_of(w, body, **{"Content-Type": "multipart/form-data; boundary=b"})
        assert (found, error["param"]) == (status, param)
        assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Content-Type": "application/json"}, 415, id="json"),
        pytest.param({"Content-Type": "multipart/form-data"}, 400, id="no-boundary"),
        pytest.param(
            {"Content-Type": "multipart/form-data; boundary=b", "Origin": "https://evil.example"},
            403,
            id="web-page",
        ),
    ],
)
async def test_other_requests_are_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with kept(tmp_path) as (w, _):
        assert (await error_of(w, b"x", **headers))[0] == status


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"purpose": "vision"}, "purpose"), ({"expires_after[anchor]": "created_at"}, "expires_after.seconds")],
)
async def test_a_bad_field_is_named(tmp_path: Path, fields: dict[str, Any], param: str) -> None:
    async with kept(tmp_path) as (w, _):
        assert (await error_of(w, form(**fields)))[1]["param"] == param
        assert stored(tmp_path) == []


async def test_bounds_of_size_and_number(tmp_path: Path) -> None:
    bounds: dict[str, Any] = {"max_file_bytes": 2048, "max_files": 3, "max_stored_bytes": 5000}
    async with kept(tmp_path, **bounds) as (w, sdk):
        status, error = await error_of(w, form(b"x" * 2049))
        assert (status, error["code"]) == (413, "file_too_large")
        first = await uploaded(sdk, b"x" * 2048)
        await uploaded(sdk, b"x" * 2048)
        status, error = await error_of(w, form(b"x" * 1024))
        assert (status, error["code"]) == (400, "storage_full")
        await uploaded(sdk, b"x")
        status, error = await error_of(w, form(b"x"))
        assert (status, error["code"]) == (400, "storage_full")
        await sdk.files.delete(first.id)
        await uploaded(sdk, b"x" * 2048)
        assert len(stored(tmp_path)) == 2 * 3


async def test_an_upload_that_drips_is_given_up(tmp_path: Path) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            await anyio.sleep(1)
            yield b"x" * 100

    async with kept(tmp_path, body_timeout=60) as (w, _):
        before = anyio.current_time()
        status, _error = await error_of(w, dripping(), **{"Content-Type": "multipart/form-data; boundary=b"})
        assert status == 408
        assert 60 <= anyio.current_time() - before < 70
        assert stored(tmp_path) == []


async def test_an_upload_whose_caller_hangs_up_leaves_nothing(tmp_path: Path) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * MIB
        await anyio.sleep_forever()

    async with kept(tmp_path, max_files=1) as (w, sdk):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        with anyio.move_on_after(1):
            await w.session.post(w.gateway.url + "/files", data=half(), headers=headers)
        await anyio.sleep(1)
        assert stored(tmp_path) == []
        await uploaded(sdk, b"x")


@pytest.mark.slow
async def test_no_file_is_in_memory_as_a_whole(tmp_path: Path) -> None:
    size = 64 * MIB

    async def large() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(size // MIB):
            yield b"x" * MIB
        yield b"\r\n--b--\r\n"

    async with kept(tmp_path) as (w, _):
        tracemalloc.start()
        try:
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            file = await (await w.post("/files", data=large(), headers=headers)).json()
            assert file["bytes"] == size
            got = 0
            async with w.session.get(f"{w.gateway.url}/files/{file['id']}/content") as response:
                async for chunk in response.content.iter_chunked(MIB):
                    got += len(chunk)
            assert got == size
            assert tracemalloc.get_traced_memory()[1] < size / 4
        finally:
            tracemalloc.stop()


async def test_records_that_are_damaged_or_foreign_are_left_out(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, sdk):
        file = await uploaded(sdk, b"x")
    record, content = tmp_path / f"{file.id}.file.json", tmp_path / f"{file.id}.content.jsonl"
    other = tmp_path / f"file-{'0' * 32}.file.json"
    other.write_bytes(record.read_bytes())
    (tmp_path / f"file-{'1' * 32}.file.json").write_text("{")
    (tmp_path / f"file-{'2' * 32}.content.jsonl").write_text("an upload that was cut off")
    async with kept(tmp_path) as (_, sdk):
        assert [one.id async for one in sdk.files.list()] == [file.id]
    assert stored(tmp_path) == [content.name, record.name]


async def test_a_folder_that_another_gateway_uses_is_refused_and_stays_whole(tmp_path: Path) -> None:
    async with kept(tmp_path, state=tmp_path / "one.db") as (_, sdk):
        file = await uploaded(sdk, b"x")
        with pytest.raises(ConfigurationError, match="is using files"):
            async with kept(tmp_path, state=tmp_path / "other.db"):
                pass
        assert (await sdk.files.retrieve(file.id)).id == file.id


def test_bounds_that_let_nothing_in() -> None:
    for name in ("max_file_bytes", "max_files", "max_stored_bytes"):
        bound: dict[str, Any] = {name: 0}
        with pytest.raises(ConfigurationError, match=name):
            GatewayOptions(**bound)


async def test_uploads_at_once_share_the_bound(tmp_path: Path) -> None:
    async with kept(tmp_path, max_stored_bytes=3 * MIB) as (w, _):
        sent = [w.post("/files", data=form(b"x" * MIB)) for _ in range(8)]
        statuses = [response.status for response in await asyncio.gather(*sent)]
        assert statuses.count(200) <= 3
        assert sum(path.stat().st_size for path in tmp_path.glob("*.content.jsonl")) <= 3 * MIB
