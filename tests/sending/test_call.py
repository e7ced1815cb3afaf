"""What one call does about failures, time and cancellation, answer by answer."""

from __future__ import annotations

import json
import math
import traceback
from decimal import Decimal

import anyio
import pytest

import segmind_async as sa
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse
from tests.support import KEY, always, client, lost, status, unreachable


async def test_an_answer_carries_the_figures_of_the_service() -> None:
    reply = answer("hi", cost="0.0025", balance="1.5", headers={"x-request-id": "r-1"})
    async with client(ScriptedTransport([reply])) as c:
        got = await c.chat("hello")
    assert (got.text, got.cost, got.credits_remaining) == ("hi", Decimal("0.0025"), Decimal("1.5"))
    assert (got.request_id, got.attempts, got.finish_reason) == ("r-1", 1, "stop")
    assert got.usage == sa.Usage(10, 5, 15)


async def test_a_chat_request_brings_its_own_model_and_parameters_whatever_their_names() -> None:
    transport = ScriptedTransport([answer("hi")])
    async with client(transport) as c:
        await c.chat(sa.ChatRequest.of("hello", "gpt-5", {"parse": "x", "timeout": 1, "model": "own"}))
        with pytest.raises(sa.InvalidRequestError, match="put model, seed into it"):
            await c.chat(sa.ChatRequest("hello"), model="gpt-5", seed=1)
    [request] = transport.requests
    assert request.path == "/gpt-5"
    sent = json.loads(request.body or b"")
    assert (sent["parse"], sent["timeout"], sent["model"]) == ("x", 1, "own")


@pytest.mark.parametrize(
    ("code", "attempts"),
    [
        pytest.param(400, 1, id="400-never"),
        pytest.param(401, 1, id="401-never"),
        pytest.param(403, 1, id="403-never"),
        pytest.param(404, 1, id="404-never"),
        pytest.param(405, 1, id="405-never"),
        pytest.param(410, 1, id="410-never"),
        pytest.param(413, 1, id="413-never"),
        pytest.param(422, 1, id="422-never"),
        pytest.param(301, 1, id="redirect-never"),
        pytest.param(501, 1, id="501-never"),
        pytest.param(505, 1, id="505-never"),
        pytest.param(500, 2, id="500-once"),
        pytest.param(408, 4, id="408"),
        pytest.param(425, 4, id="425"),
        pytest.param(502, 4, id="502"),
        pytest.param(503, 4, id="503"),
        pytest.param(504, 4, id="504"),
        pytest.param(520, 4, id="520"),
        pytest.param(524, 4, id="524"),
        pytest.param(529, 4, id="529"),
    ],
)
async def test_how_often_a_status_is_sent_again(code: int, attempts: int) -> None:
    transport = ScriptedTransport(otherwise=always(status(code)))
    async with client(transport) as c:
        with pytest.raises(sa.SegmindError) as caught:
            await c.chat("hello")
    assert len(transport.requests) == attempts
    assert (caught.value.attempts, caught.value.status) == (attempts, code)


async def test_a_failure_is_followed_by_success() -> None:
    async with client(ScriptedTransport([status(503), unreachable(), answer("at last")])) as c:
        got = await c.chat("hello")
    assert (got.text, got.attempts, got.in_doubt) == ("at last", 3, 0)


@pytest.mark.parametrize("resends", [0, 1, 2])
async def test_a_call_in_doubt_is_sent_again_as_often_as_allowed(resends: int) -> None:
    transport = ScriptedTransport(otherwise=always(lost()))
    async with client(transport, retry=sa.RetryPolicy(retries=9, resend_in_doubt=resends)) as c:
        with pytest.raises(sa.APIConnectionError) as caught:
            await c.chat("hello")
    assert len(transport.requests) == 1 + resends
    assert caught.value.details.in_doubt == 1 + resends


