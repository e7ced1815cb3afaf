"""The key is in nothing that leaves the library: whatever goes wrong, every text is searched for it."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web

import segmind_async as sa
from segmind_async._jobs.options import JobOptions
from segmind_async.emulator import Emulator, FunctionBrain, faults
from tests.transport.test_aiohttp import serving

KEY = "SG_deadbeefdeadbeef"
ODD = "no-prefix-at-all-4711"


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.status(400, "bad key $KEY"), id="400"),
        pytest.param(faults.status(401, "key $KEY is wrong", x_echo="$KEY"), id="401"),
        pytest.param(faults.status(406, "Insufficient credits for $KEY"), id="406"),
        pytest.param(faults.Answer(200, b"<html>$KEY"), id="unreadable"),
        pytest.param(faults.Answer(200, b'{"error": "$KEY"}'), id="error inside"),
        pytest.param(faults.redirect("http://elsewhere/$KEY"), id="redirect"),
        pytest.param(faults.Reset(), id="reset"),
        pytest.param(faults.Cut(), id="cut"),
        pytest.param(faults.NoHttp(b"HTTP/1.1 banana $KEY\r\n\r\n"), id="no http"),
        pytest.param(faults.Silence(), id="timeout"),
    ],
)
async def test_no_failure_shows_the_key(key: str, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        Emulator(key=key) as emulator,
        sa.SegmindClient(key, emulator.url, retry=sa.RetryPolicy(retries=0)) as client,
    ):
        emulator.script(_with(fault, key), _with(fault, key))
        with pytest.raises(sa.SegmindError) as caught:
            await client.chat("hello")
        texts = [*_everything(caught.value), repr(client), str(vars(client)), caplog.text]
        texts += [repr(value) for value in _reachable(client)]
    for text in texts:
        assert key not in text


def _with(fault: Any, key: str) -> Any:
    """Put the key where the fault says so: a server or proxy may echo a request."""
    fault = copy.deepcopy(fault)
    for name in ("body", "data"):
        if hasattr(fault, name):
            object.__setattr__(fault, name, getattr(fault, name).replace(b"$KEY", key.encode()))
    if hasattr(fault, "headers"):
        headers = {name: value.replace("$KEY", key) for name, value in fault.headers.items()}
        object.__setattr__(fault, "headers", headers)
    return fault


def _everything(error: sa.SegmindError) -> list[str]:
    shown = io.StringIO()
    traceback.TracebackException.from_exception(error, capture_locals=False).print(file=shown)
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    texts = [shown.getvalue(), pickle.dumps(error).decode("latin-1")]
    for one in chain:
        texts += [str(one), repr(one), str(vars(one)), str(one.args)]
    # The frames of what the network raised hold the request's headers: they are cut.
    for one in chain[1:]:
        frame = one.__traceback__
        while frame is not None:
            texts.append(repr(frame.tb_frame.f_locals))
            frame = frame.tb_next
    return texts


def _reachable(client: sa.SegmindClient) -> list[object]:
    """Return what hangs together with a client, and what each of them holds."""
    service = client._service
    objects: list[Any] = [service.transport, service.admission, service.estimates]
    objects += [client._options, client._limits]
    objects += [getattr(service.transport, name, None) for name in ("_sessions", "_pools", "_head")]
    return [service, service.redactor, *objects, *(vars(one) for one in objects if hasattr(one, "__dict__"))]


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    elsewhere: list[str] = []

    async def steal(request: web.Request) -> web.Response:
        elsewhere.append(request.headers.get("x-api-key", ""))
        return web.json_response({})

    async with (
        serving(steal) as url,
        Emulator() as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        emulator.script(faults.redirect(url + "/x"))
        with pytest.raises(sa.InvalidResponseError):
            await client.chat("hello")
    assert elsewhere == []


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize("delivery", ["direct", "queued"])
async def test_no_answer_shows_a_key_that_the_server_echoes(
    key: str, delivery: Literal["direct", "queued"], tmp_path: Path
) -> None:
    echo = faults.Headers({"x-request-id": f"id-{key}", "x-echo": key})
    async with (
        Emulator(FunctionBrain(lambda _: f"your key is {key}"), key=key) as emulator,
        sa.SegmindClient(key, emulator.url) as client,
    ):
        emulator.script(*[echo] * 8)
        async with client.run_job(["hi"], journal=tmp_path / "j", options=JobOptions(delivery)) as run:
            outcomes = [outcome async for outcome in run]
        emulator.script(*[echo] * 2)
        got = await client.chat("hello")
        with pytest.raises(sa.SegmindError) as caught:
            await client.chat("hello", parse=int, max_reasks=0)
    assert got.text == f"your key is {sa.errors.REDACTED}"
    assert "x-echo" in got.headers
    texts = [repr(got), repr([getattr(got, name) for name in got.__slots__]), repr(outcomes)]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    texts += [*_everything(caught.value), *_library_frames(caught.value)]
    for text in texts:
        assert key not in text


def _library_frames(error: BaseException) -> list[str]:
    """Return what the library's own frames of an error hold, for programs that report them."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [one for one in frames if "segmind_async" in one.f_code.co_filename]
    return [repr(value) for one in own for value in one.f_locals.values()]
