"""The direct transport: its pure parts, its choice, and what a server can do to it."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy

import segmind_async as sa
from segmind_async._transport import choice
from segmind_async._transport.aiohttp import AiohttpTransport
from segmind_async._transport.direct.aiohttp_names import mismatch, mismatch_of
from segmind_async._transport.direct.content_coding import DamagedError, decoded, installed, streams_of
from segmind_async._transport.direct.request_head import renderer
from segmind_async._transport.direct.transport import DirectTransport
from segmind_async.errors import MAX_BODY
from segmind_async.transport import Billing, Failure, FailureKind, Transport, WireRequest, WireResponse
from tests.transport.conftest import Wire
from tests.transport.hostile import Behaviour, Connection, HostileServer, answer
from tests.transport.hostile_wire import chunked, encoded, plain
from tests.virtual_time import RESOLUTION, VirtualTimeLoop

MOST = 100_000
BODY = b'{"a": 1}' * 50
BROTLI, ZSTD = installed("brotli"), installed("compression.zstd", "backports.zstd")


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("data", "coding", "expected"),
    [
        pytest.param(BODY, "identity", BODY, id="no coding"),
        pytest.param(BODY, "rot13", BODY, id="a coding that was not accepted"),
        pytest.param(gzip.compress(BODY), " GZIP", BODY, id="gzip"),
        pytest.param(gzip.compress(BODY) + gzip.compress(b"x"), "gzip", BODY + b"x", id="two members"),
        pytest.param(zlib.compress(BODY), "deflate", BODY, id="deflate"),
        pytest.param(raw_deflate(BODY), "deflate", BODY, id="deflate without its frame"),
        pytest.param(b"", "deflate", b"", id="nothing"),
        pytest.param(gzip.compress(bytes(10 * MOST)), "gzip", bytes(MOST + 1), id="cut where it is too long"),
        pytest.param(BROTLI.compress(BODY), "br", BODY, id="brotli"),
        pytest.param(BROTLI.compress(bytes(10 * MOST)), "br", bytes(MOST + 1), id="brotli that is too long"),
        pytest.param(ZSTD.compress(BODY), "zstd", BODY, id="zstd"),
        pytest.param(ZSTD.compress(BODY) + ZSTD.compress(b"x"), "zstd", BODY + b"x", id="two frames of zstd"),
        pytest.param(ZSTD.compress(bytes(10 * MOST)), "zstd", bytes(MOST + 1), id="zstd that is too long"),
    ],
)
def test_a_body_without_its_coding(data: bytes, coding: str, expected: bytes) -> None:
    assert decoded(data, coding, MOST) == expected


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(BODY)), ("br", BROTLI.compress(BODY)), ("zstd", ZSTD.compress(BODY))],
    ids=["gzip", "br", "zstd"],
)
def test_a_damaged_body_is_an_error(coding: str, packed: bytes) -> None:
    for data in (b"other bytes", packed[:-9]):
        with pytest.raises(DamagedError):
            decoded(data, coding, MOST)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", ZSTD.compress)],
    ids=["gzip", "deflate", "zstd"],
)
def test_members_of_any_length_are_read_one_after_the_other(
    coding: str, pack: Callable[[bytes], bytes]
) -> None:
    chance = random.Random(1)
    members = [chance.randbytes(n % 40 * 13) for n in range(1000)]
    assert decoded(b"".join(map(pack, members)), coding, 10 * MOST) == b"".join(members)


def test_more_members_than_anybody_sends_are_not_read() -> None:
    with pytest.raises(DamagedError, match="more than 1024 members"):
        decoded(gzip.compress(b"") * 1025, "gzip", MOST)
    assert decoded(gzip.compress(b"") * 1024, "gzip", MOST) == b""


class OldBrotli:
    """Before 1.2: without a bound of what it returns."""

    class Decompressor:
        process = is_finished = None


@pytest.mark.parametrize(
    ("brotli", "zstd", "codings"),
    [
        pytest.param(None, None, ["gzip", "deflate"], id="none"),
        pytest.param(OldBrotli, None, ["gzip", "deflate"], id="an old brotli"),
        pytest.param(BROTLI, None, ["gzip", "deflate", "br"], id="brotli"),
        pytest.param(None, ZSTD, ["gzip", "deflate", "zstd"], id="zstd"),
    ],
)
def test_only_codings_that_can_be_undone_are_accepted(brotli: Any, zstd: Any, codings: list[str]) -> None:
    assert [*streams_of(brotli, zstd)] == codings


def test_a_module_that_is_not_installed_is_none() -> None:
    assert installed("no_such_module", "zlib") is zlib
    assert installed("no_such_module") is None


def test_the_head_of_a_request() -> None:
    render = renderer({"x-api-key": "SG_1"})
    assert render("http://[::1]:81/v1/a b", True) == (
        b"POST /v1/a%20b HTTP/1.1\r\nHost: [::1]:81\r\nx-api-key: SG_1\r\nContent-Length: "
    )
    assert render("https://h/v2/r?x=1", False).endswith(b"\r\nx-api-key: SG_1\r\n\r\n")
    assert "SG_1" not in repr(render) + repr(vars(render))


class NoFactory:
    pass


class NoCreate:
    def __init__(self) -> None:
        self._factory = None


class OtherCreate(aiohttp.TCPConnector):
    async def _create_connection(self, req: object) -> None: ...  # type: ignore[override]  # as it might be


class OtherReader:
    is_eof = exception = read_nowait = None


@pytest.mark.parametrize(
    ("version", "connector", "parser", "reader", "reason"),
    [
        pytest.param("3.14.2", None, None, None, "was not checked", id="older"),
        pytest.param("3.15.0", None, None, None, "was not checked", id="newer"),
        pytest.param("3.14.5", NoFactory, None, None, "_factory is missing", id="no factory"),
        pytest.param("3.14.5", NoCreate, None, None, "another signature", id="no connecting"),
        pytest.param("3.14.5", OtherCreate, None, None, "another signature", id="other connecting"),
        pytest.param("3.14.5", None, HttpResponseParserPy, None, "parser in C", id="parser in Python"),
        pytest.param("3.14.5", None, None, OtherReader, "StreamReader.total_bytes", id="other bodies"),
    ],
)
def test_an_aiohttp_that_is_not_as_expected_is_named(
    version: str, connector: type | None, parser: type | None, reader: type | None, reason: str
) -> None:
    found = mismatch_of(
        version,
        connector or aiohttp.TCPConnector,
        parser or HttpResponseParser,
        reader or aiohttp.StreamReader,
    )
    assert found is not None
    assert reason in found


def test_the_installed_aiohttp_is_as_expected() -> None:
    assert mismatch() is None


def made(name: str | None) -> Transport:
    return choice.make_transport(name, "http://127.0.0.1:1/v1", {}, sa.Timeouts(), MOST)


def test_the_transport_is_chosen_by_name() -> None:
    assert isinstance(made("direct"), DirectTransport)
    assert isinstance(made(None), DirectTransport)
    assert isinstance(made("public"), AiohttpTransport)
    with pytest.raises(sa.ConfigurationError, match="transport='quick' must be"):
        made("quick")


@pytest.mark.parametrize(("name", "level"), [(None, logging.INFO), ("direct", logging.WARNING)], ids=str)
def test_the_public_transport_is_taken_where_the_direct_one_cannot_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str | None, level: int
) -> None:
    monkeypatch.setattr(choice, "mismatch", lambda: "aiohttp 9 was not checked")
    with caplog.at_level(logging.INFO):
        assert isinstance(made(name), AiohttpTransport)
        assert isinstance(made(name), AiohttpTransport)
    told = [(record.levelno, record.message) for record in caplog.records]
    assert told == [(level, "transport_public reason='aiohttp 9 was not checked'")]


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(sa.SegmindClient("k")._service.transport, DirectTransport)
    monkeypatch.setenv("SEGMIND_TRANSPORT", "public")
    assert isinstance(sa.SegmindClient("k")._service.transport, AiohttpTransport)
    assert isinstance(sa.SegmindClient("k", transport="direct")._service.transport, DirectTransport)


def said(got: WireResponse | Failure) -> str:
    if isinstance(got, Failure):
        return f"{got.kind.name} {got.billing.name}"
    return f"{got.status} {len(got.body)}"


def replies(data: bytes, *, size: int = 0, then: str = "wait") -> Behaviour:
    async def behave(connection: Connection) -> None:
        while await connection.request() is not None:
            if connection.number:
                await connection.send(answer("good"))
                continue
            await connection.send_slowly(data, size or len(data) or 1)
            if then == "reset":
                connection.reset()
            if then != "wait":
                return

    return behave


GOOD = answer("good")
LENGTH = len(GOOD.split(b"\r\n\r\n")[1])
OK = b"HTTP/1.1 200 OK\r\n"
PACKED = gzip.compress(bytes(MAX_BODY + 9))


@pytest.mark.parametrize(
    ("behaviour", "expected", "connections"),
    [
        pytest.param(replies(GOOD), f"200 {LENGTH}", 1, id="whole, and kept"),
        pytest.param(replies(GOOD, size=1), f"200 {LENGTH}", 1, id="byte by byte, and kept"),
        pytest.param(replies(GOOD + GOOD), f"200 {LENGTH}", 2, id="twice"),
        pytest.param(replies(answer("good", Connection="close")), f"200 {LENGTH}", 2, id="said to close"),
        pytest.param(replies(b"HTTP/1.1 103 E\r\n\r\n" + GOOD), f"200 {LENGTH}", 1, id="a 103 before"),
        pytest.param(
            replies(OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nT: 1\r\n\r\n"),
            "200 2",
            1,
            id="chunks with an extension and a trailer",
        ),
        pytest.param(replies(OK + b"\r\n{}", then="close"), "200 2", 2, id="until the end"),
        pytest.param(replies(b"HTTP/1.1 204 N\r\n\r\n"), "204 0", 1, id="no content"),
        pytest.param(
            replies(b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
            "101 0",
            2,
            id="another protocol",
        ),
        pytest.param(replies(GOOD[:-3], then="close"), "DISCONNECTED IN_DOUBT", 2, id="cut"),
        pytest.param(replies(GOOD[:-3]), "TIMED_OUT IN_DOUBT", 2, id="silent in the body"),
        pytest.param(replies(b""), "TIMED_OUT IN_DOUBT", 2, id="silent"),
        pytest.param(replies(b"", then="close"), "DISCONNECTED IN_DOUBT", 2, id="closed without a byte"),
        pytest.param(replies(GOOD[:20], then="reset"), "DISCONNECTED IN_DOUBT", 2, id="reset in the head"),
        pytest.param(replies(b"SSH-2.0\r\n\r\n"), "UNREADABLE IN_DOUBT", 2, id="no HTTP"),
        pytest.param(
            replies(OK + b"Content-Length: 9000000\r\n\r\n" + bytes(MOST + 1)),
            "TOO_LARGE IN_DOUBT",
            2,
            id="too long",
        ),
        pytest.param(
            replies(encoded("gzip", gzip.compress(random.Random(1).randbytes(2 * MOST)))),
            "TOO_LARGE IN_DOUBT",
            2,
            id="too long as it comes, and packed",
        ),
        pytest.param(
            replies(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
            "DISCONNECTED IN_DOUBT",
            2,
            id="no gzip though said",
        ),
        pytest.param(
            replies(b"HTTP/1.1 503 N\r\nContent-Length: 9\r\n\r\nabc", then="close"),
            "503 3",
            2,
            id="a refusal that is cut",
        ),
        pytest.param(
            replies(b"HTTP/1.1 503 N\r\n\r\n" + bytes(MAX_BODY + 9), then="close"),
            f"503 {MAX_BODY}",
            2,
            id="a refusal that is longer than what is kept of it",
        ),
        pytest.param(
            replies(plain("Content-Encoding: gzip", body=PACKED, status="HTTP/1.1 503 N")),
            f"503 {MAX_BODY}",
            1,
            id="a refusal that unpacks to more than what is kept of it",
        ),
    ],
)
async def test_each_answer_ends_the_same_way_over_both_transports(
    wire: Wire, behaviour: Behaviour, expected: str, connections: int
) -> None:
    async with HostileServer(behaviour) as server:
        transport = wire.transport(server.url, sa.Timeouts(attempt=20, idle=5), MOST)
        got = await transport.send(WireRequest("/m", b"{}"), 60)
        assert said(got) == expected
        await asyncio.sleep(1)  # of virtual time, in which what is on its way arrives
        await transport.send(WireRequest("/m", b"{}"), 60)
        assert server.connections == connections
        await transport.aclose()


async def test_a_connection_that_was_idle_for_long_is_closed_without_another_call() -> None:
    async with HostileServer(replies(GOOD)) as server:
        transport = DirectTransport(server.url, {}, sa.Timeouts(), MOST)
        await transport.send(WireRequest("/m", b"{}"), 60)
        pool = await transport._pools.session()
        assert repr(pool) == "ConnectionPool(1 open, 1 idle)"
        await asyncio.sleep(13)
        assert repr(pool) == "ConnectionPool(0 open, 0 idle)"
        await transport.aclose()


async def test_a_body_as_long_as_allowed_is_read_to_its_end(wire: Wire) -> None:
    whole = chunked(bytes(MOST))

    async def behave(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send_slowly(whole, len(whole) - 5, 1.0)

    async with HostileServer(behave) as server:
        transport = wire.transport(server.url, most_bytes=MOST)
        for _ in range(2):
            assert said(await transport.send(WireRequest("/m", b"{}"), 60)) == f"200 {MOST}"
        assert server.connections == 1
        await transport.aclose()


@pytest.mark.parametrize(("patient", "ends_after"), [(False, 3), (True, 20)], ids=["not patient", "patient"])
async def test_a_patient_request_is_bounded_by_what_is_left_alone(
    wire: Wire, patient: bool, ends_after: int
) -> None:
    async with HostileServer(replies(b"")) as server:
        transport = wire.transport(server.url, sa.Timeouts(attempt=3))
        began = asyncio.get_running_loop().time()
        got = await transport.send(WireRequest("/m", b"{}", patient=patient), 20)
        assert said(got) == "TIMED_OUT IN_DOUBT"
        assert asyncio.get_running_loop().time() - began == pytest.approx(ends_after, abs=0.01)
        await transport.aclose()


async def test_a_refusal_before_the_whole_request_counts_and_its_connection_is_closed(wire: Wire) -> None:
    async def behave(connection: Connection) -> None:
        await connection.some()
        await connection.send(answer("no", "503 Busy"))
        await connection.until_closed()

    async with HostileServer(behave) as server:
        transport = wire.transport(server.url)
        for _ in range(2):
            assert said(await transport.send(WireRequest("/m", bytes(20_000_000)), 60)).startswith("503 ")
        assert server.connections == 2
        await transport.aclose()


async def test_connections_that_are_not_needed_grow_old_and_are_closed_one_by_one() -> None:
    async with HostileServer(then_later(GOOD, b"")) as server:
        transport = DirectTransport(server.url, {}, sa.Timeouts(), MOST)

        async def send(after: float) -> None:
            await asyncio.sleep(after)
            await transport.send(WireRequest("/m", b"{}"), 60)

        async with asyncio.TaskGroup() as tasks:
            for after in (0.0, 0.0, 3.0, 9.0):  # the second of the first two is used again
                tasks.create_task(send(after))
        pool = await transport._pools.session()
        assert repr(pool) == "ConnectionPool(2 open, 2 idle)"
        await asyncio.sleep(4)
        assert repr(pool) == "ConnectionPool(1 open, 1 idle)"
        await asyncio.sleep(9)
        assert repr(pool) == "ConnectionPool(0 open, 0 idle)"
        await transport.aclose()


async def test_closed_it_holds_no_timer_and_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    close, seen = aiohttp.TCPConnector.close, list[str]()

    def look(connector: aiohttp.TCPConnector) -> Awaitable[None]:
        seen.append(repr(pool))
        return close(connector)

    async with HostileServer(replies(GOOD)) as server:
        transport = DirectTransport(server.url, {}, sa.Timeouts(), MOST)
        await transport.send(WireRequest("/m", b"{}"), 60)
        pool = await transport._pools.session()
        monkeypatch.setattr(aiohttp.TCPConnector, "close", look)
        await transport.aclose()
        assert seen == ["ConnectionPool(0 open, 0 idle)"]
        timers = [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert timers == []


async def test_a_connection_is_not_used_again_once_it_was_idle_for_long_though_its_timer_is_late() -> None:
    async with HostileServer(replies(GOOD)) as server:
        transport = DirectTransport(server.url, {}, sa.Timeouts(), MOST)
        await transport.send(WireRequest("/m", b"{}"), 60)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop._clock.ticks += round(13 / RESOLUTION)  # the loop was held for so long
        await transport.send(WireRequest("/m", b"{}"), 60)
        assert server.connections == 2
        await transport.aclose()


def then_later(data: bytes, more: bytes) -> Behaviour:
    async def behave(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(answer("good") if connection.number else data)
            await connection.pause(0.5)
            await connection.send(b"" if connection.number else more)

    return behave


@pytest.mark.parametrize(
    "begin", [b"H", b"HTTP/1", GOOD[:-1]], ids=["a letter", "a word", "all but a letter"]
)
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "later"])
async def test_the_beginning_of_another_answer_ends_the_connection(
    wire: Wire, begin: bytes, is_late: bool
) -> None:
    behave = then_later(GOOD, begin) if is_late else then_later(GOOD + begin, b"")
    async with HostileServer(behave) as server:
        transport = wire.transport(server.url)
        for _ in range(2):
            assert said(await transport.send(WireRequest("/m", b"{}"), 60)) == f"200 {LENGTH}"
            await asyncio.sleep(1)  # of virtual time, in which what is on its way arrives
        assert server.connections == 2
        await transport.aclose()


async def test_an_attempt_that_ends_while_it_connects_is_certainly_not_sent(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(1000)

    monkeypatch.setattr(aiohttp.TCPConnector, "_resolve_host", never)
    transport = wire.transport("http://name.invalid/v1", sa.Timeouts(attempt=3, connect=10))
    for time_left in (60, 2):
        assert said(await transport.send(WireRequest("/m", b"{}"), time_left)) == "TIMED_OUT NOT_SENT"
    await transport.aclose()


async def test_a_cancelled_send_leaves_no_connection() -> None:
    async with HostileServer(replies(b"")) as server:
        transport = DirectTransport(server.url, {}, sa.Timeouts(), MOST)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await transport.send(WireRequest("/m", b"{}"), 60)
        await asyncio.sleep(0)
        assert repr(await transport._pools.session()) == "ConnectionPool(0 open, 0 idle)"
        await transport.aclose()


async def test_no_connection_is_certainly_not_sent(wire: Wire) -> None:
    transport = wire.transport("http://127.0.0.1:1/v1")
    got = await transport.send(WireRequest("/m", b"{}"), 60)
    assert isinstance(got, Failure)
    assert (got.kind, got.billing) == (FailureKind.UNREACHABLE, Billing.NOT_SENT)
    await transport.aclose()
