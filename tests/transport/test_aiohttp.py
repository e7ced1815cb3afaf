"""The client against the emulated service over real sockets: what a network and a server can do to a call."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import segmind_async as sa
from segmind_async._transport.aiohttp import failure_of
from segmind_async._transport.choice import TransportName
from segmind_async._transport.deadlines import Deadlines
from segmind_async._wire.failures import Billing, FailureKind
from segmind_async._wire.headers import Headers
from segmind_async.emulator import Emulator, faults
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest
from tests.pictures import drawn

ONCE = sa.RetryPolicy(retries=0)


@asynccontextmanager
async def on(emulator: Emulator, **options: Any) -> AsyncIterator[sa.SegmindClient]:
    async with sa.SegmindClient(emulator.key, emulator.url, **options) as client:
        yield client


async def test_one_call_over_the_wire() -> None:
    async with Emulator(balance=5) as emulator, on(emulator) as client:
        reply = await client.chat("hello", max_tokens=50)
    assert reply.text == "echo: hello"
    assert reply.cost == emulator.calls[0].cost
    assert reply.credits_remaining == emulator.state.account.balance
    assert reply.request_id == "req-00000001"
    assert reply.usage.input_tokens == 1
    assert reply.raw["model"] == "gpt-5.4-mini"


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"])
async def test_all_three_shapes(model: str) -> None:
    talk = [
        sa.system("be brief"),
        sa.user("hi"),
        sa.assistant("yes?"),
        sa.user("a picture", sa.image(drawn("GIF"))),
    ]
    async with Emulator() as emulator, on(emulator, model=model) as client:
        reply = await client.chat(talk, max_tokens=2)
    assert reply.text == "echo: a "
    assert reply.usage == sa.Usage(reply.usage.input_tokens, 2, (reply.usage.input_tokens or 0) + 2)
    assert reply.finish_reason in {"length", "max_tokens", "MAX_TOKENS"}


@pytest.mark.parametrize("name", faults.hostile_answers())
async def test_a_hostile_answer_is_one_clear_error_and_the_next_call_works(name: str) -> None:
    async with Emulator() as emulator, on(emulator, retry=ONCE) as client:
        emulator.script(faults.hostile_answers()[name])
        with pytest.raises(
            sa.InvalidResponseError if name not in _BROKEN else sa.APIConnectionError
        ) as caught:
            await client.chat("hello")
        error = caught.value
        assert error.message
        assert error.details.in_doubt <= 1
        assert error.attempts == 1
        assert (await client.chat("again")).text == "echo: again"
        assert client.statistics().in_flight == 0


# What aiohttp already takes for a damaged connection.
_BROKEN = {"not-gzip-though-said"}


@pytest.mark.parametrize("name", faults.odd_answers())
async def test_an_odd_answer_that_is_whole_is_read(name: str) -> None:
    fault, text = faults.odd_answers()[name]
    async with Emulator() as emulator, on(emulator, retry=ONCE) as client:
        emulator.script(fault)
        assert (await client.chat("hello")).text == text


async def test_a_small_answer_that_unpacks_without_end_takes_no_memory() -> None:
    bomb = faults.hostile_answers()["gzip-bomb"]
    assert len(bomb.body) < MIB / 8
    async with (
        Emulator() as emulator,
        on(emulator, retry=ONCE, limits=sa.Limits(max_response_bytes=MIB)) as client,
    ):
        await client.chat("warm up")
        emulator.script(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(sa.InvalidResponseError, match="longer than 1048576 bytes"):
                await client.chat("hello")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 12 * MIB


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("fault", "error", "in_doubt"),
    [
        pytest.param(faults.Reset(), sa.APIConnectionError, 1, id="reset after the run"),
        pytest.param(faults.Reset(ran=False), sa.APIConnectionError, 1, id="reset before: nobody can tell"),
        pytest.param(faults.Cut(), sa.APIConnectionError, 1, id="cut in mid-body"),
        pytest.param(faults.Cut(0.0), sa.APIConnectionError, 1, id="cut after the headers"),
        pytest.param(faults.Silence(), sa.APITimeoutError, 1, id="silence"),
        pytest.param(faults.Drip(), sa.APITimeoutError, 1, id="drip"),
        pytest.param(faults.Drip(45.0), sa.APITimeoutError, 1, id="slow drip"),
        pytest.param(faults.NoHttp(), sa.InvalidResponseError, 1, id="no http"),
        pytest.param(faults.proxy_page(502), sa.ServerError, 0, id="a page of a proxy"),
        pytest.param(faults.redirect("http://example.com/steal"), sa.InvalidResponseError, 0, id="redirect"),
        pytest.param(
            faults.status(503, "busy", Retry_After="400"), sa.ServerError, 0, id="asks for too long"
        ),
    ],
)
async def test_faults_of_the_network(
    fault: faults.Fault, error: type[sa.SegmindError], in_doubt: int
) -> None:
    async with Emulator() as emulator, on(emulator, retry=ONCE) as client:
        emulator.script(fault)
        with pytest.raises(error) as caught:
            await client.chat("hello")
        assert caught.value.details.in_doubt == in_doubt
        assert caught.value.elapsed <= 121
        assert (await client.chat("again")).text == "echo: again"
        statistics = client.statistics()
    assert statistics.in_flight == 0
    assert (statistics.held > 0) == (in_doubt > 0)


async def test_a_silent_server_costs_the_total_whatever_the_retries() -> None:
    async with Emulator() as emulator, on(emulator, timeouts=sa.Timeouts(total=3)) as client:
        emulator.script(*[faults.Silence()] * 9)
        before = anyio.current_time()
        with pytest.raises(TimeoutError):
            await client.chat("hello")
        assert anyio.current_time() - before == pytest.approx(3, abs=0.01)


async def test_silence_inside_a_body_ends_after_idle() -> None:
    async with Emulator() as emulator, on(emulator, retry=ONCE, timeouts=sa.Timeouts(idle=5)) as client:
        emulator.script(faults.Drip(30))
        before = anyio.current_time()
        with pytest.raises(sa.APITimeoutError):
            await client.chat("hello")
        assert anyio.current_time() - before == pytest.approx(5, abs=0.1)


async def test_without_idle_only_the_attempt_bounds() -> None:
    timeouts = sa.Timeouts(idle=None, attempt=70)
    async with Emulator() as emulator, on(emulator, retry=ONCE, timeouts=timeouts) as client:
        emulator.script(faults.Drip(65))
        before = anyio.current_time()
        with pytest.raises(sa.APITimeoutError):
            await client.chat("hello")
        assert anyio.current_time() - before == pytest.approx(70, abs=0.1)


async def test_lost_answers_are_sent_again_once_and_counted() -> None:
    async with Emulator() as emulator, on(emulator) as client:
        emulator.script(faults.Reset())
        reply = await client.chat("hello")
        assert (reply.attempts, reply.in_doubt) == (2, 1)
        assert emulator.billed()["hello"] == 2


async def test_a_refused_connection_is_not_sent_and_free_to_repeat(unused_url: str) -> None:
    async with sa.SegmindClient("k", unused_url) as client:
        with pytest.raises(sa.APIConnectionError) as caught:
            await client.chat("hello")
        assert (caught.value.attempts, caught.value.details.in_doubt) == (4, 0)
        assert client.statistics().held == 0


@pytest.fixture
def unused_url() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


async def test_a_refusal_whose_body_breaks_is_still_a_refusal() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503, headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"error": "bu')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(cut) as url, sa.SegmindClient("k", url, retry=ONCE) as client:
        with pytest.raises(sa.ServerError) as caught:
            await client.chat("hello")
    assert caught.value.status == 503
    assert caught.value.details.in_doubt == 0


@pytest.mark.parametrize("transport", ["public", "direct"])
async def test_of_a_refusal_only_what_an_error_keeps_is_read(transport: TransportName) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        for _ in range(32):
            await response.write(b"x" * MIB)
            sent += MIB
        return response

    async with (
        serving(flood) as url,
        sa.SegmindClient("k", url, retry=ONCE, transport=transport) as client,
    ):
        with pytest.raises(sa.ServerError) as caught:
            await client.chat("hello")
    assert len(caught.value.body) == sa.errors.MAX_BODY
    assert sent < 32 * MIB


async def test_the_named_cost_of_a_changed_answer_is_counted() -> None:
    changed = web.json_response({"choices": []}, status=203, headers={"x-cost": "0.5"})

    async def change(_request: web.Request) -> web.Response:
        return changed

    async with serving(change) as url, sa.SegmindClient("k", url, retry=ONCE) as client:
        with pytest.raises(sa.InvalidResponseError) as caught:
            await client.chat("hello")
        assert str(caught.value.details.cost) == "0.5"
        assert client.statistics().held == 0


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{anything:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("transport", ["public", "direct"])
async def test_what_goes_over_the_wire(transport: TransportName) -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def look(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.method, request.path, headers, await request.read()))
        response = web.json_response({"choices": [{"message": {"content": "x"}}]})
        response.set_cookie("track", "me")
        return response

    async with (
        serving(look) as url,
        # By name: aiohttp keeps no cookies of an address.
        sa.SegmindClient("SG_key", url.replace("127.0.0.1", "localhost"), transport=transport) as client,
    ):
        await client.chat("hello")
        await client.chat("x" * 2_000_000)
    method, path, headers, body = seen[0]
    assert (method, path) == ("POST", "/v1/gpt-5.4-mini")
    assert json.loads(body) == {"messages": [{"role": "user", "content": "hello"}]}
    assert headers["x-api-key"] == "SG_key"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"segmind-async/{sa.__version__}"
    assert "cookie" not in seen[1][2]
    assert len(seen[1][3]) > 2_000_000
    assert seen[1][2]["content-length"] == str(len(seen[1][3]))


async def test_connections_are_used_again_and_not_limited_below_the_slots() -> None:
    async with Emulator(latency=1.0) as emulator, on(emulator, limits=sa.Limits(max_in_flight=200)) as client:
        await client.balance()
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for n in range(150):
                    tasks.start_soon(client.chat, str(n))
        most = 0
        changes = sorted(
            [(c.arrived_at, 1) for c in emulator.calls] + [(c.ended_at or 0, -1) for c in emulator.calls]
        )
        now = 0
        for _, step in changes:
            now += step
            most = max(most, now)
    assert most >= 140


@pytest.mark.slow
async def test_a_thousand_random_cancels_leave_nothing_behind() -> None:
    chance = random.Random(1)
    async with (
        Emulator(latency=lambda _f, _c, r: r.uniform(0, 2), balance=1000) as emulator,
        on(emulator, limits=sa.Limits(max_in_flight=20)) as client,
    ):
        await client.chat("warm up")
        before = len(asyncio.all_tasks())

        async def one(n: int) -> None:
            with anyio.move_on_after(chance.uniform(0, 3)):
                await client.chat(f"call {n}")

        async with anyio.create_task_group() as tasks:
            for n in range(1000):
                tasks.start_soon(one, n)
                if n % 10 == 0:
                    await anyio.sleep(chance.uniform(0, 0.3))
        statistics = client.statistics()
        assert (statistics.in_flight, statistics.waiting) == (0, 0)
        assert (await client.chat("next")).text == "echo: next"
        await anyio.sleep(5)
        assert (
            len(asyncio.all_tasks()) <= before + len(emulator.state.accounts) + 25
        )  # the server's own, one a connection


@pytest.mark.parametrize("transport", ["public", "direct"])
def test_two_loops_in_turn_and_no_socket_left(unused_url: str, transport: TransportName) -> None:
    client = sa.SegmindClient("SG_0123456789abcdef", unused_url, transport=transport)

    async def once(text: str) -> str:
        async with Emulator(port=URL(unused_url).port or 0):
            return (await client.chat(text)).text

    assert asyncio.run(once("a")) == "echo: a"
    assert asyncio.run(once("b")) == "echo: b"
    asyncio.run(client.aclose())
    with pytest.raises(sa.ClientClosedError):
        asyncio.run(once("c"))
    gc.collect()  # a socket left open would warn, and a warning is an error


async def test_a_call_in_another_loop_while_this_one_has_some_is_refused() -> None:
    never = anyio.Event()

    class Hanging(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            await never.wait()
            return answer("at last")

    async with sa.SegmindClient("k", transport=Hanging()) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.chat, "here")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="one a loop"):
            await anyio.to_thread.run_sync(lambda: asyncio.run(client.chat("there")))
        never.set()


async def test_headers_are_a_mapping_with_names_in_lower_case() -> None:
    received = CIMultiDict([("X-Cost", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
    headers = Headers(CIMultiDictProxy(received))
    plain = {"x-cost": "1", "set-cookie": "b"}
    assert headers == plain
    assert dict(headers) == plain
    assert (headers["x-cost"], headers.get("x-cost"), headers.get("gone"), len(headers)) == (
        "1",
        "1",
        None,
        2,
    )
    assert repr(headers) == repr(plain)
    for copied in (copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert type(copied) is dict
        assert copied == plain


async def test_closing_twice_and_using_it_afterwards() -> None:
    async with Emulator() as emulator:
        client = sa.SegmindClient(emulator.key, emulator.url)
        await client.chat("x")
        assert "1 open" in repr(client._service.transport)
        await client.aclose()
        await client.aclose()
        assert "closed" in repr(client)
        with pytest.raises(sa.ClientClosedError):
            await client.chat("x")
        with pytest.raises(sa.ClientClosedError):
            async with client:
                pass
        with pytest.raises(sa.ClientClosedError):
            client.fan_out([])
        with pytest.raises(sa.ClientClosedError):
            await client._service.transport.send(None, 1)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_an_hour_of_pacing_over_real_sockets() -> None:
    async with Emulator(requests_per_minute=5, balance=1000) as emulator:
        async with on(emulator, limits=sa.Limits(requests_per_minute=5)) as client:
            before = anyio.current_time()
            async with client.fan_out(str(n) for n in range(300)) as outcomes:
                count = [outcome.status async for outcome in outcomes].count(sa.Status.OK)
            took = anyio.current_time() - before
    assert count == 300
    assert emulator.state.account.refused == {}
    assert 0.97 * 3600 < took < 1.02 * 3600


_request = aiohttp.RequestInfo(URL("http://x"), "POST", {"x-api-key": "SG_secret"}, URL("http://x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "billing"),
    [
        (aiohttp.ConnectionTimeoutError("slow"), FailureKind.TIMED_OUT, Billing.NOT_SENT),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "h", 1), FailureKind.CERTIFICATE, Billing.NOT_SENT),
        (aiohttp.SocketTimeoutError("slow"), FailureKind.TIMED_OUT, Billing.IN_DOUBT),
        (TimeoutError(), FailureKind.TIMED_OUT, Billing.IN_DOUBT),
        (aiohttp.ClientResponseError(_request, (), message="bad"), FailureKind.UNREADABLE, Billing.IN_DOUBT),
        (aiohttp.ClientPayloadError("cut"), FailureKind.DISCONNECTED, Billing.IN_DOUBT),
        (aiohttp.ServerDisconnectedError(), FailureKind.DISCONNECTED, Billing.IN_DOUBT),
        (aiohttp.ClientOSError(104, "reset"), FailureKind.DISCONNECTED, Billing.IN_DOUBT),
        (OSError("broken pipe"), FailureKind.DISCONNECTED, Billing.IN_DOUBT),
        (
            aiohttp.ClientHttpProxyError(_request, (), message="proxy"),
            FailureKind.UNREACHABLE,
            Billing.NOT_SENT,
        ),
    ],
)
def test_what_aiohttps_errors_mean(error: OSError, kind: FailureKind, billing: Billing) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.billing) == (kind, billing)
    assert failure.message
    assert "SG_secret" not in repr(failure)


async def test_an_untrusted_certificate_is_not_retried() -> None:
    context = _self_signed()
    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, _context: None
    )  # the server's side of the refusal
    try:
        async with sa.SegmindClient("k", url) as client:
            with pytest.raises(sa.APIConnectionError, match="not trusted") as caught:
                await client.chat("hello")
            assert caught.value.attempts == 1
    finally:
        await runner.cleanup()


def _self_signed() -> Any:
    import ssl

    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_closing_keeps_the_deadline_of_a_request_in_flight() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError):
        with deadlines.after(asyncio.get_running_loop(), 1.0):
            deadlines.close()
            await anyio.sleep(5)
    assert anyio.current_time() < 2.0


def test_of_repeated_headers_the_last_one_counts() -> None:
    told = Headers(CIMultiDictProxy(CIMultiDict([("Retry-After", "2"), ("retry-after", "30")])))
    assert (told["retry-after"], told.get("retry-after"), dict(told)) == ("30", "30", {"retry-after": "30"})
    assert told.get("x-cost") is None
