"""A further provider takes one class and one registration; its chats pass the whole package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._providers.answers import as_openai
from segmind_async._providers.deepseek import DeepSeek
from segmind_async._providers.finish import finish_of
from segmind_async._providers.provider import Finish
from segmind_async._providers.registry import PROVIDERS, provider_of, recognised, registered
from segmind_async.testing import FakeProvider, ScriptedTransport
from tests.support import client

MODEL = "fake-1"
ADD = {"ref": "r1", "ability": "add", "with": {"a": 1, "b": 2}}


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    with registered(provider):
        yield provider


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def bodies(transport: ScriptedTransport) -> list[Any]:
    return [json.loads(request.body or b"") for request in transport.requests]


async def test_a_chat_is_sent_and_read_in_the_form_of_a_further_provider(fake: FakeProvider) -> None:
    transport = ScriptedTransport([fake.answer("hello")])
    async with client(transport) as c:
        reply = await c.chat([sa.system("be brief"), sa.user("hi")], model=MODEL, temperature=0)
    assert transport.requests[0].path == "/fake-1"
    assert bodies(transport) == [
        {"guidance": "be brief", "turns": [{"from": "human", "says": "hi"}], "temperature": 0}
    ]
    assert (reply.text, reply.finish_reason, reply.usage) == ("hello", "done", sa.Usage(10, 5, 15))


async def test_an_agent_calls_tools_in_the_form_of_a_further_provider(fake: FakeProvider) -> None:
    transport = ScriptedTransport([fake.answer("let me see", uses=[ADD]), fake.answer("3")])
    async with client(transport) as c:
        result = await c.agent(model=MODEL, tools=[add]).run("1 + 2?")
    assert result.text == "3"
    first, second = bodies(transport)
    assert [ability["name"] for ability in first["abilities"]] == ["add"]
    assert second["turns"][1:] == [
        {"from": "model", "says": "let me see", "uses": [ADD]},
        {"from": "ability", "ref": "r1", "gave": "3"},
    ]


async def test_a_tool_choice_takes_the_form_of_a_further_provider(fake: FakeProvider) -> None:
    transport = ScriptedTransport([fake.answer(uses=[ADD])])
    async with client(transport) as c:
        await c.chat("hi", model=MODEL, tools=[add], tool_choice="add")
    assert bodies(transport)[0]["ability"] == "add"


@pytest.mark.parametrize(
    ("ended", "error"), [("too_long", sa.OutputTruncatedError), ("declined", sa.RefusalError)]
)
async def test_finish_words_of_a_further_provider(
    fake: FakeProvider, ended: str, error: type[sa.OutputError]
) -> None:
    async with client(ScriptedTransport([fake.answer("1", ended=ended)])) as c:
        with pytest.raises(error):
            await c.chat("hi", model=MODEL, parse=int)


async def test_a_fan_out_mixes_providers(fake: FakeProvider) -> None:
    transport = ScriptedTransport(otherwise=lambda request: fake.answer(request.path))
    async with client(transport) as c:
        outcomes = await c.chat_many([sa.ChatRequest("a", model=MODEL), "b"])
    assert sorted(outcome.text or "" for outcome in outcomes) == ["/fake-1", "/gpt-5.4-mini"]


def test_an_answer_of_a_further_provider_is_written_in_openais_form(fake: FakeProvider) -> None:
    raw = json.loads(fake.answer("1", ended="too_long").body)
    written = as_openai(sa.ChatCompletion("1", "too_long", model=MODEL, raw=raw), created=7)
    assert written["choices"][0]["finish_reason"] == "length"  # type: ignore[index]  # JSON


def test_a_registration_ends_with_its_block() -> None:
    before = [*PROVIDERS]
    assert provider_of(MODEL).name == "openai"
    with registered(FakeProvider()):
        assert provider_of(MODEL).name == "fake"
        assert recognised({"reply": {}}) is not None
        assert finish_of("too_long", {}) is Finish.TRUNCATED
    assert before == PROVIDERS
    assert provider_of(MODEL).name == "openai"
    assert recognised({"reply": {}}) is None
    assert finish_of("too_long", {}) is Finish.WHOLE


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'deepseek' is registered"), registered(DeepSeek()):
        pass
