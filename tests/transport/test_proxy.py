"""Requests through a proxy: which one, and what it sees."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp.connector
import anyio
import pytest
import trustme
from aiohttp import web

import segmind_async as sa
from segmind_async._transport.aiohttp import AiohttpTransport
from segmind_async._transport.direct.transport import DirectTransport
from segmind_async._transport.proxy import proxy_for
from segmind_async.emulator import Emulator
from segmind_async.testing import ScriptedTransport

KEY = "SG_0123456789abcdef"
SERVICE = "https://api.segmind.com/v1"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    monkeypatch.delenv("SEGMIND_PROXY", raising=False)


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        pytest.param(SERVICE, {}, None, id="none"),
        pytest.param(SERVICE, {"HTTPS_PROXY": "http://p:1"}, "http://p:1", id="by scheme"),
        pytest.param(SERVICE, {"HTTPS_PROXY": "p:1"}, "http://p:1", id="without a scheme of its own"),
        pytest.param(
            SERVICE, {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "http://q:1", id="lower"
        ),
        pytest.param(SERVICE, {"HTTP_PROXY": "http://p:1"}, None, id="of the other scheme"),
        pytest.param(SERVICE, {"ALL_PROXY": "http://p:1"}, "http://p:1", id="all"),
        pytest.param(
            SERVICE, {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:1"}, "http://p:1", id="both"
        ),
        pytest.param("http://127.0.0.1:1/v1", {"HTTP_PROXY": "http://p:1"}, None, id="this machine"),
        *(
            pytest.param(SERVICE, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": text}, expected, id=f"no {text}")
            for text, expected in {
                "*": None,
                "api.segmind.com": None,
                "a.com, segmind.com": None,
                ".SEGMIND.com": None,
                "*.segmind.com": None,
                "mind.com": "http://p:1",
                "v.api.segmind.com": "http://p:1",
                "api.segmind.com:443": "http://p:1",
                ",": "http://p:1",
            }.items()
        ),
        pytest.param(
            "https://a.com:8443/v1",
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.com:8443"},
            None,
            id="no, with port",
        ),
    ],
)
def test_the_proxy_of_the_environment(
    url: str, variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url, None, None, trust_env=True, allow_http=False) == expected
    assert proxy_for(url, None, None, trust_env=False, allow_http=False) is None


def test_an_argument_wins_over_the_own_variable_and_that_over_the_common_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://common:1")
    assert proxy_for(SERVICE, "http://a:1", "http://b:1", trust_env=True, allow_http=False) == "http://a:1"
    assert proxy_for(SERVICE, None, "http://b:1", trust_env=True, allow_http=False) == "http://b:1"
    assert proxy_for("http://localhost/v1", None, "http://b:1", trust_env=True, allow_http=False) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://u:secret@p:1",
        "p:3128",
        "http://",
        "http://u:secret@p:x",
        "http://u:secret@p:0",
        "http://p/x",
        "",
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(proxy: str, by_variable: bool) -> None:
    given, variable = (None, proxy) if by_variable else (proxy, None)
    with pytest.raises(sa.ConfigurationError, match="cannot be used") as caught:
        proxy_for(SERVICE, given, variable, trust_env=False, allow_http=False)
    assert ("SEGMIND_PROXY=" if by_variable else "proxy=") in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_other_machine_gets_the_key_in_plain_text() -> None:
    with pytest.raises(sa.ConfigurationError, match="send it the key in plain text"):
        sa.SegmindClient(KEY, "http://127.0.0.1:1/v1", proxy="http://elsewhere:3128")
    sa.SegmindClient(KEY, "http://127.0.0.1:1/v1", proxy="http://elsewhere:3128", allow_http=True)
    sa.SegmindClient(KEY, "http://127.0.0.1:1/v1", proxy="http://localhost:3128")


def test_a_proxy_takes_the_public_transport_and_no_transport_of_ones_own() -> None:
    assert isinstance(sa.SegmindClient(KEY, transport="direct")._service.transport, DirectTransport)
    through = sa.SegmindClient(KEY, transport="direct", proxy="http://u:secret@p:1")
    assert isinstance(through._service.transport, AiohttpTransport)
    assert "secret" not in repr(vars(through)) + repr(vars(through._service.transport))
    with pytest.raises(sa.ConfigurationError, match="a transport of your own"):
        sa.SegmindClient(KEY, proxy="http://p:1", transport=ScriptedTransport())


@asynccontextmanager
async def forwarding(seen: list[bytes], refusal: bytes = b"") -> AsyncIterator[str]:
    """Run a proxy that tunnels (CONNECT) or forwards, notes the first bytes it got, or refuses."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if refusal:
            writer.write(refusal)
            writer.close()
            return
        method, target = head.split(b" ", 2)[:2]
        host, port = target.removeprefix(b"http://").partition(b"/")[0].rsplit(b":", 1)
        upstream, out = await asyncio.open_connection(host.decode(), int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            out.write(head)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(copy, reader, out)
            tasks.start_soon(copy, upstream, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_plain_http_is_forwarded() -> None:
    seen: list[bytes] = []
    async with (
        Emulator() as emulator,
        forwarding(seen) as proxy,
        sa.SegmindClient(emulator.key, emulator.url, proxy=proxy) as client,
    ):
        assert (await client.chat("hi")).text == "echo: hi"
        assert (await client.balance()).total
    assert seen[0].startswith(b"POST http://127.0.0.1:")
    assert b"Proxy-Authorization: Basic " in seen[0]


async def test_https_goes_through_a_tunnel_that_never_sees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    authority, seen = trustme.CA(), list[bytes]()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["x-api-key"] == KEY
        return web.json_response({"choices": [{"message": {"content": "yes"}}]})

    app = web.Application()
    app.router.add_post("/v1/{slug}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        async with forwarding(seen) as proxy, sa.SegmindClient(KEY, url, proxy=proxy) as client:
            assert [(await client.chat("hi")).text for _ in range(2)] == ["yes", "yes"]
    finally:
        await runner.cleanup()
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert KEY.encode() not in seen[0]


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["407", "403", "nobody there"],
)
async def test_a_proxy_that_refuses_has_sent_nothing(refusal: bytes) -> None:
    retry = sa.RetryPolicy(retries=0)
    async with forwarding([], refusal) as refusing:
        proxy = refusing if refusal else "http://user:secret@127.0.0.1:1"
        async with sa.SegmindClient(KEY, "https://127.0.0.1:9/v1", proxy=proxy, retry=retry) as client:
            with pytest.raises(sa.APIConnectionError) as caught:
                await client.chat("hi")
    assert not caught.value.details.in_doubt
    assert "secret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert KEY not in repr(caught.value.__cause__)
