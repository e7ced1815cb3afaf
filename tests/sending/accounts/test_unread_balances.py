"""Under a floor the balance of each key is read before its first call: what keys whose reads fail cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import anyio
import pytest

import segmind_async as sa
from segmind_async._wire.failures import Billing, Failure, FailureKind
from segmind_async.testing import ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse

from .support import KEYS, client_of, emulator_of, sent_with, states

Read: TypeAlias = Callable[[float], Awaitable[WireResponse | Failure]]
"""Answers a read of a balance within so many seconds."""

FLOOR = sa.Limits(floor=0.5)


async def revoked(_: float) -> WireResponse:
    return WireResponse(401, {}, b"{}")


async def unavailable(_: float) -> WireResponse:
    return WireResponse(503, {}, b"{}")


async def hanging(time_left: float) -> Failure:
    await anyio.sleep(time_left)
    return Failure(FailureKind.TIMED_OUT, "no answer in time", Billing.NOT_SENT)


class Reads(ScriptedTransport):
    """Keys of whose balances some are read in a way of their own; calls take a second."""

    def __init__(self, reads: Mapping[int, Read], **options: object) -> None:
        super().__init__(latency=1.0, **options)  # type: ignore[arg-type]  # passed on
        self.reads = dict(reads)

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        if request.body is None and (read := self.reads.get(request.key)) is not None:
            self.requests.append(request)
            await anyio.sleep(0.1)
            return await read(time_left)
        return await super().send(request, time_left)

    def sent(self, *, reads: bool) -> Counter[int]:
        """Return how many requests of either kind came with each key."""
        return Counter(request.key for request in self.requests if (request.body is None) is reads)


@pytest.mark.parametrize(
    "of_job", [pytest.param(False, id="of-the-client"), pytest.param(True, id="of-a-job")]
)
@pytest.mark.parametrize("calls", [1, 2, 8, 64])
@pytest.mark.parametrize("dead", [0, 1])
async def test_a_key_that_is_revoked_from_the_start_costs_no_row(dead: int, calls: int, of_job: bool) -> None:
    async with emulator_of([1, 1], cost="0.001", latency=1.0) as emulator:
        client = sa.SegmindClient(
            api_keys=KEYS[:2],
            base_url=emulator.url,
            limits=sa.Limits(max_in_flight=calls, floor=0 if of_job else 0.5),
        )
        del emulator.state.accounts[KEYS[dead]]
        async with client:
            outcomes = await client.chat_many([str(n) for n in range(80)], floor=0.5 if of_job else 0)
            assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
            assert states(client)[dead] == "refused"
        assert sent_with(emulator, dead) == 0


@pytest.mark.parametrize("read", [unavailable, hanging])
@pytest.mark.parametrize("calls", [1, 64])
@pytest.mark.parametrize("failing", [0, 1])
async def test_a_key_whose_balance_cannot_be_read_costs_no_row(failing: int, calls: int, read: Read) -> None:
    """Nor does it hold up the calls that the other key can take, which wait 10 s at most."""
    transport = Reads({failing: read})
    limits = sa.Limits(max_in_flight=calls, floor=0.5)
    async with sa.SegmindClient(
        api_keys=KEYS[:2], transport=transport, limits=limits, timeouts=sa.Timeouts(queue=10)
    ) as client:
        outcomes = await client.chat_many([str(n) for n in range(80)], max_in_flight=calls)
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client)[failing] == "balance unknown"
        assert failing not in transport.sent(reads=False)
        del transport.reads[failing]
        await anyio.sleep(61)
        await client.chat_many([str(n) for n in range(4)])
        assert states(client) == ["in use", "in use"]
        assert transport.sent(reads=False)[failing] > 0


@pytest.mark.parametrize("calls", [1, 8, 64])
async def test_with_every_key_revoked_a_job_ends_with_that(calls: int) -> None:
    transport = Reads({0: revoked, 1: revoked})
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport, limits=FLOOR) as client:
        async with client.fan_out((str(n) for n in range(80)), max_in_flight=calls) as rows:
            outcomes = [outcome async for outcome in rows]
        assert rows.report.stop_reason is sa.StopReason.REFUSED
        errors = [outcome.error for outcome in outcomes if outcome.status is sa.Status.FAILED]
        assert {type(error) for error in errors} == {sa.AuthenticationError}
        with pytest.raises(sa.AuthenticationError):
            await client.chat("x")
    assert not transport.sent(reads=False)


async def test_without_any_balance_to_be_read_a_call_ends_with_the_error_of_the_first_key() -> None:
    transport = Reads({0: unavailable, 1: revoked})
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport, limits=FLOOR) as client:
        with pytest.raises(sa.ServerError):
            await client.chat("x")
    assert not transport.sent(reads=False)


async def test_a_key_that_is_only_out_of_credits_decides_how_a_call_ends() -> None:
    """The other key is revoked, and its balance not known."""
    async with emulator_of([1, 1], cost="0.001") as emulator, client_of(emulator, limits=FLOOR) as client:
        first, second = client._service.admission.accounts.all
        first.ledger.observe(10**9, 0.0, 0.0)
        first.standing.emptied(anyio.current_time())
        emulator.state.spend("0.9", KEYS[0])
        del emulator.state.accounts[KEYS[1]]
        with pytest.raises(sa.InsufficientCreditsError):
            await client.chat("x")
        assert not second.takes


async def test_a_key_that_names_no_costs_is_out_when_its_balance_cannot_be_read() -> None:
    """Its floor cannot be kept, though a balance is known from before."""
    transport = Reads({}, otherwise=_unnamed)
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport, limits=FLOOR) as client:
        await client.balance()
        transport.reads[0] = unavailable
        outcomes = await client.chat_many([str(n) for n in range(40)], max_in_flight=4)
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client) == ["balance unknown", "in use"]


def _unnamed(request: WireRequest) -> WireResponse:
    if request.body is None:
        return WireResponse(200, {}, b'{"credits": 5.0, "free-credits": 0.0}')
    return answer("yes", cost=None, balance=None)


async def test_calls_that_are_short_of_credits_share_one_read_of_a_key_that_fails() -> None:
    transport = Reads({1: hanging}, otherwise=lambda request: answer("yes", balance="0.5001"))
    transport.reads[0] = _poor
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport, limits=FLOOR) as client:
        outcomes = await client.chat_many([str(n) for n in range(64)], max_in_flight=64)
        assert {outcome.status for outcome in outcomes} == {sa.Status.UNSENT}
    assert transport.sent(reads=True)[1] == 2


async def _poor(_: float) -> WireResponse:
    return WireResponse(200, {}, b'{"credits": 0.5, "free-credits": 0.0}')