@pytest.mark.parametrize("hundredths", range(20))
async def test_what_waits_for_a_doubt_goes_on_at_the_instant_it_settles(hundredths: int) -> None:
    """A clock's instants are rounded: at some of these a timer ends before the sum of start and wait."""

    def reply(request: WireRequest) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 0.001, "free-credits": 0}')
        return lost() if b"one" in request.body else answer("ok", cost="0.001", balance="0")

    transport = ScriptedTransport(otherwise=reply, latency=1.0)
    limits = sa.Limits(first_cost=0.001)
    async with client(transport, limits=limits, retry=sa.RetryPolicy(resend_in_doubt=0)) as c:
        await anyio.sleep(hundredths / 100)
        with pytest.raises(sa.APIConnectionError):
            await c.chat("one")
        assert (await c.balance()).total == Decimal("0.001")
        assert (await c.chat("two")).text == "ok"


async def test_an_unreadable_answer_counts_as_in_doubt_and_its_cost_is_kept() -> None:
    bad = WireResponse(200, {"x-cost": "0.25", "x-remaining-credits": "50"}, b"<html>")
    async with client(ScriptedTransport([bad, answer("ok", cost="0.5", balance="49")])) as c:
        got = await c.chat("hello")
        assert c.statistics().spent == Decimal("0.75")
    assert (got.cost, got.in_doubt) == (Decimal("0.75"), 1)


async def test_total_ends_a_call_whatever_the_retries() -> None:
    class Silent(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            self.requests.append(request)
            await anyio.sleep(min(time_left, 2.0))
            return lost()

    timeouts = sa.Timeouts(total=3)
    async with client(Silent(), timeouts=timeouts, retry=sa.RetryPolicy(retries=99, resend_in_doubt=99)) as c:
        began = anyio.current_time()
        with pytest.raises(sa.SegmindError, match="total=3"):
            await c.chat("hello")
        assert anyio.current_time() - began == pytest.approx(3, abs=0.01)


async def test_the_last_attempt_gets_only_what_is_left_of_the_total() -> None:
    seen: list[float] = []

    class Noting(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            seen.append(time_left)
            return await super().send(request, time_left)

    async with client(
        Noting([status(503), answer("x")], latency=4),
        timeouts=sa.Timeouts(total=10),
        retry=sa.RetryPolicy(base=0),
    ) as c:
        await c.chat("hello")
    assert seen == [10, 6]


async def test_without_a_total_an_attempt_has_no_other_bound() -> None:
    transport = ScriptedTransport(latency=5000)
    async with client(transport, timeouts=sa.Timeouts(total=None)) as c:
        assert (await c.chat("hello")).elapsed == 5000


async def test_a_wait_the_server_asks_for_is_never_shortened() -> None:
    transport = ScriptedTransport([status(503, retry_after="7"), answer("x")])
    async with client(transport) as c:
        began = anyio.current_time()
        await c.chat("hello")
        waited = anyio.current_time() - began
    assert 7 <= waited <= 7.8


async def test_a_wait_longer_than_allowed_is_raised_at_once() -> None:
    transport = ScriptedTransport([status(503, retry_after="121")])
    async with client(transport) as c:
        began = anyio.current_time()
        with pytest.raises(sa.ServerError, match="121") as caught:
            await c.chat("hello")
        assert anyio.current_time() == began
    assert caught.value.retry_after == 121


async def test_a_wait_that_does_not_fit_the_total_is_raised_at_once() -> None:
    async with client(
        ScriptedTransport([status(503, retry_after="60")]), timeouts=sa.Timeouts(total=30)
    ) as c:
        with pytest.raises(sa.ServerError, match="total=30") as caught:
            await c.chat("hello")
    assert caught.value.retry_after == 60


async def test_no_slot_and_no_credits_are_held_while_waiting_to_retry() -> None:
    transport = ScriptedTransport([answer("warm-up"), status(503, retry_after="50")])
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as c, anyio.create_task_group() as tasks:
        await c.chat("first, so that costs are known")
        tasks.start_soon(c.chat, "waits 50 s")
        await anyio.sleep(1)
        statistics = c.statistics()
        assert (statistics.in_flight, statistics.held) == (0, Decimal(0))
        await c.chat("gets the only slot meanwhile")
        assert len(transport.requests) == 3


async def test_a_429_does_not_use_up_retries_and_closes_the_gate_for_all() -> None:
    transport = ScriptedTransport([*[status(429, retry_after="2")] * 6, answer("x")])
    async with client(transport, retry=sa.RetryPolicy(retries=0)) as c:
        began = anyio.current_time()
        got = await c.chat("hello")
        assert anyio.current_time() - began >= 12
    assert got.attempts == 7


async def test_a_429_that_asks_for_too_long_a_wait_is_raised() -> None:
    async with client(ScriptedTransport([status(429, retry_after="1000")])) as c:
        with pytest.raises(sa.RateLimitError) as caught:
            await c.chat("hello")
    assert caught.value.retry_after == 1000


async def test_timeout_bounds_the_wait_for_a_slot_too() -> None:
    async with client(ScriptedTransport(latency=100), limits=sa.Limits(max_in_flight=1)) as c:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(c.chat, "has the slot")
            await anyio.sleep(1)
            with pytest.raises(sa.APITimeoutError) as caught:
                await c.chat("waits", timeout=5)
            assert isinstance(caught.value, TimeoutError)
            tasks.cancel_scope.cancel()


async def test_queue_bounds_the_wait_for_the_first_slot() -> None:
    async with client(
        ScriptedTransport(latency=100), limits=sa.Limits(max_in_flight=1), timeouts=sa.Timeouts(queue=3)
    ) as c:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(c.chat, "has the slot")
            await anyio.sleep(1)
            began = anyio.current_time()
            with pytest.raises(sa.APITimeoutError, match="queue=3"):
                await c.chat("waits")
            assert anyio.current_time() - began == pytest.approx(3)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("Invalid content type", sa.BadRequestError, id="content-type"),
        pytest.param(
            "Insufficient credits: balance 0.01, this call needs 0.05",
            sa.InsufficientCreditsError,
            id="credits",
        ),
        pytest.param("Not enough credits", sa.InsufficientCreditsError, id="credits-short"),
        pytest.param("Value of temperature rejected", sa.BadRequestError, id="parameter"),
        pytest.param("Team member spend limit of 5 a month reached", sa.SpendLimitError, id="spend-limit"),
    ],
)
async def test_the_causes_of_a_406_are_distinguished(text: str, error: type[sa.SegmindError]) -> None:
    def reply(request: WireRequest) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 0.01, "free-credits": 0}')
        return status(406, text)

    async with client(ScriptedTransport(otherwise=reply)) as c:
        with pytest.raises(error) as caught:
            await c.chat("hello")
    assert caught.value.status in (406, None)


