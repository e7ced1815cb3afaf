"""A gateway that dies with calls of our own client: those that only waited in it cost nothing, and are sent again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

import segmind_async as sa
from segmind_async import Limits, RetryPolicy, SegmindClient, Timeouts
from segmind_async._sending.call import Call
from segmind_async._text.wait_reasons import WaitReason
from segmind_async.emulator import Emulator
from segmind_async.gateway import Gateway, GatewayOptions
from segmind_async.gateway._budgets.book import KEPT_ATTEMPTS, Attempt, BudgetBook, Entry
from segmind_async.testing import RecordingHooks, ScriptedTransport
from tests.gateway.support import world

Handler = Callable[[web.Request], Awaitable[web.Response]]

TRANSPORTS = pytest.mark.parametrize("transport", ["public", "direct"])
ENTRY = Entry("1", "team", "all", 5, "gpt-5.5", 0.0)
KILLS, ROWS = 4, 8


@pytest.fixture(autouse=True)
def _wall_time_follows_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ages of attempts and of the book be by one clock, as they are outside of tests."""
    real = time.time

    def now() -> float:
        try:
            return 1e9 + asyncio.get_running_loop().time()
        except RuntimeError:
            return real()

    monkeypatch.setattr(time, "time", now)


class Door:
    """A gateway with one slot that can be taken away from its callers, and started again."""

    def __init__(self, emulator: Emulator, state: Path | None) -> None:
        self._emulator = emulator
        self._state = state
        self._open = AsyncExitStack()
        self._port = 0
        self.url = ""

    async def start(self) -> None:
        client = SegmindClient(self._emulator.key, self._emulator.url, limits=Limits(max_in_flight=1))
        # Without a grace, as a kill: whoever waits loses the connection.
        options = GatewayOptions(port=self._port, grace=0, state=self._state)
        gateway = Gateway(await self._open.enter_async_context(client), options)
        self.url = (await self._open.enter_async_context(gateway)).url
        self._port = int(self.url.removesuffix("/v1").rsplit(":", 1)[1])

    async def stop(self) -> None:
        await self._open.aclose()

    async def stop_when_a_call_is_on_the_wire(self) -> None:
        before = self._emulator.requests
        while self._emulator.requests == before:
            await anyio.sleep(0.5)
        await self.stop()


@TRANSPORTS
@pytest.mark.parametrize("delivery", ["direct", "queued"])
async def test_calls_that_waited_are_not_in_doubt_however_often_their_gateway_dies(
    tmp_path: Path, transport: Any, delivery: Any
) -> None:
    outcomes: list[sa.Outcome[Any]] = []
    # Chance may have one call on the wire at each kill.
    limits, retry = Limits(max_in_flight=32), RetryPolicy(resend_in_doubt=KILLS)
    options = sa.JobOptions(delivery=delivery)
    async with Emulator(latency=10, balance=5) as emulator:
        door = Door(emulator, tmp_path / "state.db")
        await door.start()
        async with (
            SegmindClient("any-key", door.url, limits=limits, retry=retry, transport=transport) as worker,
            anyio.create_task_group() as tasks,
        ):
            await worker.balance()
            # Ages are told in whole seconds: of those sent in the book's first one nobody knows.
            await anyio.sleep(1)

            async def ask() -> None:
                rows = [f"question {n}" for n in range(ROWS)]
                job = worker.run_job(rows, journal=tmp_path / "rows.journal", options=options)
                async with job as run:
                    outcomes.extend([one async for one in run])

            tasks.start_soon(ask)
            for _ in range(KILLS):
                await door.stop_when_a_call_is_on_the_wire()
                await anyio.sleep(20)
                await door.start()
            while len(outcomes) < ROWS:
                await anyio.sleep(1)
        await door.stop()
        asked = emulator.requests
    assert [one.error for one in outcomes] == [None] * ROWS
    assert len({one.text for one in outcomes}) == ROWS
    # One was on the wire at each kill, and none of the others counts as perhaps paid.
    assert sum(one.completion.in_doubt for one in outcomes if one.completion) <= KILLS
    assert asked <= ROWS + KILLS


