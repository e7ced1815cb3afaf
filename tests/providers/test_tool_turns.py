"""Tools, and conversations in which they are used, in each provider's form."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from segmind_async import (
    ChatCompletion,
    InvalidRequestError,
    ToolCall,
    assistant,
    image,
    system,
    tool,
    tool_result,
    user,
)
from segmind_async._providers.answers import decode
from segmind_async._providers.finish import ignored_tools
from segmind_async._providers.requests import encode, must_call
from segmind_async.tools import BadArgumentsError

GPT, CLAUDE, GEMINI = "gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"


def body(model: str, messages: Any = "hi", **parameters: Any) -> Any:
    return json.loads(encode(model, messages, parameters))


def add(a: int, b: int = 0) -> int:
    """Add."""
    return a + b


def now() -> str:
    """Tell the time."""
    return "noon"


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 0}},
    "required": ["a"],
    "additionalProperties": False,
}
BY_HAND = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": SCHEMA}}


def test_tools_in_openais_form() -> None:
    function = {"name": "add", "description": "Add.", "parameters": SCHEMA}
    own = {"type": "web_search"}
    assert body(GPT, tools=[add, BY_HAND, own])["tools"] == [
        {"type": "function", "function": function},
        BY_HAND,
        own,
    ]


def test_tools_in_claudes_form() -> None:
    own, in_its_form = {"type": "web_search", "name": "w"}, {"name": "g", "input_schema": {"type": "object"}}
    assert body(CLAUDE, tools=[add, BY_HAND, own, in_its_form])["tools"] == [
        {"name": "add", "description": "Add.", "input_schema": SCHEMA},
        {"name": "f", "description": "F.", "input_schema": SCHEMA},
        own,
        in_its_form,
    ]


def test_tools_in_geminis_form() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
    }
    got = body(GEMINI, tools=[add, now, BY_HAND, {"googleSearch": {}}])["tools"]
    assert got == [
        {
            "functionDeclarations": [
                {"name": "add", "description": "Add.", "parameters": schema},
                {"name": "now", "description": "Tell the time."},
                {"name": "f", "description": "F.", "parameters": schema},
            ]
        },
        {"googleSearch": {}},
    ]
    assert body(GEMINI, tools=[{"googleSearch": {}}])["tools"] == [{"googleSearch": {}}]


class Place(BaseModel):
    """A place."""

    city: Literal["Rome", "Oslo"]
    country: str | None = None
    size: Literal[1, 2] = 1
    kind: Literal["town"] = "town"


class Tree(BaseModel):
    below: list[Tree] = []


def visit(place: Place, notes: list[Place | str], other: Place | None = None) -> None:
    """Visit.

    Args:
        place: Where to.
    """


def grow(tree: Tree) -> None: ...


def test_geminis_schemas_have_no_references_and_only_known_keywords() -> None:
    [functions] = body(GEMINI, tools=[visit])["tools"]
    place = {
        "type": "object",
        "description": "A place.",
        "properties": {
            "city": {"type": "string", "enum": ["Rome", "Oslo"]},
            "country": {"type": "string", "nullable": True},
            "size": {"type": "integer"},
            "kind": {"type": "string", "enum": ["town"]},
        },
        "required": ["city"],
    }
    assert functions["functionDeclarations"][0]["parameters"] == {
        "type": "object",
        "properties": {
            "place": {**place, "description": "Where to."},
            "notes": {"type": "array", "items": {"anyOf": [place, {"type": "string"}]}},
            "other": {**place, "nullable": True},
        },
        "required": ["place", "notes"],
    }


def test_a_recursive_schema_is_refused_for_gemini() -> None:
    with pytest.raises(InvalidRequestError, match="'Tree' contains itself"):
        body(GEMINI, tools=[grow])
    assert "$ref" in json.dumps(body(GPT, tools=[grow]))


def test_an_invalid_schema_by_hand_is_translated_as_far_as_possible() -> None:
    function = {
        "name": "f",
        "parameters": {"properties": {"a": {"$ref": "#/nowhere"}, "b": {"anyOf": 5}, "c": {"enum": 5}}},
    }
    [got] = body(GEMINI, tools=[{"function": function}])["tools"]
    assert got["functionDeclarations"][0]["parameters"] == {"properties": {"a": {}, "b": {}, "c": {}}}


@pytest.mark.parametrize(
    ("model", "choice", "form"),
    [
        (GPT, "required", {"tool_choice": "required"}),
        (GPT, "add", {"tool_choice": {"type": "function", "function": {"name": "add"}}}),
        (CLAUDE, "auto", {"tool_choice": {"type": "auto"}}),
        (CLAUDE, "required", {"tool_choice": {"type": "any"}}),
        (CLAUDE, "none", {"tool_choice": {"type": "none"}}),
        (CLAUDE, "add", {"tool_choice": {"type": "tool", "name": "add"}}),
        (GEMINI, "auto", {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}),
        (GEMINI, "required", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
        (GEMINI, "none", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
        (GEMINI, "add", {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}}}),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool(model: str, choice: str, form: dict[str, Any]) -> None:
    got = body(model, tools=[add], tool_choice=choice)
    del got["messages"], got["tools"]
    assert got == form


def test_a_choice_by_hand_passes_unchanged() -> None:
    assert body(CLAUDE, tools=[BY_HAND], tool_choice={"type": "any"})["tool_choice"] == {"type": "any"}
    assert body(GPT, tool_choice={"type": "x"})["tool_choice"] == {"type": "x"}


def test_empty_tools_are_left_out() -> None:
    assert set(body(GPT, tools=[])) == {"messages"}
    assert set(body(GPT, tools=None)) == {"messages"}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"tool_choice": "required"}, "tool_choice='required' without tools"),
        ({"tools": [], "tool_choice": "auto"}, "without tools"),
        ({"tools": [add], "tool_choice": "sub"}, "tool_choice='sub' is none of 'auto', 'required', 'none', 'add'"),
        ({"tools": add}, "tools is a function"),
    ],
)  # fmt: skip
def test_a_choice_without_its_tool_is_refused(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        body(GPT, **parameters)


TALK = [
    system("be brief"),
    user("1 + 2, and the time?"),
    {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}},
            {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ],
    },
    tool_result(ToolCall("c1", "add", "{}"), "3"),
    tool_result(ToolCall("c2", "now", "{}"), "noon"),
    user("thanks"),
]


def test_openai_takes_calls_and_results_unchanged() -> None:
    assert body(GPT, TALK)["messages"] == TALK
    assert TALK[3] == {"role": "tool", "tool_call_id": "c1", "content": "3"}


def test_claude_takes_the_results_of_a_turn_in_one_message() -> None:
    assert body(CLAUDE, TALK)["messages"] == [
        {"role": "user", "content": "1 + 2, and the time?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1, "b": 2}},
                {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "3"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "noon"},
            ],
        },
        {"role": "user", "content": "thanks"},
    ]


def test_gemini_takes_calls_and_results_as_parts_by_name() -> None:
    assert body(GEMINI, TALK)["messages"]["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"functionCall": {"name": "add", "args": {"a": 1, "b": 2}}},
                {"functionCall": {"name": "now", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "add", "response": {"result": "3"}}},
                {"functionResponse": {"name": "now", "response": {"result": "noon"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "thanks"}]},
    ]


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_the_results_of_two_turns_stay_apart(model: str) -> None:
    got = body(model, [*TALK[1:5], *TALK[2:5]])["messages"]
    rows = got if model == CLAUDE else got["contents"]
    parts = [len(row.get("parts", row.get("content"))) for row in rows]
    assert parts[1:] == [3, 2, 3, 2]


def test_a_result_may_consist_of_parts() -> None:
    picture = image("https://example.com/a.png")
    row = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a"}, picture]}
    claude = body(CLAUDE, [*TALK[1:3], row])["messages"][2]["content"][0]["content"]
    assert [part["type"] for part in claude] == ["text", "image"]
    gemini = body(GEMINI, [*TALK[1:3], row])["messages"]["contents"][2]["parts"][0]
    assert gemini["functionResponse"]["response"] == {"result": "a"}
    empty: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": None, "tool_calls": []}
    gemini = body(GEMINI, [*TALK[1:3], empty])["messages"]["contents"][2]["parts"][0]
    assert gemini["functionResponse"]["response"] == {"result": ""}


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"role": "tool", "content": "3"}, r"tool_call_id=None; use tool_result\(\)"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, "names no function"),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": 5}]}, "names no function"),
    ],
)
def test_turns_that_cannot_be_translated_are_refused(model: str, row: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        body(model, [user("x"), row])


@pytest.mark.parametrize("arguments", ['{"a": 1', "[1]", None, 5])
def test_arguments_that_are_no_object_become_an_empty_one(arguments: Any) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    row = {"role": "assistant", "content": None, "tool_calls": [call, "no call"]}
    assert body(CLAUDE, [user("x"), row])["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    ]


def completion(raw: Any) -> ChatCompletion:
    got = decode(json.dumps(raw).encode())
    return ChatCompletion(got.text, got.finish_reason, got.usage, got.tool_calls, raw=got.raw)


def test_an_answer_of_openai_goes_on_as_a_message() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}]
    reply = completion({"choices": [{"message": {"content": None, "tool_calls": calls}}]})
    assert assistant(reply) == {"role": "assistant", "content": None, "tool_calls": calls}
    assert tool_result(reply.tool_calls[0], "1") == {"role": "tool", "tool_call_id": "c1", "content": "1"}
    assert assistant(completion({"choices": [{"message": {"content": "hi"}}]})) == assistant("hi")


def test_claudes_thinking_comes_back_before_its_calls() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    use = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    raw = {"content": [thinking, {"type": "text", "text": "so"}, use], "stop_reason": "tool_use"}
    row = assistant(completion(raw))
    assert body(CLAUDE, [user("x"), row])["messages"][1]["content"] == raw["content"]
    plain = {"content": [{"type": "text", "text": "so"}, use, 5], "stop_reason": "tool_use"}
    assert assistant(completion(plain))["content"] == "so"


def test_geminis_signature_comes_back_with_its_call() -> None:
    call = {"functionCall": {"name": "add", "args": {"a": 1}}, "thoughtSignature": "s"}
    reply = completion({"candidates": [{"content": {"parts": [call, {"functionCall": {"name": "now"}}]}}]})
    assert [one.signature for one in reply.tool_calls] == ["s", None]
    talk = [user("x"), assistant(reply), *(tool_result(one, "1") for one in reply.tool_calls)]
    contents = body(GEMINI, talk)["messages"]["contents"]
    assert contents[1]["parts"] == [call, {"functionCall": {"name": "now", "args": {}}}]
    assert [part["functionResponse"]["name"] for part in contents[2]["parts"]] == ["add", "now"]


@pytest.mark.parametrize(
    ("parameters", "must"),
    [
        ({}, False),
        ({"tool_choice": "auto"}, False),
        ({"tool_choice": "none"}, False),
        ({"tool_choice": {"type": "any"}}, False),
        ({"tool_choice": "required"}, True),
        ({"tool_choice": "add"}, True),
    ],
)
def test_whether_an_answer_must_call_a_tool(parameters: dict[str, Any], must: bool) -> None:
    assert must_call(parameters) is must


@pytest.mark.parametrize(
    ("finish", "calls", "ignored"),
    [
        ("stop", 0, True),
        ("end_turn", 0, True),
        ("STOP", 0, True),
        (None, 0, True),
        ("length", 0, False),
        ("content_filter", 0, False),
        ("stop", 1, False),
    ],
)
def test_which_answers_show_that_no_tool_reached_the_model(
    finish: str | None, calls: int, ignored: bool
) -> None:
    called = (ToolCall("c", "f", "{}"),) * calls
    assert ignored_tools(ChatCompletion("x", finish, tool_calls=called)) is ignored


def test_a_tool_made_once_is_described_as_its_function() -> None:
    assert body(GPT, tools=[tool(add)]) == body(GPT, tools=[add])


def counted(words: dict[str, int], span: tuple[int, str] = (0, "")) -> str:
    """Count words."""
    return f"{words} {span}"


def test_dicts_and_tuples_are_described_to_gemini_with_properties_and_read_in_either_form() -> None:
    made = tool(counted)
    body = json.loads(encode("gemini-2.5-flash", "?", {"tools": [made]}))
    parts = body["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]
    pair = parts["words"]["items"]
    assert (parts["words"]["type"], sorted(pair["properties"])) == ("array", ["key", "value"])
    assert sorted(parts["span"]["properties"]) == ["item_1", "item_2"]
    expected = {"words": {"a": 1}, "span": (2, "b")}
    in_form = {"words": [{"key": "a", "value": 1}], "span": {"item_1": 2, "item_2": "b"}}
    assert made.arguments(json.dumps(in_form)) == expected
    assert made.arguments('{"words": {"a": 1}, "span": [2, "b"]}') == expected
    assert made.arguments('{"words": []}') == {"words": {}}
    twice = {"words": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]}
    for text, says in ((json.dumps(twice), "the key 'a' is there twice"), ('{"words": ', "Invalid JSON")):
        with pytest.raises(BadArgumentsError, match=says):
            made.arguments(text)


def test_ids_of_calls_that_are_no_texts_are_replaced_and_their_results_follow() -> None:
    odd_ids: tuple[Any, ...] = ([1], {"a": []})
    turns: list[Any] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": odd, "type": "function", "function": {"name": "f", "arguments": "{}"}} for odd in odd_ids
        ]},
        {"role": "tool", "tool_call_id": {"a": []}, "content": "second"},
        {"role": "tool", "tool_call_id": [1], "content": "first"},
    ]  # fmt: skip
    sent = json.loads(encode(GPT, turns, {}))["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert [(row["tool_call_id"], row["content"]) for row in sent[2:]] == [
        (ids[1], "second"),
        (ids[0], "first"),
    ]