async def test_when_the_account_is_empty_one_probe_makes_sure_and_no_more() -> None:
    def reply(request: WireRequest) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 5, "free-credits": 0}')
        return status(406, "Insufficient credits")

    transport = ScriptedTransport(otherwise=reply)
    async with client(transport) as c:
        with pytest.raises(sa.InsufficientCreditsError):
            await c.chat("hello")
    assert len([request for request in transport.requests if request.body is not None]) == 2


async def test_a_known_balance_too_low_is_read_again_before_giving_up() -> None:
    told = iter([b'{"credits": 0.00001, "free-credits": 0}', b'{"credits": 50, "free-credits": 0}'])

    def reply(request: WireRequest) -> Reply:
        return WireResponse(200, {}, next(told)) if request.body is None else answer("paid", balance=None)

    transport = ScriptedTransport(otherwise=reply)
    async with client(transport) as c:
        await c.balance()
        assert (await c.chat("topped up since")).text == "paid"


@pytest.mark.parametrize(
    ("floor", "says"),
    [
        pytest.param("0.9999", "the account has 0.0001 credits above the floor of 0.9999, and", id="above"),
        pytest.param(
            "100", "the account is 99 credits below the floor of 100, and this call may", id="below"
        ),
    ],
)
async def test_a_call_that_cannot_be_paid_is_not_sent(floor: str, says: str) -> None:
    def reply(request: WireRequest) -> Reply:
        return (
            WireResponse(200, {}, b'{"credits": 1, "free-credits": 0}')
            if request.body is None
            else answer("x")
        )

    transport = ScriptedTransport(otherwise=reply)
    async with client(transport, limits=sa.Limits(floor=Decimal(floor))) as c:
        with pytest.raises(sa.InsufficientCreditsError, match=says) as caught:
            await c.chat("hello")
    assert caught.value.floor == Decimal(floor)
    assert caught.value.balance == 1
    assert all(request.body is None for request in transport.requests)


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    async with client(ScriptedTransport([answer("warm-up")], latency=0)) as c:
        await c.chat("costs are known now")
        for place in range(40):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(c.chat, "soon cancelled")
                    for _ in range(place % 5):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
        statistics = c.statistics()
        assert (statistics.in_flight, statistics.waiting) == (0, 0)
        assert (await c.chat("works")).attempts == 1


