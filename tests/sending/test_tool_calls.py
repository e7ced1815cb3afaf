"""Tools in a call: over the wire in all three shapes, and what happens when nobody sees them."""

from __future__ import annotations

import pickle

import pytest

import segmind_async as sa
from segmind_async.emulator import Calls, Emulator, ScriptBrain

MODELS = ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "gemini-3-flash"]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize("model", MODELS)
async def test_a_conversation_with_tools_by_hand(model: str) -> None:
    brain = ScriptBrain(
        Calls([("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})], "Adding."),
        lambda question: f"{question.tools}: {' and '.join(question.results)}",
    )
    async with (
        Emulator(brain, balance=50) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        talk = [sa.system("be exact"), sa.user("1 + 2, 3 + 4?")]
        reply = await client.chat(talk, model=model, tools=[add])
        assert [(call.name, call.arguments.replace(" ", "")) for call in reply.tool_calls] == [
            ("add", '{"a":1,"b":2}'),
            ("add", '{"a":3,"b":4}'),
        ]
        talk += [sa.assistant(reply), *(sa.tool_result(call, "n") for call in reply.tool_calls)]
        reply = await client.chat(talk, model=model, tools=[sa.tool(add)], tool_choice="none")
    assert reply.text.startswith("('add',): ")
    assert reply.text.count("n") >= 2


async def test_a_tool_can_be_demanded() -> None:
    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        reply = await client.chat("hello", tools=[add], tool_choice="add")
    assert reply.tool_calls[0].name == "add"


@pytest.mark.parametrize("choice", ["required", "add"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_text_answer_where_a_tool_was_required_is_an_error(model: str, choice: str) -> None:
    async with (
        Emulator(ignore_tools=True) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        with pytest.raises(
            sa.ToolsNotSupportedError, match=f"{model} had to call .* tools_via='schema'"
        ) as caught:
            await client.chat("hello", model=model, tools=[add], tool_choice=choice)
        assert (await client.chat("hello", model=model, tools=[add])).text == "echo: hello"
    error = caught.value
    assert (error.status, error.model, error.attempts) == (200, model, 1)
    assert b"echo: hello" in error.body
    assert error.details.cost is not None
    assert pickle.loads(pickle.dumps(error)).body == error.body


async def test_an_answer_that_was_cut_proves_nothing() -> None:
    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        reply = await client.chat("hello", tools=[add], tool_choice="required", max_tokens=1)
    assert reply.finish_reason == "length"


async def test_a_fan_out_does_not_pay_for_every_row_to_learn_it() -> None:
    rows = [sa.ChatRequest(f"row {n}", tools=[add], tool_choice="required") for n in range(50)]
    async with (
        Emulator(ignore_tools=True) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        outcomes = await client.chat_many(rows, max_in_flight=2)
        assert emulator.requests < 6
    assert {type(outcome.error) for outcome in outcomes if outcome.status == "failed"} == {
        sa.ToolsNotSupportedError
    }


async def test_tools_that_cannot_be_described_cost_nothing() -> None:
    def bad(*numbers: int) -> int:
        return sum(numbers)

    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.InvalidRequestError, match="'numbers' of tool 'bad'"):
            await client.chat("hello", tools=[bad])
        assert emulator.requests == 0
