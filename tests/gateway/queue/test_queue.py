"""Queued inference through the gateway: one that is submitted is held and paid for until its end."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from pydantic_core import to_json

import segmind_async as sa
from segmind_async import Limits, SegmindClient
from segmind_async.emulator import Emulator, faults
from segmind_async.gateway import BudgetRule, Gateway, GatewayOptions
from segmind_async.gateway._budgets.book import BudgetBook
from segmind_async.gateway._budgets.budgets import Budgets
from segmind_async.gateway._queue.runs import LONGEST, QueuedRuns, Send
from segmind_async.gateway._segmind.form import read_request
from segmind_async.jobs import JobOptions
from tests.gateway.support import TOKEN, World, asked, world

COST = Decimal("0.01")
TEAM = {"x-api-key": "token-of-the-team"}
OTHERS = {"x-api-key": "token-of-the-others"}


async def submitted(w: World, text: str = "hello", **more: Any) -> tuple[int, Any]:
    """Submit a request; return status and body."""
    return await sent(w, "POST", "/gpt-5.4-mini", json=asked(text), **more)


async def sent(w: World, method: str, path: str, **more: Any) -> tuple[int, Any]:
    url = w.gateway.url.removesuffix("/v1") + "/v2" + path
    async with w.session.request(method, url, **more) as response:
        assert "x-segmind-gateway" in response.headers
        return response.status, await response.json()


async def result(w: World, id: str, **more: Any) -> tuple[int, Any]:
    """Poll until the work has ended; return status and body of its result."""
    while True:
        status, body = await sent(w, "GET", f"/requests/{id}/status", **more)
        if status != 200 or body["status"] in ("COMPLETED", "FAILED"):
            return await sent(w, "GET", f"/requests/{id}", **more)
        await anyio.sleep(1)


async def test_a_request_is_queued_polled_and_fetched_in_the_services_own_form() -> None:
    async with world(latency=20, cost=COST) as w:
        status, body = await submitted(w)
        name = body["request_id"]
        here = w.gateway.url.removesuffix("/v1") + f"/v2/requests/{name}"
        assert (status, body["status"]) == (200, "QUEUED")
        assert (body["poll_url"], body["response_url"]) == (here, here)
        assert body["status_url"] == f"{here}/status"
        assert anyio.current_time() < 5
        for path in (f"/requests/{name}/status", f"/requests/{name}"):
            assert await sent(w, "GET", path) == (200, {"request_id": name, "status": "PROCESSING"})
        assert w.emulator.polls == 0
        assert w.client.statistics().held > 0
        status, body = await result(w, name)
        assert (status, body["status"], body["metrics"]["cost"]) == (200, "COMPLETED", 0.01)
        assert "echo: hello" in body["output"]
        now = w.client.statistics()
        assert (now.in_flight, now.held, now.spent) == (0, 0, COST)


@pytest.mark.parametrize("transport", ["public", "direct"])
async def test_a_job_with_queued_delivery_changes_its_base_url_and_nothing_else(
    transport: Any, tmp_path: Path
) -> None:
    rows = [{"id": f"r{n}", "prompt": f"question {n}"} for n in range(30)]
    async with (
        world(latency=20, cost=COST, queue_time=5) as w,
        SegmindClient("any-key", w.gateway.url, transport=transport) as worker,
    ):
        options = JobOptions(delivery="queued")
        async with worker.run_job(rows, journal=tmp_path / "job.journal", options=options) as outcomes:
            found = [one async for one in outcomes]
        admission = worker._service.admission
        assert admission.behind_gateway
        assert admission.in_flight == 0
        assert w.client.statistics().spent == 30 * COST
        assert w.emulator.state.account.balance == 5 - 30 * COST
        assert sum(w.emulator.billed().values()) == 30
    assert {one.status for one in found} == {sa.Status.OK}
    assert {one.completion.cost for one in found if one.completion} == {COST}


async def test_what_nobody_polls_ends_and_is_paid_all_the_same() -> None:
    async with world(latency=20, cost=COST) as w:
        await submitted(w)
        await anyio.sleep(60)
        now = w.client.statistics()
        assert (now.in_flight, now.held, now.spent) == (0, 0, COST)


async def test_work_that_fails_costs_nothing_and_says_so() -> None:
    async with world(latency=2, cost=COST) as w:
        w.emulator.script(faults.Answer(200, b""))
        _, body = await submitted(w)
        status, body = await result(w, body["request_id"])
        assert (status, body["status"], body["error"]) == (422, "FAILED", "Model execution failed")
        await anyio.sleep(10)
        now = w.client.statistics()
        assert (now.in_flight, now.held, now.spent) == (0, 0, 0)


async def test_a_failing_job_row_behind_a_gateway_stays_behind_it(tmp_path: Path) -> None:
    async with world(latency=2) as w, SegmindClient("any-key", w.gateway.url) as worker:
        w.emulator.script(faults.Answer(200, b""))
        options = JobOptions(delivery="queued")
        async with worker.run_job(["hello"], journal=tmp_path / "job.journal", options=options) as outcomes:
            [found] = [one async for one in outcomes]
        assert found.status == sa.Status.FAILED
        assert worker._service.admission.behind_gateway


async def test_an_id_that_no_gateway_has_made_is_passed_on_without_a_hold() -> None:
    async with world(latency=5) as w:
        url, key = w.emulator.url.replace("/v1", "/v2/gpt-5.4-mini"), {"x-api-key": w.emulator.key}
        async with w.session.post(url, json=asked(), headers=key) as response:
            name = (await response.json())["request_id"]
        assert (await sent(w, "GET", f"/requests/{name}/status"))[1]["status"] == "PROCESSING"
        assert w.client.statistics().held == 0
        status, body = await result(w, name)
        assert (status, body["status"]) == (200, "COMPLETED")
        assert w.client.statistics().spent == 0
        for path in ("/requests/unknown", "/requests/unknown/status"):
            status, body = await sent(w, "GET", path)
            assert (status, list(body)) == (404, ["error"])


async def test_polls_that_the_service_refuses_have_its_reason_in_its_form() -> None:
    async with world() as w:
        w.emulator.script_polls(500, 429)
        status, body = await sent(w, "GET", "/requests/unknown")
        assert (status, list(body)) == (502, ["error"])
        status, body = await sent(w, "GET", "/requests/unknown")
        assert (status, list(body)) == (503, ["error"])


@pytest.mark.parametrize("path", ["/requests/..%2Fget-user-credits", "/requests/.", "/requests/a%20b"])
async def test_what_is_no_id_is_not_passed_on(path: str) -> None:
    async with world() as w:
        assert (await sent(w, "GET", path))[0] == 404
        assert w.emulator.polls == 0


async def test_a_caller_that_hangs_up_before_there_is_an_id_leaves_nothing() -> None:
    async with world(client={"limits": Limits(max_in_flight=1)}, latency=30) as w:
        _, body = await submitted(w, "first")
        with anyio.move_on_after(5):
            await submitted(w, "second")
        await result(w, body["request_id"])
        await anyio.sleep(20)
        assert w.client.statistics().in_flight == 0
        assert w.emulator.billed() == {"first": 1}


async def test_a_submission_counts_among_the_calls_that_are_taken_until_its_end() -> None:
    async with world(options=GatewayOptions(port=0, max_calls=2), latency=30) as w:
        await w.client.balance()
        names = [(await submitted(w))[1]["request_id"] for _ in range(2)]
        assert (await submitted(w))[0] == 429
        for name in names:
            await result(w, name)
        assert (await submitted(w))[0] == 200


async def test_the_key_that_submitted_is_asked_first() -> None:
    async with world(latency=5, accounts={"SG_second": 5}, client={"limits": Limits(max_in_flight=1)}) as w:
        names = [(await submitted(w))[1]["request_id"] for _ in range(2)]
        assert {one.key for one in w.emulator.calls} == {w.emulator.key, "SG_second"}
        for name in names:
            status, body = await result(w, name)
            assert (status, body["status"]) == (200, "COMPLETED")
            before = w.emulator.polls
            assert (await sent(w, "GET", f"/requests/{name}"))[0] == 200
            assert w.emulator.polls == before + 1


async def test_a_read_that_another_key_could_not_help_is_made_once() -> None:
    async with world(accounts={"SG_second": 5}) as w:
        w.emulator.script_polls(500)
        assert (await sent(w, "GET", "/requests/unknown"))[0] == 502
        assert w.emulator.polls == 1
        # What the key says that is asked first is told: the others have refused for reasons of their own.
        w.emulator.script_polls(404, 401)
        assert (await sent(w, "GET", "/requests/unknown"))[0] == 404
        assert w.emulator.polls == 3


def teams(folder: Path, **rule: Any) -> GatewayOptions:
    rules = [
        BudgetRule("team", TEAM["x-api-key"], **{"credits": Decimal("0.02"), **rule}),
        BudgetRule("others", OTHERS["x-api-key"]),
    ]
    return GatewayOptions(port=0, tokens=[TOKEN], budgets=rules, state=folder / "state.db")


def booked(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return what the book holds as spent, and what is noted in it as sent."""
    with sqlite3.connect(folder / "state.db") as database:
        spent = database.execute("SELECT budget, period, units FROM spent").fetchall()
        noted = database.execute("SELECT budget, period FROM sent").fetchall()
    database.close()
    return spent, noted


