"""The openai SDK against the gateway: what it makes of answers and of errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from segmind_async import RetryPolicy
from segmind_async.emulator import Calls, FunctionBrain, Question, faults
from tests.gateway.support import World, world

USER: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def sdk(*args: Any, **options: Any) -> AsyncIterator[tuple[World, openai.AsyncOpenAI]]:
    async with (
        world(*args, **options) as w,
        openai.AsyncOpenAI(api_key="any", base_url=w.gateway.url) as client,
    ):
        yield w, client


async def test_an_answer() -> None:
    async with sdk() as (_, client):
        got = await client.chat.completions.create(
            model="gpt-5.4-mini", messages=USER, max_completion_tokens=50
        )
        assert got.choices[0].message.content == "echo: hello"
        assert got._request_id == "req-00000001"
        assert got.usage is not None
        raw = await client.chat.completions.with_raw_response.create(model="claude-4-sonnet", messages=USER)
        assert float(raw.headers["x-segmind-cost"]) > 0
        assert [one.id async for one in client.models.list()][:1] == ["gpt-4"]
        assert (await client.models.retrieve("gpt-5")).id == "gpt-5"


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"])
async def test_parse(model: str) -> None:
    async with sdk() as (_, client):
        got = await client.chat.completions.parse(model=model, messages=USER, response_format=City)
        assert isinstance(got.choices[0].message.parsed, City)


async def test_tools() -> None:
    def brain(_question: Question) -> Calls:
        return Calls([("add", {"a": 1})])

    add: Any = {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    }
    async with sdk(FunctionBrain(brain)) as (_, client):
        got = await client.chat.completions.create(
            model="gpt-5.4-mini", messages=USER, tools=[add], tool_choice="required"
        )
        [call] = got.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert call.function.arguments in ('{"a":1}', '{"a": 1}')


@pytest.mark.parametrize(
    ("options", "fault", "error"),
    [
        ({"balance": 0}, None, openai.APIStatusError),
        ({}, faults.status(400, "no"), openai.BadRequestError),
        ({}, faults.status(401, "no"), openai.InternalServerError),
        ({}, faults.status(403, "no"), openai.PermissionDeniedError),
    ],
)
async def test_an_error_that_does_not_pass_is_asked_once(options: Any, fault: Any, error: Any) -> None:
    async with sdk(**options) as (w, client):
        w.emulator.script(fault)
        asked: list[int] = []
        client._client.event_hooks["response"] = [_noting(asked)]
        with pytest.raises(error):
            await client.chat.completions.create(model="gpt-5.4-mini", messages=USER)
        assert len(asked) == 1
        assert w.emulator.requests <= 1


def _noting(statuses: list[int]) -> Any:
    async def note(response: Any) -> None:
        statuses.append(response.status_code)

    return note


async def test_a_402_says_insufficient_quota() -> None:
    async with sdk(balance=0) as (_, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="gpt-5.4-mini", messages=USER)
        assert (caught.value.status_code, caught.value.code) == (402, "insufficient_quota")


async def test_a_wrong_field_is_named() -> None:
    async with sdk() as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="gpt-5.4-mini", messages=USER, n=2)
        assert caught.value.param == "n"
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="x", input="y")


@pytest.mark.parametrize("latency", [1, 25], ids=["at-once", "after-heartbeats"])
async def test_a_stream(latency: float) -> None:
    async with sdk(latency=latency) as (_, client):
        async with client.chat.completions.stream(
            model="gpt-5.4-mini", messages=USER, stream_options={"include_usage": True}
        ) as stream:
            pieces = [event.delta async for event in stream if event.type == "content.delta"]
            final = await stream.get_final_completion()
        assert "".join(pieces) == "echo: hello" == final.choices[0].message.content
        assert final.usage is not None


async def test_streamed_tool_calls() -> None:
    add: Any = {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    }
    calls = Calls([("add", {"a": "x" * 600}), ("add", {"b": 2})])
    async with sdk(FunctionBrain(lambda _: calls)) as (_, client):
        async with client.chat.completions.stream(model="gpt-5.4-mini", messages=USER, tools=[add]) as stream:
            final = await stream.get_final_completion()
        got = final.choices[0].message.tool_calls or []
        assert [json.loads(call.function.arguments) for call in got] == [{"a": "x" * 600}, {"b": 2}]
        assert len({call.id for call in got}) == 2


async def test_an_error_within_a_stream_is_raised() -> None:
    async with sdk(latency=15, client={"retry": RetryPolicy(retries=0)}) as (w, client):
        w.emulator.script(faults.Answer(200, b"<html>"))
        stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=USER, stream=True)
        with pytest.raises(openai.APIError) as caught:
            [chunk async for chunk in stream]
        assert caught.value.code == "upstream_unreadable"
