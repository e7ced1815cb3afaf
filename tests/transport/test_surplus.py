"""Bytes that no request has asked for: the connection that carries them ends, and no call reads them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
import anyio
import pytest

import segmind_async as sa
from segmind_async._transport.unread import Unread
from segmind_async.errors import MAX_BODY
from segmind_async.transport import Billing, Failure, FailureKind, WireRequest, WireResponse
from tests.transport.conftest import Wire
from tests.transport.hostile import Behaviour, Connection, HostileServer, answer

CALLS = 100


def question(body: bytes) -> str:
    return str(json.loads(body)["messages"][0]["content"])


def twice(pause: float, *, ids: bool, answer_after: float = 0.0) -> Behaviour:
    """Every answer is sent again, *pause* seconds later."""
    copies: set[asyncio.Task[None]] = set()

    async def behave(connection: Connection) -> None:
        async def later(copy: bytes) -> None:
            await asyncio.sleep(pause)
            await connection.send(copy)

        while (body := await connection.request()) is not None:
            text = question(body)
            data = answer(text, **({"X_Request_Id": f"id of {text}"} if ids else {}))
            await asyncio.sleep(answer_after)
            if pause < 0:
                await connection.send(data + data)
                continue
            await connection.send(data)
            copies.add(asyncio.ensure_future(later(data)))

    return behave


async def outcomes(wire: Wire, behaviour: Behaviour, *, workers: int, between: float) -> Counter[str]:
    """Ask *CALLS* different questions, and count whose answer came: the own one, another's, none."""
    counts: Counter[str] = Counter()
    numbers = iter(range(CALLS))

    async with (
        wire.server(behaviour) as server,
        wire.client(server.url) as client,
    ):

        async def work() -> None:
            for number in numbers:
                try:
                    reply = await client.chat(f"question {number}")
                except sa.SegmindError as error:
                    counts[type(error).__name__] += 1
                else:
                    counts["own" if reply.text == f"question {number}" else "wrong"] += 1
                await anyio.sleep(between)

        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(work)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pause", "between"),
    [
        pytest.param(-1, 0.0, id="with the answer, and the next call at once"),
        pytest.param(-1, 1.0, id="with the answer, and the next call later"),
        pytest.param(0.5, 1.0, id="on an idle connection"),
    ],
)
@pytest.mark.parametrize("workers", [1, 8])
async def test_a_copy_that_comes_before_the_next_request_is_never_its_answer(
    any_wire: Wire, pause: float, between: float, workers: int
) -> None:
    counts = await outcomes(any_wire, twice(pause, ids=False), workers=workers, between=between)
    assert counts == {"own": CALLS}


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.001, 0.3], ids=str)
@pytest.mark.parametrize("workers", [1, 8])
async def test_a_copy_that_comes_after_the_next_request_is_known_by_its_request_id(
    any_wire: Wire, pause: float, workers: int
) -> None:
    counts = await outcomes(any_wire, twice(pause, ids=True, answer_after=0.5), workers=workers, between=0.0)
    assert counts["wrong"] == 0
    assert counts["own"] >= CALLS / 3
    assert set(counts) <= {"own", "wrong", "InvalidResponseError", "APIConnectionError"}


@pytest.mark.parametrize("late_for", [1, 2], ids=["when taken", "when written"])
async def test_bytes_that_arrive_just_before_the_request_is_written_end_the_connection(
    monkeypatch: pytest.MonkeyPatch, late_for: int
) -> None:
    served: list[Connection] = []
    looks, waits = 0, Unread.waits

    async def behave(connection: Connection) -> None:
        served.append(connection)
        while (body := await connection.request()) is not None:
            await connection.send(answer(question(body)))

    def look(unread: Unread, *, is_new: bool) -> bool:
        nonlocal looks
        looks += 1
        found = waits(unread, is_new=is_new)
        if looks == late_for - 1:
            served[0].send_now(answer("stale"))
        return found

    async with (
        HostileServer(behave) as server,
        Wire("public").client(server.url, retries=1) as client,
    ):
        await client.chat("first")
        monkeypatch.setattr(Unread, "waits", look)
        if late_for == 1:
            served[0].send_now(answer("stale"))
        reply = await client.chat("second")
        assert (reply.text, reply.attempts, reply.in_doubt) == ("second", late_for, 0)
        assert server.connections == 2


@pytest.mark.parametrize("is_read", [False, True], ids=["in the kernel", "in the loop"])
async def test_bytes_on_a_new_connection_end_it_and_nothing_was_sent(
    wire: Wire, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    connect = aiohttp.TCPConnector._create_connection

    async def behave(connection: Connection) -> None:
        accepted.put_nowait(connection)
        while (body := await connection.request()) is not None:
            await connection.send(answer(question(body)))

    async def talked_to(*given: Any) -> Any:
        made = await connect(*given)
        connection = await accepted.get()
        if connection.number == 0:
            connection.send_now(answer("stale"))
            if is_read:
                await connection.turns()
        return made

    async with wire.server(behave) as server, wire.client(server.url, retries=1) as client:
        monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", talked_to)
        reply = await client.chat("mine")
        assert (reply.text, reply.attempts, reply.in_doubt) == ("mine", 2, 0)
        assert server.connections == 2


async def test_an_answer_before_the_whole_request_is_in_doubt_and_not_read(any_wire: Wire) -> None:
    async def behave(connection: Connection) -> None:
        await connection.some()
        await connection.send(answer("not to this"))
        await connection.until_closed()

    async with any_wire.server(behave) as server:
        transport = any_wire.transport(server.url)
        got = await transport.send(WireRequest("/m", b"x" * 20_000_000), 60)
        assert isinstance(got, Failure)
        assert (got.kind, got.billing) == (FailureKind.UNREADABLE, Billing.IN_DOUBT)
        await transport.aclose()


async def test_of_a_repeated_answer_only_what_an_error_keeps_is_kept(wire: Wire) -> None:
    async def behave(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(answer("x" * MAX_BODY, X_Request_Id="one"))

    async with wire.server(behave) as server:
        transport = wire.transport(server.url)
        assert isinstance(await transport.send(WireRequest("/m", b"{}"), 60), WireResponse)
        got = await transport.send(WireRequest("/m", b"{}"), 60)
        assert isinstance(got, Failure)
        assert (got.kind, got.billing, len(got.body)) == (
            FailureKind.UNREADABLE,
            Billing.IN_DOUBT,
            MAX_BODY,
        )
        await transport.aclose()


async def test_a_server_whose_answers_all_have_one_id_costs_one_repeat(wire: Wire) -> None:
    async def behave(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(answer("always", X_Request_Id="one"))

    async with wire.server(behave) as server, wire.client(server.url, retries=1) as client:
        attempts = [(await client.chat("hello")).attempts for _ in range(5)]
    assert attempts == [1, 2, 1, 1, 1]
