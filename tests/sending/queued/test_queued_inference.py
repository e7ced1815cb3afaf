"""Answers by way of the queue: the same as direct ones, and still there after whatever happens."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import anyio
import pytest
from pydantic_core import to_json

import segmind_async as sa
from segmind_async._sending.queued.queued_inference import QueuedTransport
from segmind_async._wire.failures import Billing, Failure, FailureKind
from segmind_async.emulator import Emulator, faults
from segmind_async.testing import ScriptedTransport
from segmind_async.transport import WireRequest, WireResponse
from tests.support import KEY, client

REQUEST = WireRequest("/gpt-5.4-mini", to_json({"messages": [{"role": "user", "content": "hello"}]}))


class Kept:
    """Ids, in memory; and what an earlier run has left."""

    def __init__(self, *earlier: str) -> None:
        self.earlier = list(earlier)
        self.ids: list[str] = []
        self.gone: list[tuple[str, str]] = []

    def take(self, request: WireRequest) -> str | None:
        return self.earlier.pop() if self.earlier else None

    async def keep(self, request: WireRequest, id: str) -> None:
        await anyio.sleep(0.01)
        self.ids.append(id)

    def put_back(self, request: WireRequest, id: str) -> None:
        self.earlier.append(id)

    def expired(self, id: str) -> None:
        self.gone.append(("expired", id))

    def failed(self, id: str) -> None:
        self.gone.append(("failed", id))


def queued(opened: sa.SegmindClient, kept: Kept) -> QueuedTransport:
    return QueuedTransport(opened._service, kept)


async def test_an_answer_by_way_of_the_queue_is_that_of_a_direct_call() -> None:
    async with (
        Emulator(latency=30.0, queue_time=5.0) as emulator,
        sa.SegmindClient(KEY, emulator.url) as opened,
    ):
        kept = Kept()
        got = await queued(opened, kept).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert got.status == 200
        assert b"echo: hello" in got.body
        assert set(got.headers) == {"x-cost", "x-remaining-credits", "x-request-id"}
        assert kept.ids == [got.headers["x-request-id"]]
        assert 35.0 <= anyio.current_time() < 50.0
        assert emulator.billed() == {"hello": 1}
        direct = await opened._service.transport.send(REQUEST, 600.0)
        assert isinstance(direct, WireResponse)
        assert Decimal(direct.headers["x-cost"]) == Decimal(got.headers["x-cost"])


async def test_what_is_no_chat_goes_straight_through() -> None:
    async with Emulator(balance=3) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        got = await queued(opened, Kept()).send(WireRequest("/get-user-credits"), 10.0)
        assert isinstance(got, WireResponse)
        assert got.status == 200
        transport = queued(opened, Kept())
        assert repr(transport).startswith("QueuedTransport(")
        await transport.aclose()
        assert (await opened.balance()).total == 3


async def test_the_first_poll_comes_when_requests_usually_end() -> None:
    async with Emulator(latency=40.0, balance=100) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        transport = queued(opened, Kept())
        asked: list[int] = []
        for _ in range(6):
            before = emulator.polls
            await transport.send(REQUEST, 600.0)
            asked.append(emulator.polls - before)
        assert asked[0] > 6
        assert max(asked[2:]) <= 6


async def test_an_id_of_an_earlier_run_is_fetched_and_not_paid_again() -> None:
    async with Emulator(latency=5.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        first = Kept()
        with anyio.move_on_after(2.0):
            await queued(opened, first).send(REQUEST, 600.0)
        second = Kept(*first.ids)
        got = await queued(opened, second).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert b"echo: hello" in got.body
        assert (second.ids, second.gone) == ([], [])
        assert emulator.billed() == {"hello": 1}


async def test_an_expired_id_is_removed_and_its_request_submitted_again() -> None:
    async with Emulator(results_ttl=3600.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        first = Kept()
        await queued(opened, first).send(REQUEST, 600.0)
        await anyio.sleep(3700.0)
        second = Kept(*first.ids)
        got = await queued(opened, second).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert second.gone == [("expired", first.ids[0])]
        assert emulator.billed() == {"hello": 2}


async def test_work_that_fails_is_a_refusal_that_was_not_billed() -> None:
    async with Emulator(latency=2.0, balance=5) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script(faults.status(200))
        kept = Kept()
        got = await queued(opened, kept).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert got.status == 422
        assert b"Model execution failed" in got.body
        assert kept.gone == [("failed", kept.ids[0])]
        assert (await opened.balance()).total == 5


@pytest.mark.parametrize("code", [400, 401, 406, 429, 503])
async def test_a_submission_that_is_refused_is_what_a_direct_call_would_get(code: int) -> None:
    async with Emulator() as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script(faults.status(code))
        kept = Kept()
        got = await queued(opened, kept).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert (got.status, kept.ids) == (code, [])


async def test_a_submission_whose_answer_is_lost_is_in_doubt() -> None:
    async with Emulator() as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script(faults.Reset())
        got = await queued(opened, Kept()).send(REQUEST, 600.0)
        assert isinstance(got, Failure)
        assert got.billing is Billing.IN_DOUBT


async def test_after_a_timeout_the_id_is_kept_and_nothing_is_submitted_again() -> None:
    async with Emulator(latency=100.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        kept = Kept()
        got = await queued(opened, kept).send(REQUEST, 30.0)
        assert isinstance(got, Failure)
        assert (got.kind, got.billing) == (FailureKind.TIMED_OUT, Billing.IN_DOUBT)
        assert kept.ids[0] in got.message
        assert 30.0 <= anyio.current_time() < 31.0
        assert kept.gone == []


async def test_a_failed_poll_is_repeated() -> None:
    async with Emulator(latency=8.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script_polls(503, 429, 404, 500, None, 503)
        got = await queued(opened, Kept()).send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        assert got.status == 200
        assert emulator.billed() == {"hello": 1}


async def test_a_key_that_becomes_invalid_meanwhile_is_reported_as_such() -> None:
    async with Emulator(latency=8.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script_polls(401)
        kept = Kept()
        got = await queued(opened, kept).send(REQUEST, 600.0)
        assert isinstance(got, Failure)
        assert (got.status, kept.gone) == (401, [])


async def test_an_id_that_vanishes_is_in_doubt() -> None:
    async with Emulator(latency=50.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.script_polls(*[404] * 30)
        got = await queued(opened, Kept()).send(REQUEST, 600.0)
        assert isinstance(got, Failure)
        assert (got.kind, got.billing) == (FailureKind.DISCONNECTED, Billing.IN_DOUBT)
        assert "no longer knows" in got.message


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"request_id": 5}', b'{"request_id": "../../v1/other"}', b'{"request_id": ""}'],
)
async def test_a_receipt_without_a_usable_id_is_in_doubt(body: bytes) -> None:
    kept = Kept()
    async with client(ScriptedTransport([WireResponse(200, {}, body)])) as scripted:
        got = await queued(scripted, kept).send(REQUEST, 600.0)
    assert isinstance(got, Failure)
    assert (got.kind, got.billing, kept.ids) == (FailureKind.UNREADABLE, Billing.IN_DOUBT, [])


async def test_an_id_is_stored_although_its_call_is_cancelled() -> None:
    async with Emulator(latency=5.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        kept = Kept()
        keep = kept.keep

        async def slowly(request: WireRequest, id: str) -> None:
            scope.cancel()
            await keep(request, id)

        kept.keep = slowly  # type: ignore[method-assign]  # cancelled in the worst of moments
        with anyio.CancelScope() as scope:
            await queued(opened, kept).send(REQUEST, 600.0)
        assert len(kept.ids) == emulator.requests == 1


async def test_polls_keep_to_the_pace() -> None:
    limits = sa.Limits(requests_per_minute=60)
    async with (
        Emulator(latency=20.0, balance=100, requests_per_minute=60, count_polls=True) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=limits) as opened,
    ):
        transport = queued(opened, Kept())

        async def call(n: int) -> None:
            admission = opened._service.admission
            tag = await admission.start_read(admission.accounts.first)
            body = to_json({"messages": [{"role": "user", "content": f"{n}"}]})
            got = await transport.send(WireRequest("/gpt-5.4-mini", body), 3600.0)
            assert isinstance(got, WireResponse)
            assert got.status == 200
            admission.accounts.first.throttle.answered(tag, anyio.current_time())

        async with anyio.create_task_group() as tasks:
            for n in range(60):
                tasks.start_soon(call, n)
        assert emulator.state.account.refused == {}


async def test_a_deadline_holds_while_the_gate_is_closed() -> None:
    async with Emulator(latency=3.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        emulator.http = replace(emulator.http, retry_after="seconds")
        emulator.script_polls(*[429] * 10)
        got = await queued(opened, Kept()).send(REQUEST, 10.0)
        assert isinstance(got, Failure)
        assert got.kind is FailureKind.TIMED_OUT
        assert 10.0 <= anyio.current_time() < 10.5


async def test_a_failed_request_is_reported_whatever_its_form() -> None:
    receipt = WireResponse(200, {}, b'{"request_id": "abc"}')
    failed = WireResponse(422, {}, b'{"error": "the model could not run"}')
    async with client(ScriptedTransport([receipt, failed])) as opened:
        got = await queued(opened, Kept()).send(REQUEST, 600.0)
    assert isinstance(got, WireResponse)
    assert (got.status, b"could not run" in got.body) == (422, True)


async def test_an_id_without_a_waiting_call_is_taken_by_the_next() -> None:
    async with Emulator(latency=20.0) as emulator, sa.SegmindClient(KEY, emulator.url) as opened:
        kept = Kept()
        transport = queued(opened, kept)
        await transport.send(REQUEST, 10.0)
        got = await transport.send(REQUEST, 600.0)
        assert isinstance(got, WireResponse)
        with anyio.move_on_after(5.0):
            await transport.send(REQUEST, 600.0)
        assert len(kept.earlier) == 1, "cancelled, it is left as well"
        assert emulator.requests == 2
