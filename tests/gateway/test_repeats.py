"""Repeats of an SDK after its own timeout: they get the call that still runs, and nobody else does."""

from __future__ import annotations

import math
from typing import Any

import anyio
import openai
import pytest

from segmind_async import Timeouts
from segmind_async.gateway import BudgetRule, GatewayOptions
from segmind_async.gateway._repeats import is_repeat, may_repeat, request_key
from tests.gateway.support import TOKEN, World, world

USER: Any = [{"role": "user", "content": "hello"}]


def sent(count: int, timeout: str = "5") -> dict[str, str]:
    return {"x-stainless-retry-count": str(count), "x-stainless-read-timeout": timeout}


async def ask(w: World, **options: Any) -> Any:
    options.setdefault("headers", sent(1))
    return await w.post("/chat/completions", {"model": "gpt-5.4-mini", "messages": USER}, **options)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("latency", [5.2, 13])
async def test_a_call_that_an_sdk_repeats_after_its_timeout_is_paid_once(
    stream: bool, latency: float
) -> None:
    async with (
        world(latency=latency) as w,
        openai.AsyncOpenAI(api_key="any", base_url=w.gateway.url, timeout=5, max_retries=3) as client,
    ):
        got: Any = await client.chat.completions.create(model="gpt-5.4-mini", messages=USER, stream=stream)
        if stream:
            text = "".join([(piece.choices[0].delta.content or "") async for piece in got])
        else:
            text = got.choices[0].message.content
        assert text == "echo: hello"
        assert w.emulator.requests == 1


async def leave(w: World, headers: dict[str, str] | None = None, after: float = 5) -> None:
    with anyio.move_on_after(after):
        await ask(w, headers=sent(0) if headers is None else headers)
    await anyio.sleep(0.5)


async def test_a_caller_that_was_stopped_before_its_timeout_cancels_its_call() -> None:
    async with world(latency=100) as w:
        await leave(w, after=2)
        assert w.client.statistics().in_flight == 0


async def test_a_call_that_nobody_repeats_is_cancelled_after_the_wait() -> None:
    async with world(latency=100) as w:
        await leave(w)
        assert w.client.statistics().in_flight == 1
        await anyio.sleep(10)
        assert w.client.statistics().in_flight == 0
        assert w.client.statistics().held > 0


async def test_each_of_two_equal_calls_goes_to_a_repeat_of_its_own() -> None:
    async with world(latency=8) as w:
        for count, after in ((0, 5), (1, 20)):
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(leave, w, sent(count), after)
        # The two calls are answered; a third repeat finds none left.
        assert w.emulator.requests == 2
        await ask(w)
        assert w.emulator.requests == 3


async def test_a_call_left_twice_is_kept_from_the_second_time_on() -> None:
    async with world(latency=18) as w:
        await leave(w)
        await anyio.sleep(5)
        await leave(w, sent(1))
        assert (await ask(w, headers=sent(2))).status == 200
        assert w.emulator.requests == 1


async def test_the_failure_of_a_call_reaches_its_repeat() -> None:
    async with world(latency=100, client={"timeouts": Timeouts(total=7)}) as w:
        await leave(w)
        await anyio.sleep(3)
        assert (await ask(w)).status == 504
        assert w.emulator.requests == 1


@pytest.mark.parametrize(
    "headers",
    [
        sent(0),
        {**sent(1), "Authorization": "Bearer of-another-team"},
        {**sent(1), "x-segmind-priority": "bulk"},
    ],
)
async def test_others_get_calls_of_their_own(headers: dict[str, str]) -> None:
    mine = {"Authorization": f"Bearer {TOKEN}"}
    budgets = [BudgetRule("team", token="of-another-team")]
    async with world(latency=8, options=GatewayOptions(port=0, tokens=[TOKEN], budgets=budgets)) as w:
        await leave(w, {**sent(0), **mine})
        assert (await ask(w, headers={**mine, **headers})).status == 200
        assert w.emulator.requests == 2


async def test_stopping_cancels_calls_that_were_left() -> None:
    async with world(latency=100) as w:
        await leave(w)
        await w.gateway.__aexit__(None, None, None)
        assert w.client.statistics().in_flight == 0


def test_which_requests_are_repeats() -> None:
    assert [is_repeat({"x-stainless-retry-count": text}) for text in ("1", "12", "9" * 5000)] == [True] * 3
    assert not any(is_repeat({"x-stainless-retry-count": text}) for text in ("0", "00", "", "-1", "one"))
    assert not is_repeat({})


@pytest.mark.parametrize(
    ("headers", "elapsed", "expected"),
    [
        ({}, math.inf, False),
        ({"x-stainless-retry-count": "0"}, 0, True),
        (sent(0), 4.6, True),
        (sent(2), 4.4, False),
        ({"x-stainless-retry-count": "0", "x-stainless-timeout": "5"}, 4, False),
        (sent(0, "none"), 1, True),
        (sent(0, "nan"), 1, False),
    ],
)
def test_who_may_ask_again(headers: dict[str, str], elapsed: float, expected: bool) -> None:
    assert may_repeat(headers, elapsed) is expected


def test_a_key_tells_path_token_and_body_apart() -> None:
    keys = [
        request_key("/v1/a", {"x-api-key": "ab"}, b"c"),
        request_key("/v1/a", {"x-api-key": "a"}, b"bc"),
        request_key("/v1/a", {"x-segmind-budget": "ab"}, b"c"),
        request_key("/v1/a", {"x-segmind-priority": "ab"}, b"c"),
        request_key("/v1/a", {}, b"c"),
        request_key("/v1/b", {}, b"c"),
    ]
    assert len({*keys}) == len(keys)
