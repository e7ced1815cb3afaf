"""What the providers refuse of tools, and conversations in which tools are used, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async.emulator import Brain, Calls, Emulator, FunctionBrain, Question, ScriptBrain

from .test_server import calling

GPT, CLAUDE, GEMINI, GEMINI_3 = "gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "gemini-3-flash"
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FILLED = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"enum": ["y"]}},
    "required": ["a", "b"],
}


def openai_tool(name: str = "f", schema: Any = OBJECT) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def claude_tool(name: str = "f", schema: Any = OBJECT) -> dict[str, Any]:
    return {"name": name, "input_schema": schema}


def gemini_tool(name: str = "f", schema: Any = OBJECT) -> dict[str, Any]:
    return {"functionDeclarations": [{"name": name, "parameters": schema}]}


def talk(slug: str, *rows: Any) -> Any:
    if slug.startswith("gemini"):
        return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}, *rows]}
    return [{"role": "user", "content": "hi"}, *rows]


async def ask(
    slug: str, body: dict[str, Any], brain: Brain | None = None, **settings: Any
) -> tuple[int, Any]:
    async with calling(Emulator(brain, balance=50, **settings)) as call:
        status, _, answer = await call.post(f"/v1/{slug}", {"messages": talk(slug), **body})
    return status, answer


@pytest.mark.parametrize(
    ("slug", "body", "says"),
    [
        pytest.param(GPT, {"tools": {}}, "tools must be an array", id="openai, no list"),
        pytest.param(GPT, {"tools": [claude_tool()]}, "must have type 'function'", id="openai, claude's form"),
        pytest.param(GPT, {"tools": [openai_tool("a b")]}, "'a b' is not a valid name", id="openai, name"),
        pytest.param(GPT, {"tools": [openai_tool(schema={"type": "string"})]}, "of type 'object'", id="openai, schema"),
        pytest.param(GPT, {"tools": [openai_tool(schema={"type": "object"})]}, "needs properties", id="openai, no properties"),
        pytest.param(GPT, {"tools": [openai_tool(), openai_tool()]}, "'f' is not unique", id="openai, twice"),
        pytest.param(GPT, {"tool_choice": "required"}, "tool_choice needs tools", id="openai, choice alone"),
        pytest.param(GPT, {"tools": [openai_tool()], "tool_choice": "f"}, "names None", id="openai, odd choice"),
        pytest.param(GPT, {"tools": [openai_tool()], "tool_choice": {"function": {"name": "g"}}}, "names 'g'", id="openai, unknown choice"),
        pytest.param(CLAUDE, {"tools": [openai_tool()]}, "type 'function' is not known", id="claude, openai's form"),
        pytest.param(CLAUDE, {"tools": [claude_tool(schema=None)]}, "of type 'object'", id="claude, no schema"),
        pytest.param(CLAUDE, {"tools": [claude_tool()], "tool_choice": "any"}, "names None", id="claude, choice as a word"),
        pytest.param(CLAUDE, {"tools": [claude_tool()], "tool_choice": {"type": "tool", "name": "g"}}, "names 'g'", id="claude, unknown choice"),
        pytest.param(GEMINI, {"tools": [gemini_tool("1f")]}, "'1f' is not a valid name", id="gemini, name"),
        pytest.param(GEMINI, {"tools": [gemini_tool(schema={**OBJECT, "additionalProperties": False})]}, "Unknown name 'additionalProperties'", id="gemini, unknown word"),
        pytest.param(GEMINI, {"tools": [gemini_tool(schema={"type": "object", "properties": {"a": {"$ref": "x"}}})]}, "Unknown name '\\$ref'", id="gemini, reference"),
        pytest.param(GEMINI, {"tools": [gemini_tool(schema={"type": "object", "properties": {}})]}, "must not be empty", id="gemini, no properties"),
        pytest.param(GEMINI, {"tools": [gemini_tool(schema={"type": "object", "properties": {"a": {"type": "array", "items": {"anyOf": [{"type": "integer", "enum": [1]}]}}}})]}, "only strings", id="gemini, enum"),
        pytest.param(GEMINI, {"tools": [gemini_tool(schema=5)]}, "must be an object", id="gemini, no schema"),
        pytest.param(GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "needs function declarations", id="gemini, choice alone"),
        pytest.param(GEMINI, {"tools": [gemini_tool()], "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}}, "names 'g'", id="gemini, unknown choice"),
    ],
)  # fmt: skip
async def test_tools_a_provider_refuses(slug: str, body: dict[str, Any], says: str) -> None:
    status, answer = await ask(slug, body)
    assert status == 400
    assert pytest.raises(AssertionError, match=says).matches(AssertionError(answer["error"]))


def openai_call(**change: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [{**call, **change}]}


def openai_result(key: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": key, "content": "3"}


def claude_call(given: Any = None) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {} if given is None else given}
    return {"role": "assistant", "content": [{"type": "thinking"}, use]}


def claude_result(key: str = "c1") -> dict[str, Any]:
    part = {"type": "tool_result", "tool_use_id": key, "content": "3"}
    return {"role": "user", "content": [part]}


def gemini_call(**more: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, **more}]}


def gemini_result(name: str = "f", response: Any = None) -> dict[str, Any]:
    told = {"result": "3"} if response is None else response
    return {"role": "user", "parts": [{"functionResponse": {"name": name, "response": told}}]}


@pytest.mark.parametrize(
    ("slug", "rows", "says"),
    [
        pytest.param(GPT, [openai_result()], "follows no call", id="openai, result alone"),
        pytest.param(GPT, [openai_call()], "calls without results: c1", id="openai, call alone"),
        pytest.param(GPT, [openai_call(), {"role": "user", "content": "x"}], "calls without results", id="openai, passed over"),
        pytest.param(GPT, [openai_call(), {"role": "user", "content": "x"}, openai_result()], "calls without results", id="openai, too late"),
        pytest.param(GPT, [openai_call(), openai_result("c2")], "'c2' follows no call", id="openai, other id"),
        pytest.param(GPT, [openai_call(id=None), openai_result()], "must have an id", id="openai, no id"),
        pytest.param(GPT, [openai_call(function={"name": "f", "arguments": {}})], "must be a string", id="openai, arguments"),
        pytest.param(CLAUDE, [openai_result()], "no role 'tool'", id="claude, openai's form"),
        pytest.param(CLAUDE, [claude_call()], "calls without results: c1", id="claude, call alone"),
        pytest.param(CLAUDE, [claude_call("{}"), claude_result()], "input must be an object", id="claude, input"),
        pytest.param(CLAUDE, [claude_result()], "follows no call", id="claude, result alone"),
        pytest.param(GEMINI, [gemini_call()], "calls without results: f", id="gemini, call alone"),
        pytest.param(GEMINI, [gemini_call(), gemini_result("g")], "'g' follows no call", id="gemini, other name"),
        pytest.param(GEMINI, [gemini_call(), gemini_result(response="3")], "must be an object", id="gemini, response"),
        pytest.param(GEMINI_3, [gemini_call(), gemini_result()], "lost its thought signature", id="gemini 3, signature"),
    ],
)  # fmt: skip
async def test_conversations_a_provider_refuses(slug: str, rows: list[Any], says: str) -> None:
    status, answer = await ask(slug, {"messages": talk(slug, *rows)})
    assert status == 400
    assert says in answer["error"]


@pytest.mark.parametrize(
    ("slug", "rows"),
    [
        (GPT, [openai_call(), openai_result(), {"role": "user", "content": "go on"}]),
        (CLAUDE, [claude_call(), claude_result(), {"role": "user", "content": "go on"}]),
        (GEMINI, [gemini_call(), gemini_result(), {"role": "user", "parts": [{"text": "go on"}]}]),
        (GEMINI_3, [gemini_call(thoughtSignature="s"), gemini_result(), {"role": "user", "parts": [{"text": "go on"}]}]),
    ],
)  # fmt: skip
async def test_a_conversation_with_results_goes_on(slug: str, rows: list[Any]) -> None:
    seen: list[Question] = []

    def brain(question: Question) -> str:
        seen.append(question)
        return "fine"

    status, _ = await ask(slug, {"messages": talk(slug, *rows)}, FunctionBrain(brain))
    assert status == 200
    assert [role for role, _ in seen[0].messages] == ["user", "assistant", "tool", "user"]
    assert "3" in seen[0].messages[2][1]
    assert (seen[0].turn, seen[0].results) == (1, ())


PLAY = ScriptBrain(
    Calls([("f", {"a": 1}), ("f", {"a": 2})], "Let me see."), lambda q: f"It is {', '.join(q.results)}."
)


async def test_calls_in_openais_shape() -> None:
    _, answer = await ask(GPT, {"tools": [openai_tool()]}, PLAY)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    assert choice["message"]["tool_calls"][1] == {
        "id": "call_00000001_1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 2}'},
    }


async def test_calls_in_claudes_shape() -> None:
    _, answer = await ask(CLAUDE, {"tools": [claude_tool(), {"type": "web_search_1", "name": "w"}]}, PLAY)
    assert answer["stop_reason"] == "tool_use"
    assert answer["content"][0] == {"type": "text", "text": "Let me see."}
    assert answer["content"][2] == {
        "type": "tool_use",
        "id": "toolu_00000001_1",
        "name": "f",
        "input": {"a": 2},
    }


async def test_calls_in_geminis_shape() -> None:
    _, answer = await ask(GEMINI_3, {"tools": [gemini_tool()]}, PLAY)
    parts = answer["candidates"][0]["content"]["parts"]
    assert parts[0] == {"text": "Let me see."}
    assert parts[1] == {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2lnbmVk"}


@pytest.mark.parametrize(
    ("slug", "body", "calls"),
    [
        (GPT, {"tools": [openai_tool(schema=FILLED)], "tool_choice": "required"}, [("f", '{"a": "x", "b": "x"}')]),
        (GPT, {"tools": [openai_tool(), openai_tool("g")], "tool_choice": {"function": {"name": "g"}}}, [("g", '{"a": 1}')]),
        (GPT, {"tools": [openai_tool()], "tool_choice": "auto"}, []),
        (GPT, {"tools": [openai_tool()], "tool_choice": "none"}, []),
    ],
)  # fmt: skip
async def test_a_model_that_must_call_a_tool_does(slug: str, body: Any, calls: list[tuple[str, str]]) -> None:
    _, answer = await ask(slug, body)
    got = answer["choices"][0]["message"].get("tool_calls", [])
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in got] == calls


async def test_the_other_providers_oblige_a_model_too() -> None:
    _, answer = await ask(
        CLAUDE, {"tools": [claude_tool(), claude_tool("g")], "tool_choice": {"type": "any"}}
    )
    assert [part["name"] for part in answer["content"]] == ["f"]
    _, answer = await ask(CLAUDE, {"tools": [claude_tool()], "tool_choice": {"type": "tool", "name": "f"}})
    assert [part["name"] for part in answer["content"]] == ["f"]
    _, answer = await ask(CLAUDE, {"tools": [claude_tool()], "tool_choice": {"type": "none"}})
    assert answer["stop_reason"] == "end_turn"
    for how in ({"mode": "ANY"}, {"mode": "ANY", "allowedFunctionNames": ["f"]}):
        _, answer = await ask(
            GEMINI, {"tools": [gemini_tool()], "toolConfig": {"functionCallingConfig": how}}
        )
        assert "functionCall" in answer["candidates"][0]["content"]["parts"][0]


async def test_tools_that_are_dropped_on_the_way_are_not_called() -> None:
    body = {"tools": [openai_tool()], "tool_choice": "required"}
    _, answer = await ask(GPT, body, PLAY, ignore_tools=True)
    assert answer["choices"][0]["message"]["content"] == "Let me see."
    assert "tool_calls" not in answer["choices"][0]["message"]
    _, answer = await ask(GPT, body, ScriptBrain(Calls([("f", {})])), ignore_tools=True)
    assert answer["choices"][0]["message"]["content"] == "There is nothing I could call."


async def test_an_answer_that_is_cut_calls_nothing() -> None:
    _, answer = await ask(GPT, {"tools": [openai_tool()], "max_tokens": 1}, PLAY)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert "tool_calls" not in answer["choices"][0]["message"]


async def test_a_script_that_has_ended_says_so() -> None:
    _, answer = await ask(GPT, {}, ScriptBrain())
    assert answer["choices"][0]["message"]["content"] == "The script has ended."