async def test_a_budget_pays_and_its_ids_are_its_own(tmp_path: Path) -> None:
    async with world(options=teams(tmp_path), cost=COST, latency=5) as w:
        name = (await submitted(w, headers=TEAM))[1]["request_id"]
        for stranger in (OTHERS, {"x-api-key": TOKEN}):
            for path in (f"/requests/{name}", f"/requests/{name}/status"):
                assert (await sent(w, "GET", path, headers=stranger))[0] == 404
        assert (await result(w, name, headers=TEAM))[0] == 200
        # Also when its end was seen.
        assert (await sent(w, "GET", f"/requests/{name}", headers=OTHERS))[0] == 404
        await result(w, (await submitted(w, headers=TEAM))[1]["request_id"], headers=TEAM)
        status, body = await submitted(w, headers=TEAM)
        assert status == 406
        assert "budget 'team'" in body["error"]
        assert (await submitted(w))[0] == 401
        assert w.emulator.requests == 2
    assert booked(tmp_path) == ([("team", "all", 2 * 10**8)], [])


@asynccontextmanager
async def successors(
    folder: Path, options: Any, **service: Any
) -> AsyncIterator[tuple[Emulator, Any, aiohttp.ClientSession]]:
    """Serve an account to gateways that follow each other, each with a client of its own."""

    @asynccontextmanager
    async def gateway(at: Path, **client: Any) -> AsyncIterator[World]:
        async with (
            SegmindClient(emulator.key, emulator.url, **client) as opened,
            Gateway(opened, options(at)) as opened_gateway,
        ):
            yield World(emulator, opened, opened_gateway, session)

    async with Emulator(**service) as emulator, aiohttp.ClientSession() as session:
        yield emulator, gateway, session


