"""What type checkers are to infer. Never run: mypy and pyright read it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, assert_type

from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict

from segmind_async import Agent, AgentResult, ChatCompletion, FanOut, Outcome, SegmindClient, sync


class Place(BaseModel):
    name: str


class Label(Enum):
    SPAM = "spam"


@dataclass
class Row:
    n: int


class Loose(TypedDict):
    n: int


async def chat(client: SegmindClient) -> None:
    assert_type(await client.chat("x"), ChatCompletion[None])
    assert_type(await client.chat("x", model="gpt-5", timeout=3, temperature=0), ChatCompletion)
    assert_type((await client.chat("x")).cost, Decimal | None)
    assert_type((await client.chat("x", temperature=0)).parsed, None)
    assert_type((await client.chat("x", parse=Place, temperature=0)).parsed, Place)
    assert_type((await client.chat("x", parse=Label, max_reasks=2)).parsed, Label)
    assert_type((await client.chat("x", parse=Row)).parsed, Row)
    assert_type((await client.chat("x", parse=Loose)).parsed, Loose)
    assert_type((await client.chat("x", parse=int)).parsed, int)
    assert_type((await client.chat("x", parse=list[Place])).parsed, list[Place])
    assert_type((await client.chat("x", parse=Place | None)).parsed, Place | None)
    assert_type((await client.chat("x", parse=Literal["a", "b"])).parsed, Literal["a", "b"])
    assert_type((await client.chat("x", parse=TypeAdapter(list[int]))).parsed, list[int])
    assert_type(await client.chat("x", parse={"type": "integer"}), ChatCompletion[Any])
    assert_type(await client.chat_many(["x"], parse={"type": "integer"}), list[Outcome[Any]])
    assert_type(client.agent(parse={"type": "integer"}), Agent[Any])


def weather(city: str) -> str:
    return city


async def tools(client: SegmindClient) -> None:
    assert_type((await client.chat("x", parse=Place, tools=[weather])).parsed, Place | None)
    assert_type((await client.chat("x", parse=TypeAdapter(int), tools=[weather])).parsed, int | None)
    assert_type((await client.chat("x", tools=[weather])).parsed, None)
    assert_type(client.agent(tools=[weather], temperature=0), Agent)
    assert_type((await client.agent(tools=[weather], max_turns=3).run("x")).parsed, None)
    assert_type((await client.agent(tools=[weather], parse=Place, max_reasks=2).run("x")).parsed, Place)
    assert_type((await client.agent(parse=list[Place]).run("x")).parsed, list[Place])
    assert_type((await client.agent(parse=Literal["a"], max_turns=3).run("x")).parsed, Literal["a"])
    assert_type((await client.agent(parse=TypeAdapter(int)).run("x")), AgentResult[int])
    async for step in client.agent(parse=Place).steps("x"):
        assert_type(step.result, AgentResult[Place] | None)


async def fan_out(client: SegmindClient) -> None:
    async with client.fan_out(["x"], ordered=True) as plain:
        assert_type(plain, FanOut)
        async for outcome in plain:
            assert_type(outcome, Outcome)
            assert_type(outcome.text, str | None)
    async with client.fan_out(["x"], parse=Place, floor=1) as places:
        async for place in places:
            assert_type(place.parsed, Place | None)
    async with client.fan_out(["x"], parse=Literal["a"]) as letters:
        async for letter in letters:
            assert_type(letter.parsed, Literal["a"] | None)
    async with client.fan_out(["x"], parse=TypeAdapter(int)) as numbers:
        assert_type(numbers, FanOut[int])


async def chat_many(client: SegmindClient) -> None:
    assert_type(await client.chat_many(["x"], floor=1), list[Outcome])
    assert_type(await client.chat_many(["x"], parse=Place), list[Outcome[Place]])
    assert_type(await client.chat_many(["x"], parse=TypeAdapter(Row)), list[Outcome[Row]])


def without_await(client: sync.SegmindClient) -> None:
    assert_type(client.chat("x", temperature=0), ChatCompletion)
    assert_type(client.chat("x", parse=Place).parsed, Place)
    assert_type(client.chat("x", parse=Place, tools=[weather]).parsed, Place | None)
    assert_type(client.chat("x", parse=TypeAdapter(list[int]), timeout=3).parsed, list[int])
    for outcome in client.fan_out(["x"], parse=Place, floor=1):
        assert_type(outcome.parsed, Place | None)
    assert_type(client.fan_out(["x"]), sync.FanOut)
    assert_type(client.chat_many(["x"], parse=Row), list[Outcome[Row]])
    assert_type(client.chat_many(["x"]), list[Outcome])