async def test_without_a_state_nobody_knows_and_a_call_is_in_doubt() -> None:
    async with Emulator(latency=10, balance=5) as emulator:
        door = Door(emulator, None)
        await door.start()
        limits, retry = Limits(max_in_flight=32), RetryPolicy(resend_in_doubt=0)
        async with (
            SegmindClient("any-key", door.url, limits=limits, retry=retry) as worker,
            anyio.create_task_group() as tasks,
        ):
            await worker.balance()
            failed: list[sa.APIConnectionError] = []

            async def ask() -> None:
                with pytest.raises(sa.APIConnectionError, match="may have been billed") as caught:
                    await worker.chat("one")
                failed.append(caught.value)

            tasks.start_soon(ask)
            await door.stop_when_a_call_is_on_the_wire()
            await anyio.sleep(5)
            waits = worker.statistics().wait
            assert waits is not None
            assert waits.reason is WaitReason.OUTAGE
            await door.start()
        await door.stop()
    assert failed[0].details.in_doubt == 1


async def test_a_gateway_whose_state_was_lost_does_not_deny_what_an_earlier_one_has_sent(
    tmp_path: Path,
) -> None:
    retry = RetryPolicy(resend_in_doubt=0)
    async with Emulator(latency=10, balance=5) as emulator:
        door = Door(emulator, tmp_path / "state.db")
        await door.start()
        async with SegmindClient("any-key", door.url, retry=retry) as worker:
            await worker.balance()

            async def lose_it() -> None:
                await door.stop_when_a_call_is_on_the_wire()
                for path in tmp_path.glob("state.db*"):
                    path.unlink()
                await door.start()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lose_it)
                with pytest.raises(sa.APIConnectionError, match="may have been billed"):
                    await worker.chat("one")
        await door.stop()
    assert emulator.requests == 1


@pytest.mark.parametrize("total", [600, None])
async def test_a_job_that_is_stopped_waits_for_no_gateway(tmp_path: Path, total: float | None) -> None:
    async with Emulator(latency=10, balance=5) as emulator:
        door = Door(emulator, tmp_path / "state.db")
        await door.start()
        timeouts = Timeouts(total=total)
        async with SegmindClient("any-key", door.url, timeouts=timeouts) as worker:
            await worker.balance()
            began = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                run = worker.run_job([f"question {n}" for n in range(4)], journal=tmp_path / "rows.journal")

                async def stop() -> None:
                    await door.stop_when_a_call_is_on_the_wire()
                    await anyio.sleep(3)
                    run.stop()

                async with run as outcomes:
                    tasks.start_soon(stop)
                    assert [one.status for one in [one async for one in outcomes]] == [sa.Status.UNSENT] * 4
            assert anyio.current_time() - began < 30


async def test_what_cuts_every_connection_is_not_asked_for_ever() -> None:
    posts = 0

    async def call(request: web.Request) -> web.Response:
        nonlocal posts
        posts += 1
        await request.read()
        await anyio.sleep(60)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def tell(_: web.Request) -> web.Response:
        return web.json_response({"sent": False}, headers={"x-segmind-gateway": "1"})

    async with served(call, tell) as url, SegmindClient("any-key", url, gateway_budget="team") as worker:
        with pytest.raises(sa.APIConnectionError, match="had not sent the call on") as caught:
            await worker.chat("one")
    assert caught.value.details.in_doubt == 0
    # As many as of any other failure.
    assert posts == 1 + RetryPolicy().retries