@pytest.mark.parametrize("killed", [True, False])
async def test_the_next_gateway_holds_what_runs_and_sees_its_end(tmp_path: Path, killed: bool) -> None:
    after = tmp_path / "after" if killed else tmp_path
    after.mkdir(exist_ok=True)
    async with successors(tmp_path, teams, cost=COST, latency=30, balance=5) as (emulator, gateway, _):
        async with gateway(tmp_path) as w:
            name = (await submitted(w, headers=TEAM))[1]["request_id"]
            if killed:
                # The file as a `kill -9` leaves it.
                for file in tmp_path.glob("state.db*"):
                    shutil.copy(file, after)
        assert [row[0] for row in booked(after)[1]] == ["team"]
        async with gateway(after):
            # It is stopped before the end as well.
            await anyio.sleep(1)
        assert [row[0] for row in booked(after)[1]] == ["team"]
        async with gateway(after) as w:
            now = w.client.statistics()
            assert (now.in_flight, now.held > 0) == (1, True)
            path = f"/requests/{name}/status"
            assert (await sent(w, "GET", path, headers=TEAM))[1]["status"] == "PROCESSING"
            assert (await sent(w, "GET", path, headers=OTHERS))[0] == 404
            status, body = await result(w, name, headers=TEAM)
            assert (status, body["status"]) == (200, "COMPLETED")
            # One of two calls is left to the budget, and the second ends it.
            assert (await submitted(w, headers=TEAM))[0] == 200
            await anyio.sleep(60)
            assert (await submitted(w, headers=TEAM))[0] == 406
            now = w.client.statistics()
            assert (now.in_flight, now.held, now.spent) == (0, 0, 2 * COST)
        # Its id stays its caller's over a restart, also when it has ended.
        async with gateway(after) as w:
            assert (await sent(w, "GET", path, headers=OTHERS))[0] == 404
            assert (await sent(w, "GET", path, headers=TEAM))[1]["status"] == "COMPLETED"
        assert emulator.state.account.balance == 5 - 2 * COST
        assert booked(after) == ([("team", "all", 2 * 10**8)], [])


