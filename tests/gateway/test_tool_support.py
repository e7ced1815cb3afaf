"""Tools for models that none reach: found out, carried through a schema, seen through the openai SDK."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import anyio
import openai
import pytest
from pydantic import BaseModel

from segmind_async.emulator import Calls, FunctionBrain, Question, faults
from segmind_async.gateway import GatewayOptions
from tests.gateway.openai.test_openai_sdk import sdk

MODEL = "gpt-5.4-mini"
ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
USER: Any = [{"role": "user", "content": "what is 1 + 2?"}]


def without_tools(question: Question) -> str:
    """Answer as a model does that tools do not reach, but schemas do."""
    if question.schema is None:
        return "I have no tools."
    if "Results:" in question.prompt:
        result = json.loads(question.prompt.partition("\n")[2])[0]["result"]
        answer: Any = f"it is {result}"
        if '"total"' in json.dumps(question.schema):
            answer = {"total": int(result)}
        return json.dumps({"calls": [], "answer": answer})
    call = {"tool": "add", "arguments": {"a": 1, "b": 2}}
    return json.dumps({"calls": [call, call] if "twice" in question.prompt else [call], "answer": None})


def blind(**more: Any) -> Any:
    return sdk(FunctionBrain(without_tools), ignore_tools=True, **more)


@pytest.mark.parametrize("model", [MODEL, "claude-4-sonnet", "gemini-2.5-pro"])
async def test_a_whole_loop_of_tools(model: str) -> None:
    async with blind() as (w, client):
        asked = client.chat.completions.create
        first = (await asked(model=model, messages=USER, tools=[ADD])).choices[0]
        assert first.finish_reason == "tool_calls"
        assert first.message.content is None
        [call] = first.message.tool_calls
        assert json.loads(call.function.arguments) == {"a": 1, "b": 2}
        # What it answered in words, the probe, and the call through a schema.
        assert w.emulator.requests == 3
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "3"}
        rows = [*USER, first.message.model_dump(), result]
        last = (await asked(model=model, messages=rows, tools=[ADD])).choices[0]
        assert (last.message.content, last.finish_reason, last.message.tool_calls) == (
            "it is 3",
            "stop",
            None,
        )
        assert w.emulator.requests == 4


async def test_what_was_found_out_is_paid_once_and_in_the_cost() -> None:
    async with blind(balance=Decimal(5)) as (w, client):
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=USER, tools=[ADD])
        assert Decimal(raw.headers["x-segmind-cost"]) == Decimal(5) - (await w.client.balance()).total
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(_ask, client)
        assert w.emulator.requests == 3 + 5


async def _ask(client: openai.AsyncOpenAI) -> None:
    got = await client.chat.completions.create(model=MODEL, messages=USER, tools=[ADD])
    assert got.choices[0].message.tool_calls


async def test_calls_at_once_find_out_once() -> None:
    async with blind() as (w, client):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(_ask, client)
        # A call that begins after the probe has ended goes through the schema at once.
        assert 1 + 1 + 5 <= w.emulator.requests <= 5 + 1 + 5


async def test_a_demanded_call_needs_no_probe() -> None:
    async with blind() as (w, client):
        got = await client.chat.completions.create(
            model=MODEL, messages=USER, tools=[ADD], tool_choice="required"
        )
        assert got.choices[0].message.tool_calls
        assert w.emulator.requests == 2


async def test_streamed_calls() -> None:
    async with blind() as (_, client):
        rows: Any = [{"role": "user", "content": "twice"}]
        async with client.chat.completions.stream(model=MODEL, messages=rows, tools=[ADD]) as stream:
            final = await stream.get_final_completion()
        calls = final.choices[0].message.tool_calls or []
        assert [one.function.arguments for one in calls] == ['{"a":1,"b":2}'] * 2
        assert len({one.id for one in calls}) == 2


class Sum(BaseModel):
    total: int


async def test_tools_and_a_schema_of_the_answer() -> None:
    async with blind() as (_, client):
        rows: Any = [
            *USER,
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "3"},
        ]
        strict = {**ADD, "function": {**ADD["function"], "strict": True}}
        strict["function"]["parameters"] = {**ADD["function"]["parameters"], "additionalProperties": False}
        got = await client.chat.completions.parse(
            model=MODEL, messages=rows, tools=[strict], response_format=Sum
        )
        assert got.choices[0].message.parsed == Sum(total=3)


async def test_a_model_that_tools_reach_is_left_alone() -> None:
    said: list[Any] = ["no tool needed", Calls([("ready", {})]), Calls([("add", {"a": 1})]), "done"]
    async with sdk(FunctionBrain(lambda _: said.pop(0))) as (w, client):
        for text in ("no tool needed", None, "done"):
            got = await client.chat.completions.create(model=MODEL, messages=USER, tools=[ADD])
            assert got.choices[0].message.content == text
        # One probe after the first answer, none after the third.
        assert w.emulator.requests == 4


async def test_a_probe_that_fails_leaves_the_answer_and_comes_again() -> None:
    said: list[Any] = ["first", "second", Calls([("ready", {})])]
    async with sdk(FunctionBrain(lambda _: said.pop(0))) as (w, client):
        w.emulator.script(None, faults.status(400, "no"))
        for text in ("first", "second"):
            got = await client.chat.completions.create(model=MODEL, messages=USER, tools=[ADD])
            assert got.choices[0].message.content == text
        assert w.emulator.requests == 4


@pytest.mark.parametrize(("via", "requests"), [("schema", 1), ("native", 1)])
async def test_the_way_can_be_fixed(via: Any, requests: int) -> None:
    async with blind(options=GatewayOptions(port=0, tools_via=via)) as (w, client):
        got = await client.chat.completions.create(model=MODEL, messages=USER, tools=[ADD])
        assert bool(got.choices[0].message.tool_calls) is (via == "schema")
        assert w.emulator.requests == requests


async def test_no_tool_may_be_called() -> None:
    async with blind(options=GatewayOptions(port=0, tools_via="schema")) as (_, client):
        got = await client.chat.completions.create(
            model=MODEL, messages=USER, tools=[ADD], tool_choice="none"
        )
        assert got.choices[0].message.content == "I have no tools."


async def test_one_ignored_demand_does_not_turn_tools_off_that_reached_the_model() -> None:
    call = {"tool": "add", "arguments": {"a": 1, "b": 2}}
    native = Calls([("add", {"a": 1, "b": 2})])
    # The second is replaced: the emulator keeps a demand that a model ignores.
    said: list[Any] = [native, "", json.dumps({"calls": [call], "answer": None}), native]
    message = {"role": "assistant", "content": "I would rather not."}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    questions: list[Question] = []

    def answer(question: Question) -> Any:
        questions.append(question)
        return said.pop(0)

    async with sdk(FunctionBrain(answer)) as (w, client):
        w.emulator.script(None, faults.Answer(200, json.dumps({"choices": choices}).encode()))
        for choice in ("auto", "required", "auto"):
            got = await client.chat.completions.create(
                model=MODEL, messages=USER, tools=[ADD], tool_choice=choice
            )
            assert got.choices[0].message.tool_calls
    assert [question.schema is None for question in questions] == [True, True, False, True]
    assert w.emulator.requests == 4


async def test_an_answer_in_words_is_kept_if_none_through_the_schema_follows() -> None:
    async with sdk(FunctionBrain(lambda _: "never JSON"), ignore_tools=True) as (w, client):
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=USER, tools=[ADD])
        assert raw.parse().choices[0].message.content == "never JSON"
        assert Decimal(raw.headers["x-segmind-cost"]) == Decimal(5) - (await w.client.balance()).total


async def test_an_answer_that_says_nothing_is_asked_for_again() -> None:
    said = [json.dumps({"calls": [], "answer": answer}) for answer in (None, "done")]
    options = GatewayOptions(port=0, tools_via="schema")
    async with sdk(FunctionBrain(lambda _: said.pop(0)), options=options) as (w, client):
        got = await client.chat.completions.create(model=MODEL, messages=USER, tools=[ADD])
        assert got.choices[0].message.content == "done"
        assert w.emulator.requests == 2


async def test_answers_of_no_use_are_an_error_that_is_not_repeated() -> None:
    async with sdk(FunctionBrain(lambda _: "never JSON"), ignore_tools=True) as (w, client):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(
                model=MODEL, messages=USER, tools=[ADD], tool_choice="required"
            )
        assert caught.value.code == "upstream_unreadable"
        paid = Decimal(caught.value.response.headers["x-segmind-cost"])
        assert paid == Decimal(5) - (await w.client.balance()).total