@asynccontextmanager
async def served(call: Handler, tell: Handler) -> AsyncIterator[str]:
    """Serve calls and questions at an address of their own."""
    app = web.Application()
    app.router.add_post("/v1/gpt-5.4-mini", call)
    app.router.add_get("/v1/attempts/{id}/{age}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_a_gateway_that_does_not_come_back_is_awaited_as_long_as_the_call_may_take() -> None:
    async with Emulator(latency=10, balance=5) as emulator:
        door = Door(emulator, None)
        await door.start()
        timeouts = Timeouts(total=60)
        async with (
            SegmindClient("any-key", door.url, timeouts=timeouts) as worker,
            anyio.create_task_group() as tasks,
        ):
            await worker.balance()
            tasks.start_soon(door.stop_when_a_call_is_on_the_wire)
            began = anyio.current_time()
            with pytest.raises(sa.APIConnectionError) as caught:
                await worker.chat("one")
            assert 40 < anyio.current_time() - began <= 70
    assert caught.value.details.in_doubt == 1


@pytest.mark.parametrize(
    ("answers", "in_doubt", "asked"),
    [
        ([(200, {"sent": False})], 0, 1),
        ([(200, {"sent": True})], 1, 1),
        ([(200, {"sent": None})], 1, 1),
        ([(200, "what?")], 1, 1),
        ([(200, {"sent": 0})], 1, 1),
        ([(404, {})], 1, 1),
        ([(502, {}), (503, {}), (200, {"sent": False})], 0, 3),
    ],
)
async def test_what_a_gateway_says_decides(answers: list[tuple[int, Any]], in_doubt: int, asked: int) -> None:
    ids: list[str] = []
    told: list[tuple[str, str]] = []

    async def call(request: web.Request) -> web.Response:
        ids.append(request.headers["x-segmind-attempt"])
        await request.read()
        if len(ids) == 1:
            assert request.transport is not None
            request.transport.abort()
        message = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        return web.json_response({"choices": [message]}, headers={"x-segmind-gateway": "1"})

    async def tell(request: web.Request) -> web.Response:
        told.append((request.match_info["id"], request.match_info["age"]))
        status, body = answers[len(told) - 1]
        return web.json_response(body, status=status, headers={"x-segmind-gateway": "1"})

    async with served(call, tell) as url, SegmindClient("any-key", url, gateway_budget="team") as worker:
        completion = await worker.chat("one")
    assert (completion.text, completion.in_doubt, len(told)) == ("yes", in_doubt, asked)
    # Each attempt has an id of its own, and is asked for by it.
    assert len(ids) == len(set(ids)) == 2
    assert {attempt for attempt, _ in told} == {ids[0]}


async def test_the_book_knows_which_attempts_were_sent_and_sends_none_that_it_has_denied(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    with closing(BudgetBook(path, now=900.0)) as book:
        assert await book.sending(ENTRY, Attempt("sent", 1000.0))
        assert await book.was_sent(Attempt("waits", 1001.0), 5) is False
        assert not await book.sending(ENTRY._replace(id="2"), Attempt("waits", 1002.0))
    with closing(BudgetBook(path)) as book:
        # As a kill leaves them.
        assert sum(one.units for one in book.left_over) == 5
        assert await book.was_sent(Attempt("sent", 1003.0), 10) is True
        assert await book.was_sent(Attempt("waits", 1003.0), 10) is False
        # Too old to be told from one that is forgotten, and older than the book.
        assert await book.was_sent(Attempt("old", 1003.0 + KEPT_ATTEMPTS), KEPT_ATTEMPTS) is None
        assert await book.was_sent(Attempt("elsewhere", 1003.0), 104) is None


@pytest.mark.parametrize("asked", [False, True])
async def test_attempts_are_forgotten_after_some_hours(tmp_path: Path, asked: bool) -> None:
    path = tmp_path / "state.db"
    for at in (0.0, 1.0 + KEPT_ATTEMPTS):
        attempt = Attempt(f"at {at:g}", at)
        with closing(BudgetBook(path, now=at)) as book:
            if asked:
                assert await book.was_sent(attempt, 0) is False
            else:
                assert await book.sending(ENTRY, attempt)
                await book.ended(ENTRY, 1)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT id, at FROM attempts").fetchall() == [
            # From when on all are in the book.
            ("", 0.0),
            (f"at {1 + KEPT_ATTEMPTS:g}", 1 + KEPT_ATTEMPTS),
        ]


async def test_what_waits_is_neither_noted_nor_charged_until_it_is_sent(tmp_path: Path) -> None:
    options = GatewayOptions(port=0, state=tmp_path / "state.db")
    client = {"limits": Limits(max_in_flight=2)}
    async with world(options=options, client=client, latency=100) as w:
        async with anyio.create_task_group() as tasks:
            for n in range(9):
                tasks.start_soon(w.chat, f"question {n}")
            await anyio.sleep(50)
            with closing(sqlite3.connect(tmp_path / "state.db")) as book:
                (noted,) = book.execute("SELECT count(*) FROM sent").fetchone()
            assert 0 < noted == w.client.statistics().in_flight <= 2
            tasks.cancel_scope.cancel()
    with closing(BudgetBook(tmp_path / "state.db")) as left:
        assert sum(one.units for one in left.left_over) == 0


@pytest.mark.parametrize(
    "path", ["/attempts/a/", "/attempts/a/-1", "/attempts/a/x", "/attempts/a b/1", f"/attempts/{'a' * 65}/1"]
)
async def test_questions_that_are_none_are_404(path: str, tmp_path: Path) -> None:
    async with world(options=GatewayOptions(port=0, state=tmp_path / "state.db")) as w:
        assert (await w.get(path)).status == 404
        assert await (await w.get("/attempts/a/0")).json() == {"sent": False}
        assert await (await w.get("/attempts/b/5")).json() == {"sent": None}


async def test_a_question_without_an_answer_asks_nothing(tmp_path: Path) -> None:
    async with world(options=GatewayOptions(port=0, state=tmp_path / "state.db")) as w:
        assert (await w.session.head(w.gateway.url + "/attempts/a/0")).status == 405
        assert (await w.get("/attempts/a/0")).status == 200


async def test_while_the_machine_sleeps_an_attempt_grows_old() -> None:
    """The loop's clock stands still then, the book's does not: a forgotten attempt must not seem new."""
    ages: list[int] = []
    slept = [0.0]

    async def call(request: web.Request) -> web.Response:
        await request.read()
        slept[0] = 7 * 3600.0
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def tell(request: web.Request) -> web.Response:
        ages.append(int(request.match_info["age"]))
        return web.json_response({"sent": None}, headers={"x-segmind-gateway": "1"})

    retry = RetryPolicy(resend_in_doubt=0)
    async with (
        served(call, tell) as url,
        SegmindClient("k", url, gateway_budget="team", retry=retry) as worker,
    ):
        worker._service = replace(worker._service, wall_clock=lambda: 1e9 + slept[0])
        with pytest.raises(sa.APIConnectionError):
            await worker.chat("one")
    assert ages == [7 * 3600]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_ends_before_it_is_sent_is_not_in_doubt(cancelled: bool) -> None:
    hooks, transport = RecordingHooks(), ScriptedTransport()

    async def refuse() -> None:
        if cancelled:
            await anyio.sleep_forever()
        raise OSError("no space left")

    async with SegmindClient("k", transport=transport, hooks=[hooks], limits=Limits(1)) as client:
        options = replace(client._options, before_sending=refuse)
        call = Call(client._service, options, sa.ChatRequest("one"))
        with nullcontext() if cancelled else pytest.raises(OSError, match="no space"), anyio.move_on_after(1):
            await call.run()
        figures = client.statistics()
        assert (figures.in_flight, figures.held) == (0, 0)
    [event] = hooks.of(sa.AttemptEnded)
    assert (event.in_doubt, call.totals.in_doubt, transport.requests) == (False, 0, [])


async def test_without_a_state_the_answer_is_that_nobody_knows() -> None:
    async with world() as w:
        assert await (await w.get("/attempts/a/1")).json() == {"sent": None}
