"""Tools carried through structured output: what the model is sent, and the calls read back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmind_async import ChatCompletion, InvalidRequestError
from segmind_async._structured.shape import ShapeMismatchError, shape_of
from segmind_async.gateway._openai.schema_tools import CarriedCall, carried, has_tool_turns

USER: dict[str, Any] = {"role": "user", "content": "hello"}
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/N"}, "b": {"type": "integer"}},
            "required": ["a"],
            "$defs": {"N": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
ANYTHING: dict[str, Any] = {
    "type": "function",
    "function": {"name": "any", "parameters": {"type": "object", "additionalProperties": True}},
}


def rows_of(call: CarriedCall) -> list[Any]:
    return [*call.messages]


def made(*tools: Any, messages: Any = (USER,), **parameters: Any) -> CarriedCall:
    return carried(messages, {"tools": list(tools), **parameters})


def answered(call: CarriedCall, **turn: Any) -> ChatCompletion[Any]:
    shape = call.shape()
    text = json.dumps({"calls": [], "answer": None, **turn})
    return call.read(ChatCompletion(text, "stop", parsed=shape.read(text)))


def test_tools_stand_in_the_prompt_and_in_a_strict_schema() -> None:
    call = made(ADD, NOW, temperature=0)
    assert call.parameters == {"temperature": 0}
    assert rows_of(call)[0]["role"] == "system"
    assert "- add: Add numbers." in rows_of(call)[0]["content"]
    assert rows_of(call)[1] == USER
    assert shape_of(call.schema).schema["required"] == ["calls", "answer"]


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", lambda told: told.startswith("Be brief.\n\nYou can call tools.")),
        ([{"type": "text", "text": "x"}], lambda told: [one["type"] for one in told] == ["text", "text"]),
    ],
    ids=["text", "parts"],
)
def test_the_callers_system_prompt_stays_first(system: Any, content: Any) -> None:
    call = made(ADD, messages=[{"role": "developer", "content": system}, USER])
    assert [row["role"] for row in rows_of(call)] == ["developer", "user"]
    assert content(rows_of(call)[0]["content"])


def test_calls_are_read_without_optional_nulls() -> None:
    calls = [{"tool": "add", "arguments": {"a": {"n": 1}, "b": None}}, {"tool": "now", "arguments": {}}]
    got = answered(made(ADD, NOW), calls=calls)
    assert [(one.id, one.name, one.arguments) for one in got.tool_calls] == [
        ("call_0_0", "add", '{"a":{"n":1}}'),
        ("call_0_1", "now", "{}"),
    ]
    assert (got.text, got.finish_reason, got.parsed) == ("", "tool_calls", None)


def test_ids_differ_from_turn_to_turn() -> None:
    call = made(NOW, messages=[USER, {"role": "assistant", "content": "x"}, USER])
    assert answered(call, calls=[{"tool": "now", "arguments": {}}]).tool_calls[0].id == "call_1_0"


def test_the_answer_is_text() -> None:
    got = answered(made(NOW), answer="noon")
    assert (got.text, got.finish_reason, got.tool_calls) == ("noon", "stop", ())
    beside = answered(made(NOW), calls=[{"tool": "now", "arguments": {}}], answer=None)
    assert (beside.text, len(beside.tool_calls)) == ("", 1)


def test_a_schema_of_the_answer_is_kept() -> None:
    city = {"$ref": "#/$defs/City"}
    definitions = {"City": {"type": "object", "properties": {"name": {"type": "string"}}}}
    wanted = {
        "type": "json_schema",
        "json_schema": {
            "name": "place",
            "schema": {"type": "object", "properties": {"city": city}, "$defs": definitions},
        },
    }
    got = answered(made(ADD, response_format=wanted), answer={"city": {"name": "Rome"}})
    assert json.loads(got.text) == {"city": {"name": "Rome"}}
    free = made(ADD, response_format={"type": "json_object"})
    assert answered(free, answer='{"a":1}').text == '{"a":1}'


def test_a_tool_that_no_strict_schema_describes_takes_json_as_text() -> None:
    calls = [{"tool": "any", "arguments": '{"x": [1]}'}]
    assert answered(made(ANYTHING), calls=calls).tool_calls[0].arguments == '{"x": [1]}'
    odd = {"type": "function", "function": {"name": "any", "parameters": [1]}}
    assert answered(made(odd), calls=calls).tool_calls[0].arguments == '{"x": [1]}'


@pytest.mark.parametrize(("choice", "names"), [("required", {"add", "now"}), ("now", {"now"})])
def test_a_choice_obliges(choice: str, names: set[str]) -> None:
    schema: Any = made(ADD, NOW, tool_choice=choice).schema
    calls = schema["properties"]["calls"]
    assert calls["minItems"] == 1
    assert schema["properties"]["answer"] == {"type": "null"}
    items = calls["items"].get("anyOf", [calls["items"]])
    assert {name for one in items for name in one["properties"]["tool"]["enum"]} == names


def test_parallel_tool_calls_false_allows_one_call() -> None:
    schema: Any = made(ADD, parallel_tool_calls=False).schema
    assert schema["properties"]["calls"]["maxItems"] == 1


def test_what_cannot_be_carried_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="none of the tools"):
        made(ADD, tool_choice="other")
    with pytest.raises(InvalidRequestError, match="'web_search'"):
        made({"type": "web_search"})


@pytest.mark.parametrize("content", ["Let me look.", [{"type": "text", "text": "Let me look."}]])
def test_words_beside_calls_stay_in_the_conversation(content: Any) -> None:
    row = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    told = json.loads(rows_of(made(ADD, messages=(USER, row)))[2]["content"])
    assert told == {"calls": [{"tool": "add", "arguments": {"a": 1}}], "answer": "Let me look."}


def test_an_answer_that_says_nothing_does_not_fit() -> None:
    with pytest.raises(ShapeMismatchError, match="call a tool or give an answer"):
        made(ADD).shape().read('{"calls":[],"answer":null}')


CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def test_a_conversation_with_calls_becomes_text() -> None:
    rows: list[dict[str, Any]] = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL, {"id": "c2", "function": {"name": "x"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "tool", "tool_call_id": "c?", "content": [{"type": "text", "text": "see"}, IMAGE]},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "tool_calls": [{"id": "c3", "function": {"name": "add", "arguments": "{no"}}]},
        {"role": "tool", "tool_call_id": "c3", "content": "3"},
    ]
    assert has_tool_turns(rows)
    assert not has_tool_turns([USER])
    call = carried(rows, {"tools": [ADD], "tool_choice": "none", "response_format": {"type": "text"}})
    assert call.schema is None
    assert call.parameters == {"response_format": {"type": "text"}}
    assert [row["role"] for row in rows_of(call)] == [
        "user",
        "assistant",
        "user",
        "user",
        "assistant",
        "user",
    ]
    said: Any = rows_of(call)[1]["content"]
    assert json.loads(said)["calls"] == [
        {"tool": "add", "arguments": {"a": 1}},
        {"tool": "x", "arguments": {}},
    ]
    told: Any = rows_of(call)[2]["content"]
    assert told[0]["text"] == 'Results:\n[{"tool":"add","result":"2"},{"tool":"tool","result":"see"}]'
    assert told[1] == IMAGE
    assert json.loads(str(rows_of(call)[4]["content"]))["calls"][0]["arguments"] == "{no"
    completion: ChatCompletion[Any] = ChatCompletion("x")
    assert call.read(completion) is completion
    assert "response_format" not in carried(rows, {}).parameters


@pytest.mark.parametrize("required", [[[]], "a", 1, None])
def test_parameters_whose_required_ones_are_no_list_of_names_are_read_by_the_model(required: Any) -> None:
    odd = {"type": "object", "properties": {"a": {"type": "string"}}, "required": required}
    call = made({"type": "function", "function": {"name": "odd", "parameters": odd}})
    assert "as a text, that fits this JSON schema" in json.dumps(call.schema)