async def test_the_key_is_in_no_text_an_error_shows() -> None:
    echoing = status(400, f"you sent {KEY} as key", x_echo=KEY)
    async with client(ScriptedTransport([echoing])) as c:
        with pytest.raises(sa.BadRequestError) as caught:
            await c.chat("hello")
    error = caught.value
    shown = [
        str(error),
        repr(error),
        repr(error.details),
        *traceback.format_exception(error),
        repr(vars(error)),
    ]
    assert not [text for text in shown if KEY in text]


async def test_a_dead_service_is_not_hammered() -> None:
    transport = ScriptedTransport(otherwise=always(status(503)))
    async with client(transport, limits=sa.Limits(max_in_flight=64)) as c:
        outcomes = await c.chat_many([f"row {i}" for i in range(1000)])
    assert {outcome.status for outcome in outcomes} <= {sa.Status.FAILED, sa.Status.UNSENT}
    assert len(transport.requests) < 1200


@pytest.mark.parametrize(
    ("messages", "parameters", "says"),
    [
        pytest.param([], {}, "at least one", id="empty"),
        pytest.param(b"bytes", {}, "bytes", id="bytes"),
        pytest.param([{"role": "robot", "content": "x"}], {}, "robot", id="role"),
        pytest.param("x", {"stream": True}, "stream", id="stream"),
        pytest.param("x", {"temperature": math.nan}, "temperature", id="nan"),
        pytest.param("x", {"extra": object()}, "'extra'", id="no-json"),
        pytest.param("half a \ud83d", {}, "half a character", id="surrogate"),
        pytest.param("x", {"model": "../../etc"}, "slug", id="slug"),
    ],
)
async def test_bad_requests_are_refused_before_anything_is_sent(messages, parameters, says) -> None:
    transport = ScriptedTransport()
    async with client(transport) as c:
        with pytest.raises(sa.InvalidRequestError, match=says):
            await c.chat(messages, **parameters)
    assert transport.requests == []


async def test_a_failed_call_reports_that_it_may_have_been_paid() -> None:
    async with client(ScriptedTransport(latency=60.0)) as c:
        with pytest.raises(sa.APITimeoutError) as caught:
            await c.chat("x", timeout=5.0)
    details = caught.value.details
    assert (details.attempts, details.in_doubt, details.elapsed) == (1, 1, 5.0)


@pytest.mark.parametrize("where", ["_read", "_completion", "_add_cost"])
async def test_no_error_of_any_kind_keeps_a_slot_or_a_hold(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("int too large to convert to float")

    async with client(limits=sa.Limits(max_in_flight=1)) as c:
        with monkeypatch.context() as patched:
            patched.setattr(f"segmind_async._sending.call.Call.{where}", broken)
            with pytest.raises(OverflowError):
                await c.chat("one")
        assert c.statistics().in_flight == 0
        assert (await c.chat("two")).text == "echo: two"
        assert c.statistics().in_flight == 0


async def test_a_throttle_that_fails_keeps_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OverflowError("int too large to convert to float")

    async with client(limits=sa.Limits(max_in_flight=1)) as c:
        with monkeypatch.context() as patched:
            patched.setattr("segmind_async._rate.throttle.Throttle.answered", broken)
            with pytest.raises(OverflowError):
                await c.chat("one")
        assert (await c.chat("two")).text == "echo: two"


async def test_a_damaged_usage_is_no_answer_lost() -> None:
    usage = b'{"prompt_tokens": 1' + b"0" * 400 + b', "completion_tokens": 5}'
    body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": ' + usage + b"}"
    transport = ScriptedTransport([WireResponse(200, {}, body)])
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as c:
        reply = await c.chat("hello")
        assert (reply.text, reply.usage) == ("hi", sa.Usage(None, 5, None))
        assert (await c.chat("again")).text == "echo: again"