async def test_a_floor_holds_over_what_an_earlier_gateway_has_queued(tmp_path: Path) -> None:
    limits = Limits(floor=0.98)
    async with successors(tmp_path, teams, cost=COST, latency=100, balance=1) as (emulator, gateway, _):
        async with gateway(tmp_path, limits=limits) as w:
            assert (await submitted(w, headers=OTHERS))[0] == 200
        async with gateway(tmp_path, limits=replace(limits, first_cost=COST)) as w:
            await w.client.balance()
            outcomes: list[int] = []

            async def submit() -> None:
                outcomes.append((await submitted(w, headers=OTHERS))[0])

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(submit)
        assert sorted(outcomes) == [200, 406, 406]
        await anyio.sleep(200)
        assert emulator.state.account.balance >= Decimal("0.98")


async def test_what_was_queued_yesterday_is_charged_to_yesterday(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = {"credits": None, "credits_per_day": Decimal("0.02")}
    monkeypatch.setattr(BudgetRule, "period", lambda _rule, _now: "monday")
    async with successors(tmp_path, lambda at: teams(at, **days), cost=COST, latency=30) as (_, gateway, _):
        async with gateway(tmp_path) as w:
            await submitted(w, headers=TEAM)
        monkeypatch.setattr(BudgetRule, "period", lambda _rule, _now: "tuesday")
        async with gateway(tmp_path) as w:
            await anyio.sleep(60)
            for expected in (200, 200, 406):
                assert (await submitted(w, headers=TEAM))[0] == expected
                await anyio.sleep(60)
    assert sorted(booked(tmp_path)[0]) == [("team", "monday", 10**8), ("team", "tuesday", 2 * 10**8)]


async def test_an_earlier_submission_that_the_service_has_forgotten_stays_in_doubt(tmp_path: Path) -> None:
    async with successors(tmp_path, teams, cost=COST, latency=5, results_ttl=100) as (_, gateway, _):
        async with gateway(tmp_path) as w:
            name = (await submitted(w, headers=TEAM))[1]["request_id"]
        await anyio.sleep(1000)
        async with gateway(tmp_path) as w:
            await anyio.sleep(300)
            assert (await sent(w, "GET", f"/requests/{name}", headers=TEAM))[0] == 404
            assert w.client._service.admission.accounts.first.ledger.statistics(0).in_doubt > 0
    [(budget, _, units)], noted = booked(tmp_path)
    assert (budget, units > 0, noted) == ("team", True, [])


async def test_ids_are_forgotten_when_their_results_are(tmp_path: Path) -> None:
    now = 1e9
    async with Emulator() as emulator, SegmindClient(emulator.key, emulator.url) as client:
        with closing(BudgetBook(tmp_path / "state.db")) as book:
            budgets = Budgets(client, [], book)
            runs = QueuedRuns(client, budgets, book, lambda cost, *, failed: None, lambda: now)

            async def started(send: Send) -> sa.ChatCompletion:
                async with budgets.booked(None, "gpt-5.4-mini") as booked:
                    return await send(booked, client)

            wanted = read_request("gpt-5.4-mini", to_json(asked()))
            names = []
            for later in (0, LONGEST, 1.5 * LONGEST):
                now += later
                names.append(await runs.submit("", wanted, started))
            assert [runs.find(name) is None for name in names] == [True, False, False]
            await runs.aclose()
        with closing(BudgetBook(tmp_path / "state.db")) as book:
            assert [note.id for note, _ in book.queued] == names[1:]


async def test_an_id_that_cannot_be_written_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> asyncio.Future[None]:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(BudgetBook, "queue", full)
    async with world(options=teams(tmp_path), latency=1) as w:
        status, body = await submitted(w, headers=TEAM)
        assert status == 200
        assert (await result(w, body["request_id"], headers=TEAM))[0] == 200
    [record] = caplog.records
    assert "the next gateway will not know it" in record.getMessage()


async def test_errors_of_the_balance_are_in_the_services_form() -> None:
    async with world(options=GatewayOptions(port=0, tokens=[TOKEN])) as w:
        response = await w.get("/get-user-credits")
        assert (response.status, list(await response.json())) == (401, ["error"])


async def test_a_caller_that_hangs_up_while_its_id_is_written_leaves_work_that_is_seen_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = BudgetBook.queue

    async def slowly(*arguments: Any) -> None:
        await anyio.sleep(5)
        await write(*arguments)

    monkeypatch.setattr(BudgetBook, "queue", slowly)
    async with world(options=teams(tmp_path), cost=COST, latency=20) as w:
        with anyio.move_on_after(2):
            await submitted(w, headers=TEAM)
        await anyio.sleep(60)
        assert (w.client.statistics().in_flight, w.client.statistics().spent) == (0, COST)
