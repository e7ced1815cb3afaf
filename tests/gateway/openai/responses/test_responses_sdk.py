"""Responses through the openai SDK: texts, schemas, tools, streams, what is kept, and errors."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import anyio
import openai
import pytest
from pydantic import BaseModel

from segmind_async import RetryPolicy
from segmind_async.emulator import Calls, FunctionBrain, Question, faults
from segmind_async.gateway import GatewayOptions
from tests.gateway.openai.test_openai_sdk import sdk
from tests.gateway.support import world
from tests.gateway.test_tool_support import without_tools

MODEL = "gpt-5.4-mini"
PICTURE = "data:image/png;base64,iVBORw0KGgo="
ADD: Any = {
    "type": "function",
    "name": "add",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}


def adding(question: Question) -> Any:
    """Answer as a model does that tools reach."""
    return f"it is {question.results[0]}" if question.results else Calls([("add", {"a": 1, "b": 2})])


class City(BaseModel):
    name: str
    people: int


async def test_a_text_with_its_usage() -> None:
    async with sdk() as (w, client):
        raw = await client.responses.with_raw_response.create(
            model=MODEL, input="hello", instructions="be brief", max_output_tokens=50, metadata={"a": "b"}
        )
        got = raw.parse()
        assert (got.output_text, got.status, got.model) == ("echo: hello", "completed", MODEL)
        assert (got.instructions, got.max_output_tokens, got.metadata) == ("be brief", 50, {"a": "b"})
        assert got.usage is not None
        assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens > 0
        assert got.usage.output_tokens_details.reasoning_tokens == 0
        assert Decimal(raw.headers["x-segmind-cost"]) == Decimal(5) - (await w.client.balance()).total


@pytest.mark.parametrize("model", [MODEL, "claude-4-sonnet", "gemini-2.5-pro"])
async def test_everything_reaches_the_model(model: str) -> None:
    seen: list[Question] = []

    def brain(question: Question) -> str:
        seen.append(question)
        return "seen"

    items: Any = [
        {"role": "developer", "content": "as a pirate"},
        {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "at what?"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE, "detail": "low"}]},
    ]
    async with sdk(FunctionBrain(brain)) as (_, client):
        got = await client.responses.create(model=model, input=items, instructions="be brief", temperature=0)
        assert got.output_text == "seen"
    told = [seen[0].system or "", *(text for _, text in seen[0].messages)]
    assert any("be brief" in text for text in told)
    assert any("as a pirate" in text for text in told)
    assert any("at what?" in text for text in told)
    assert any("[image]" in text for text in told)


@pytest.mark.parametrize("model", [MODEL, "claude-4-sonnet", "gemini-2.5-pro"])
async def test_parse(model: str) -> None:
    async with sdk() as (_, client):
        got = await client.responses.parse(model=model, input="Paris", text_format=City)
        assert isinstance(got.output_parsed, City)


@pytest.mark.parametrize("model", [MODEL, "claude-4-sonnet", "gemini-2.5-pro"])
@pytest.mark.parametrize("tools_reach", [True, False])
@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "name": "add"}])
async def test_a_loop_of_tools(model: str, tools_reach: bool, choice: Any) -> None:
    brain = FunctionBrain(adding if tools_reach else without_tools)
    async with sdk(brain, ignore_tools=not tools_reach) as (_, client):
        first = await client.responses.create(
            model=model, input="what is 1 + 2?", tools=[ADD], tool_choice=choice
        )
        [call] = first.output
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("add", {"a": 1, "b": 2})
        items: Any = [
            {"role": "user", "content": "what is 1 + 2?"},
            *(item.model_dump() for item in first.output),
            {"type": "function_call_output", "call_id": call.call_id, "output": "3"},
        ]
        last = await client.responses.create(model=model, input=items, tools=[ADD])
        # Gemini's results are objects.
        assert last.output_text in {"it is 3", 'it is {"result": "3"}'}


async def test_only_the_allowed_tools_are_offered() -> None:
    seen: list[Question] = []

    def brain(question: Question) -> Calls:
        seen.append(question)
        return Calls([("add", {"a": 1, "b": 2})])

    choice: Any = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "add"}],
    }
    async with sdk(FunctionBrain(brain)) as (_, client):
        tools: Any = [ADD, {**ADD, "name": "subtract"}]
        got = await client.responses.create(model=MODEL, input="x", tools=tools, tool_choice=choice)
    assert [item.type for item in got.output] == ["function_call"]
    assert seen[0].tools == ("add",)


@pytest.mark.parametrize("tools_reach", [True, False])
async def test_a_stream_of_calls(tools_reach: bool) -> None:
    brain = FunctionBrain(adding if tools_reach else without_tools)
    async with sdk(brain, ignore_tools=not tools_reach) as (_, client):
        async with client.responses.stream(model=MODEL, input="what is 1 + 2?", tools=[ADD]) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    [call] = final.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"a": 1, "b": 2}
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_a_stream_of_text() -> None:
    async with sdk() as (_, client):
        async with client.responses.stream(model=MODEL, input="Paris", text_format=City) as stream:
            numbers = [event.sequence_number async for event in stream]
            final = await stream.get_final_response()
        assert isinstance(final.output_parsed, City)
        assert numbers == [*range(len(numbers))]
        streamed = await client.responses.create(model=MODEL, input="hello", stream=True)
        text = "".join(
            [event.delta async for event in streamed if event.type == "response.output_text.delta"]
        )
        assert text == "echo: hello"


async def test_heartbeats_and_an_error_after_them() -> None:
    async with sdk(latency=35, client={"retry": RetryPolicy(retries=0)}) as (w, client):
        asked = {"model": MODEL, "input": "hello", "stream": True}
        body = await (await w.post("/responses", asked)).read()
        assert body.count(b": waiting") == 3
        w.emulator.script(None, faults.Reset())
        stream = await client.responses.create(model=MODEL, input="hello", stream=True)
        assert [event.type async for event in stream][-1] == "response.completed"
        stream = await client.responses.create(model=MODEL, input="hello", stream=True)
        with pytest.raises(openai.APIError) as caught:
            _ = [event async for event in stream]
        assert caught.value.code == "upstream_unreachable"


async def test_a_call_cut_off_is_incomplete() -> None:
    choices = [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "half"}}]
    body = json.dumps({"choices": choices}).encode()
    async with sdk() as (w, client):
        w.emulator.script(faults.Answer(200, body))
        got = await client.responses.create(model=MODEL, input="hello", max_output_tokens=1)
    assert (got.status, got.output_text) == ("incomplete", "half")
    assert got.incomplete_details is not None
    assert got.incomplete_details.reason == "max_output_tokens"
    assert got.usage is None


async def test_a_conversation_by_its_last_response() -> None:
    seen: list[Question] = []

    def brain(question: Question) -> Any:
        seen.append(question)
        return adding(question)

    async with sdk(FunctionBrain(brain)) as (_, client):
        first = await client.responses.create(model=MODEL, input="what is 1 + 2?", tools=[ADD])
        [call] = first.output
        assert call.type == "function_call"
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
        second = await client.responses.create(
            model=MODEL, input=[result], tools=[ADD], previous_response_id=first.id
        )
        assert second.output_text == "it is 3"
        assert second.previous_response_id == first.id
        await client.responses.create(model=MODEL, input="again", previous_response_id=second.id)
        assert [role for role, _ in seen[-1].messages] == ["user", "assistant", "tool", "assistant", "user"]
        assert (await client.responses.retrieve(first.id)).output == first.output
        await client.responses.delete(first.id)
        for asked in (first.id, "resp_unknown"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(asked)
            with pytest.raises(openai.NotFoundError):
                await client.responses.delete(asked)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model=MODEL, input="again", previous_response_id=second.id)
        assert caught.value.code == "previous_response_not_found"


async def test_an_item_by_its_id() -> None:
    async with sdk() as (_, client):
        first = await client.responses.create(model=MODEL, input="hello")
        items: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "on"}]
        assert (await client.responses.create(model=MODEL, input=items)).output_text == "echo: on"
        kept_not = await client.responses.create(model=MODEL, input="hello", store=False)
        items[0]["id"] = kept_not.output[0].id
        with pytest.raises(openai.BadRequestError, match="store=false") as caught:
            await client.responses.create(model=MODEL, input=items)
        assert (caught.value.param, caught.value.code) == ("input", "item_not_found")


async def test_nobody_sees_the_responses_of_another_token() -> None:
    options = GatewayOptions(port=0, tokens=("token-of-ann", "token-of-bob"))
    async with world(options=options) as w:

        async def ask(token: str, **fields: Any) -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            asked = {"model": MODEL, "input": "x", **fields}
            return await (await w.post("/responses", asked, headers=headers)).json()

        first = await ask("token-of-ann")
        other = await ask("token-of-bob", previous_response_id=first["id"])
        assert other["error"]["code"] == "previous_response_not_found"
        assert (await ask("token-of-ann", previous_response_id=first["id"]))["status"] == "completed"


async def test_what_a_request_refers_to_counts_in_the_bytes_that_are_taken_at_once() -> None:
    async with world(options=GatewayOptions(port=0, max_bytes=4000), latency=5) as w:
        asked = {"model": MODEL, "input": "x" * 3900}
        first = await (await w.post("/responses", asked)).json()
        follows = {"model": MODEL, "input": "on", "previous_response_id": first["id"]}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(w.post, "/responses", follows)
            await anyio.sleep(1)
            refused = await w.post("/responses", {"model": MODEL, "input": "hello"})
        assert (refused.status, (await refused.json())["error"]["code"]) == (429, "queue_full")


async def test_a_repeat_gets_the_call_that_runs() -> None:
    async with (
        world(latency=5.2) as w,
        openai.AsyncOpenAI(api_key="any", base_url=w.gateway.url, timeout=5, max_retries=3) as client,
    ):
        assert (await client.responses.create(model=MODEL, input="hello")).output_text == "echo: hello"
        assert w.emulator.requests == 1


async def test_out_of_credits_is_asked_once() -> None:
    async with sdk(balance=0) as (w, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.responses.create(model=MODEL, input="hello")
        assert (caught.value.status_code, caught.value.code) == (402, "insufficient_quota")
        assert w.emulator.requests == 1
