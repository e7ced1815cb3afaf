"""Our own client behind a gateway: it leaves money and pace to it, and outlives it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import anyio
import pytest

import segmind_async as sa
from segmind_async import Limits, SegmindClient, Timeouts
from segmind_async._text.wait_reasons import WaitReason
from segmind_async.emulator import Emulator, faults
from segmind_async.gateway import BudgetRule, Gateway, GatewayOptions
from tests.gateway.support import asked, world

TRANSPORTS = pytest.mark.parametrize("transport", ["public", "direct"])


@TRANSPORTS
async def test_a_client_that_is_told_of_a_gateway_leaves_money_to_it(transport: Any) -> None:
    # By its own first costs and the balance alone it would send few at a time.
    async with (
        world(balance=0.01, cost=0.0001, latency=1) as w,
        SegmindClient("any-key", w.gateway.url, transport=transport) as worker,
    ):
        await worker.balance()
        async with anyio.create_task_group() as tasks:
            for index in range(40):
                tasks.start_soon(worker.chat, f"question {index}")
            await asyncio.sleep(0)
            assert worker.statistics().in_flight == 40
    assert len(w.emulator.calls) == 40


async def test_a_floor_of_its_own_is_kept_all_the_same() -> None:
    async with (
        world(balance=0.01, cost=0.0005) as w,
        SegmindClient("any-key", w.gateway.url, limits=Limits(floor=0.005)) as worker,
    ):
        outcomes = await worker.chat_many([f"question {index}" for index in range(20)])
        assert w.emulator.state.account.balance >= Decimal("0.005")
    assert {one.status for one in outcomes} == {sa.Status.OK, sa.Status.UNSENT}


@TRANSPORTS
async def test_an_attempt_is_not_timed_out_while_the_gateway_lets_it_wait(transport: Any) -> None:
    client = {"limits": Limits(max_in_flight=1)}
    timeouts = Timeouts(total=50, attempt=20)
    async with (
        world(latency=15, client=client) as w,
        SegmindClient("any-key", w.gateway.url, timeouts=timeouts, transport=transport) as worker,
    ):
        await worker.balance()
        outcomes = await worker.chat_many([f"question {index}" for index in range(8)])
    assert [one.status for one in outcomes] == [sa.Status.OK] * 8
    assert len(w.emulator.calls) == 8


async def test_the_deadline_travels_with_the_request() -> None:
    async with (
        world(latency=60) as w,
        SegmindClient("any-key", w.gateway.url, timeouts=Timeouts(total=5)) as worker,
    ):
        await worker.balance()
        # Its answer may have been billed: the gateway says so, and it is not sent again.
        with pytest.raises(sa.ServerError, match="504"):
            await worker.chat("hello")
        assert len(w.emulator.calls) == 1


@pytest.mark.parametrize("value", ["8", "1e308"])
async def test_a_deadline_that_is_named_cannot_pass_the_operators_own(value: str) -> None:
    async with world(latency=60, client={"timeouts": Timeouts(total=3)}) as w:
        began = anyio.current_time()
        response = await w.post("/gpt-5.4-mini", asked(), headers={"x-segmind-timeout": value})
        assert (response.status, round(anyio.current_time() - began)) == (504, 3)


async def test_a_deadline_that_is_named_leaves_the_operators_other_timeouts() -> None:
    client = {"timeouts": Timeouts(total=None, queue=2), "limits": Limits(max_in_flight=1)}
    async with world(latency=20, client=client) as w:
        statuses: list[int] = []

        async def ask() -> None:
            response = await w.post("/gpt-5.4-mini", asked(), headers={"x-segmind-timeout": "30"})
            statuses.append(response.status)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
    assert statuses == [504, 200]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "", "1e-320", "0.0001"])
async def test_a_deadline_that_is_none_is_a_400(value: str) -> None:
    async with world() as w:
        response = await w.post("/gpt-5.4-mini", {}, headers={"x-segmind-timeout": value})
        assert response.status == 400
        assert "x-segmind-timeout" in (await response.json())["error"]


async def test_a_call_with_hardly_any_time_left_names_a_deadline_that_is_taken() -> None:
    async with (
        world(latency=1) as w,
        SegmindClient("any-key", w.gateway.url, timeouts=Timeouts(total=1e-4)) as worker,
    ):
        await worker.balance()
        with pytest.raises(sa.ServerError, match="504"):
            await worker.chat("hello")


async def test_the_time_that_a_gateway_has_spent_counts_as_spent() -> None:
    async with (
        world() as w,
        SegmindClient("any-key", w.gateway.url, timeouts=Timeouts(total=5)) as worker,
    ):
        await worker.balance()
        # The gateway's own attempts and waits fill the time; its client must not begin anew.
        w.emulator.script(*[faults.Answer(503, b"{}", headers={"retry-after": "2"})] * 40)
        began = anyio.current_time()
        with pytest.raises(sa.TransientError):
            await worker.chat("hello")
        assert anyio.current_time() - began < 6


@pytest.mark.parametrize(("headers", "repeated"), [({"x-segmind-timeout": "1"}, False), ({}, True)])
async def test_a_timeout_that_its_caller_has_named_is_final(headers: dict[str, str], repeated: bool) -> None:
    # Nothing is in doubt: it has waited for a slot.
    client = {"timeouts": Timeouts(queue=2), "limits": Limits(max_in_flight=1)}
    async with world(latency=20, client=client) as w, anyio.create_task_group() as tasks:
        tasks.start_soon(w.chat)
        await anyio.sleep(1)
        response = await w.post("/gpt-5.4-mini", asked("another"), headers=headers)
    assert response.status == 504
    assert ("x-should-retry" not in response.headers) is repeated


async def test_out_of_credits_is_asked_once() -> None:
    async with world(balance=0) as w, SegmindClient("any-key", w.gateway.url) as worker:
        with pytest.raises(sa.InsufficientCreditsError) as caught:
            await worker.chat("hello")
    assert caught.value.details.attempts == 1


async def test_a_429_of_the_gateway_teaches_no_limit() -> None:
    options = GatewayOptions(port=0, max_calls=4)
    async with (
        world(latency=1, options=options) as w,
        SegmindClient("any-key", w.gateway.url, limits=Limits(max_in_flight=16)) as worker,
    ):
        await worker.balance()
        outcomes = await worker.chat_many([f"question {index}" for index in range(24)])
        found = worker.statistics()
    assert {one.status for one in outcomes} == {sa.Status.OK}
    assert found.rate_limited
    assert (found.limit, found.requests_per_minute) == (16, None)


async def test_rows_wait_for_a_gateway_that_is_gone_and_go_on() -> None:
    rows = [f"question {index}" for index in range(60)]
    async with (
        Emulator(latency=2, balance=5) as emulator,
        SegmindClient(emulator.key, emulator.url) as upstream,
    ):
        first = Gateway(upstream, GatewayOptions(port=0, grace=0))
        await first.__aenter__()
        port = int(first.url.split(":")[2].removesuffix("/v1"))
        worker = SegmindClient("any-key", first.url, limits=Limits(max_in_flight=8))
        async with worker, worker.fan_out(rows) as outcomes:
            found = [await anext(outcomes) for _ in range(10)]
            await first.__aexit__(None, None, None)
            await anyio.sleep(45)
            async with Gateway(upstream, GatewayOptions(port=port)):
                found += [one async for one in outcomes]
        billed = emulator.billed()
    assert [one.status for one in found] == [sa.Status.OK] * len(rows)
    # Only what was on the wire when it went is in doubt.
    assert sum(billed.values()) <= len(rows) + 8
    assert outcomes.report.maybe_paid_twice <= 8


async def test_a_client_that_meets_the_service_itself_guards_again() -> None:
    async with world() as w, SegmindClient("any-key", w.gateway.url) as worker:
        admission = worker._service.admission
        await worker.chat("hello")
        assert admission.behind_gateway
        admission.met(gateway=False, status=502)
        assert admission.behind_gateway
        admission.met(gateway=False, status=200)
        assert not admission.behind_gateway


async def test_errors_of_others_are_not_final() -> None:
    async with world() as w, SegmindClient(w.emulator.key, w.emulator.url) as direct:
        w.emulator.script(faults.Answer(503, b"{}", headers={"x-should-retry": "false"}))
        assert (await direct.chat("hello")).attempts == 2


async def test_a_program_that_is_started_before_its_gateway_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGMIND_GATEWAY", "1")
    rows = [f"question {index}" for index in range(40)]
    async with world() as w:
        # Nobody listens at this port any more.
        async with Gateway(w.client, GatewayOptions(port=0)) as gateway:
            url = gateway.url
        port = int(url.split(":")[2].removesuffix("/v1"))
        async with (
            SegmindClient(
                "any-key", url, limits=Limits(max_in_flight=8), retry=sa.RetryPolicy(retries=0)
            ) as worker,
            anyio.create_task_group() as tasks,
        ):
            found: list[sa.Outcome] = []

            async def send_all() -> None:
                found.extend(await worker.chat_many(rows))

            tasks.start_soon(send_all)
            await anyio.sleep(100)
            waits = worker.statistics().wait
            assert waits is not None
            assert waits.reason is WaitReason.OUTAGE
            async with Gateway(w.client, GatewayOptions(port=port)):
                while len(found) < len(rows):
                    await anyio.sleep(1)
                assert await worker.balance() == await w.client.balance()
        billed = w.emulator.billed()
    assert {one.status for one in found} == {sa.Status.OK}
    assert sum(billed.values()) == len(rows)


@TRANSPORTS
@pytest.mark.parametrize("by_variable", [True, False])
async def test_calls_count_in_the_budget_that_the_client_names(
    transport: Any, by_variable: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [BudgetRule("empty", credits=Decimal(0)), BudgetRule("full", credits=Decimal(1))]
    options = GatewayOptions(port=0, budgets=rules, state=tmp_path / "state.db")
    async with world(options=options) as w:
        for name, text in (
            ("full", "echo: hello"),
            ("empty", "budget 'empty'"),
            ("none", "no budget 'none'"),
        ):
            if by_variable:
                monkeypatch.setenv("SEGMIND_GATEWAY_BUDGET", name)
            given = None if by_variable else name
            async with SegmindClient(
                "any-key", w.gateway.url, transport=transport, gateway_budget=given
            ) as worker:
                try:
                    # Its first call already.
                    got = (await worker.with_options(model="gpt-5").chat("hello")).text
                except sa.SegmindError as error:
                    got = error.message
            assert text in got
        assert w.emulator.requests == 1


@pytest.mark.parametrize(
    ("url", "budget", "says"),
    [
        ("https://api.segmind.com/v1", "team", "base_url is the service's own"),
        ("http://127.0.0.1:1/v1", "a b", "gateway_budget='a b' names no budget"),
        ("http://127.0.0.1:1/v1", "", None),
    ],
)
def test_the_name_of_a_budget_is_checked_at_once(url: str, budget: str, says: str | None) -> None:
    if says is None:
        assert not SegmindClient("any-key", url, gateway_budget=budget)._service.admission.behind_gateway
        return
    with pytest.raises(sa.ConfigurationError, match=says):
        SegmindClient("any-key", url, gateway_budget=budget)


async def test_what_is_no_gateway_after_all_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_GATEWAY", "true")
    async with Emulator(balance=5) as emulator, SegmindClient(emulator.key, emulator.url) as client:
        admission = client._service.admission
        assert admission.behind_gateway
        await client.chat("hello")
        assert not admission.behind_gateway


def test_the_service_itself_is_no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMIND_BASE_URL", raising=False)
    monkeypatch.setenv("SEGMIND_GATEWAY", "1")
    with pytest.raises(sa.ConfigurationError, match="SEGMIND_BASE_URL"):
        SegmindClient("any-key")
    monkeypatch.setenv("SEGMIND_GATEWAY", "perhaps")
    with pytest.raises(sa.ConfigurationError, match="SEGMIND_GATEWAY='perhaps' must be 1 or 0"):
        SegmindClient("any-key", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("SEGMIND_GATEWAY", "0")
    assert not SegmindClient("any-key")._service.admission.behind_gateway
