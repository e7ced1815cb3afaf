"""Requests of the Responses API, read: what becomes of fields and items, what is refused and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._openai.chat_request import FIELD_TYPES
from segmind_async.gateway._openai.responses.request import _TYPES, ResponsesCall, read_response_request
from segmind_async.models import JsonDict
from tests.gateway.support import WITH_WRONG_VALUES

ADD = {"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}
CHAT_ADD = {
    "type": "function",
    "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}},
}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
OTHER_CALL = {**CALL, "call_id": "c2"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "3"}
PICTURE = "data:image/png;base64,iVBORw0KGgo="


class Kept:
    """What the requests here may refer to."""

    size = 0

    def item(self, id_: str) -> JsonDict | None:
        return {**CALL, "id": id_, "extra_content": {"signature": "s"}} if id_ == "fc_1_0" else None

    def conversation(self, id_: str) -> list[JsonDict] | None:
        return [{"role": "user", "content": "1 + 2?"}, CALL] if id_ == "resp_1" else None


def read(**fields: Any) -> ResponsesCall:
    body = json.dumps({"model": "gpt-5.4-mini", "input": "hello", **fields}).encode()
    return read_response_request(body, Kept())


def chat_call(id_: str = "c1", **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "add", "arguments": "{}"}, **more}


@pytest.mark.parametrize(
    ("fields", "passed_on"),
    [
        pytest.param({"temperature": 0, "service_tier": "flex"}, {"temperature": 0, "service_tier": "flex"}, id="as-they-are"),
        pytest.param({"max_output_tokens": 9}, {"max_completion_tokens": 9}, id="bound"),
        pytest.param({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}, id="effort"),
        pytest.param({"reasoning": {"summary": "auto"}}, {}, id="summary"),
        pytest.param({"text": {"verbosity": "low"}}, {"verbosity": "low"}, id="verbosity"),
        pytest.param({"text": {"format": {"type": "text"}}}, {}, id="text"),
        pytest.param(
            {"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}, id="json"
        ),
        pytest.param(
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}, "strict": True}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": True}}},
            id="schema",
        ),
        pytest.param({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}, id="no-tools"),
        pytest.param({"tools": [ADD]}, {"tools": [CHAT_ADD], "tool_choice": "auto"}, id="tools"),
        pytest.param(
            {"tools": [ADD], "tool_choice": {"type": "function", "name": "add"}},
            {"tools": [CHAT_ADD], "tool_choice": "add"},
            id="choice-of-one",
        ),
        pytest.param(
            {"tools": [ADD, {**ADD, "name": "b"}], "tool_choice": {"type": "allowed_tools", "tools": [ADD]}},
            {"tools": [CHAT_ADD], "tool_choice": "auto"},
            id="choice-of-several",
        ),
        pytest.param(
            {"include": ["reasoning.encrypted_content"], "truncation": "auto", "max_tool_calls": 3, "background": False},
            {},
            id="what-has-no-effect",
        ),
    ],
)  # fmt: skip
def test_what_is_passed_on(fields: dict[str, Any], passed_on: dict[str, Any]) -> None:
    assert read(**fields).chat.parameters == passed_on


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        pytest.param("hi", [{"role": "user", "content": "hi"}], id="text"),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
            id="parts",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE, "detail": "low"}]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]}],
            id="image",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x.org/a.pdf"}]}],
            [{"role": "user", "content": [{"type": "file", "file": {"file_url": "https://x.org/a.pdf"}}]}],
            id="file",
        ),
        pytest.param(
            [{"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}],
            [{"role": "assistant", "content": "ab"}],
            id="what-was-answered",
        ),
        pytest.param([{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "a"}], id="said"),
        pytest.param(
            [{"role": "assistant", "content": "let me see"}, CALL, OTHER_CALL, OUTPUT],
            [
                {"role": "assistant", "content": "let me see", "tool_calls": [chat_call(), chat_call("c2")]},
                {"role": "tool", "tool_call_id": "c1", "content": "3"},
            ],
            id="calls-of-one-turn",
        ),
        pytest.param(
            [CALL, {"role": "assistant", "content": "let me see"}, OUTPUT],
            [
                {"role": "assistant", "content": "let me see", "tool_calls": [chat_call()]},
                {"role": "tool", "tool_call_id": "c1", "content": "3"},
            ],
            id="a-text-after-the-call",
        ),
        pytest.param(
            [{"role": "assistant", "content": ""}, CALL],
            [{"role": "assistant", "content": None, "tool_calls": [chat_call()]}],
            id="nothing-said",
        ),
        pytest.param(
            [CALL, {**OUTPUT, "output": [{"type": "input_image", "image_url": PICTURE}]}],
            [
                {"role": "assistant", "content": None, "tool_calls": [chat_call()]},
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [{"type": "image_url", "image_url": {"url": PICTURE}}],
                },
            ],
            id="output-of-parts",
        ),
        pytest.param(
            [{**CALL, "id": "fc_1_0"}],
            [{"role": "assistant", "content": None, "tool_calls": [chat_call(extra_content={"signature": "s"})]}],
            id="a-signature-kept-here",
        ),
        pytest.param(
            [{**CALL, "extra_content": 1}],
            [{"role": "assistant", "content": None, "tool_calls": [chat_call(extra_content=1)]}],
            id="a-signature-sent",
        ),
        pytest.param(
            [{"id": "fc_1_0"}, {"type": "reasoning", "id": "r", "summary": []}],
            [{"role": "assistant", "content": None, "tool_calls": [chat_call(extra_content={"signature": "s"})]}],
            id="an-item-by-its-id",
        ),
    ],
)  # fmt: skip
def test_items_become_messages(items: Any, messages: list[Any]) -> None:
    assert read(input=items).chat.messages == messages


def test_instructions_come_first_and_earlier_items_before_the_new_ones() -> None:
    call = read(input=[OUTPUT], previous_response_id="resp_1", instructions="be brief")
    assert [row["role"] for row in call.chat.messages if not isinstance(row, str)] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert call.items == [OUTPUT]
    assert call.previous == "resp_1"
    assert read(input=[], previous_response_id="resp_1").items == []


def test_what_its_response_repeats_and_what_is_kept() -> None:
    call = read(metadata={"team": "b"}, user="ann", store=False, stream=True, tools=[ADD])
    assert (call.chat.trace, call.store, call.chat.stream) == ("ann/team=b", False, True)
    assert call.echoed["metadata"] == {"team": "b"}
    assert call.echoed["tools"] == [ADD]
    assert (read().store, read(store=True).store, read().chat.stream) == (True, True, False)


def message(content: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": content}]


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"input": None}, "input", "at least one item"),
        ({"input": []}, "input", "at least one item"),
        ({"input": ["hello"]}, "input", "'input[0]' must be an item"),
        ({"input": [{"type": "web_search_call"}]}, "input", "'input[0]' has type 'web_search_call'"),
        ({"input": [{}]}, "input", "'input[0]' has type None"),
        ({"input": message("x", "boss")}, "input", "'input[0]' has role 'boss'"),
        ({"input": message(5)}, "input", "'input[0].content' must be a string or a list"),
        ({"input": message([])}, "input", "'input[0].content' must hold at least one part"),
        ({"input": message([7])}, "input", "'input[0].content[0]' must be a part"),
        ({"input": message([{"type": "input_audio"}])}, "input", "'input[0].content[0]' has type 'input_audio'"),
        ({"input": message([{"type": "input_text"}])}, "input", "'input[0].content[0].text' must be a string"),
        ({"input": message([{"type": "input_image", "file_id": "f"}])}, "input", "files by id are not supported"),
        ({"input": message([{"type": "input_image", "image_url": "/etc/passwd"}])}, "input", "cannot be fetched"),
        ({"input": message([{"type": "input_file", "file_id": "f"}])}, "input", "files by id are not supported"),
        ({"input": message([{"type": "input_file", "file_url": "/etc/passwd"}])}, "input", "cannot be fetched"),
        ({"input": message([{"type": "input_image"}], "assistant")}, "input", "an assistant says"),
        ({"input": [{**CALL, "name": 5}]}, "input", "'input[0].name' must be a string"),
        ({"input": [OUTPUT]}, "input", "no function_call before it"),
        ({"input": [CALL, {**OUTPUT, "output": 3}]}, "input", "'input[1].output' must be a string or a list"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input", "not kept here"),
        ({"input": [{"type": "item_reference"}]}, "input", "'input[0].id' must be a string"),
        ({"model": "../secrets"}, "model", "is not a slug"),
        ({"previous_response_id": "resp_9"}, "previous_response_id", "send the conversation itself"),
        ({"background": True}, "background", "/v1/batches"),
        ({"conversation": "c"}, "conversation", "previous_response_id"),
        ({"top_logprobs": 2}, "top_logprobs", "no log probabilities"),
        ({"tools": [1]}, "tools", "'tools[0]' must be an object"),
        ({"tools": [{"type": "web_search"}]}, "tools", "'web_search', which runs at OpenAI"),
        ({"tools": [{"type": "function"}]}, "tools", "'tools[0].name' must be a string"),
        ({"tools": [ADD, ADD]}, "tools", "two tools are named 'add'"),
        ({"tools": [ADD], "tool_choice": {"type": "web_search"}}, "tool_choice", "must be none, auto"),
        ({"tools": [ADD], "tool_choice": {"type": "function"}}, "tool_choice", "must be none, auto"),
        ({"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": 1}}, "tool_choice", "some of the tools"),
        (
            {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": [ADD], "mode": "none"}},
            "tool_choice",
            "the mode auto or required",
        ),
        ({"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": [{"name": ["add"]}, {"name": {}}]}}, "tool_choice", "some of the tools"),
        ({"n": 2}, "n", "one answer to a call"),
        ({"logprobs": True}, "logprobs", "no log probabilities"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort", "must be a string"),
        ({"text": {"verbosity": []}}, "text.verbosity", "must be a string"),
        ({"text": {"format": "json"}}, "text.format", "must be an object"),
        ({"text": {"format": {"type": "xml"}}}, "text.format", "use text, json_schema or json_object"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format", "'text.format.schema' must be"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert says in caught.value.message
    assert "messages" not in caught.value.message


@WITH_WRONG_VALUES
@pytest.mark.parametrize("field", sorted({*FIELD_TYPES, *_TYPES}))
def test_a_field_of_any_wrong_type_is_a_400_that_names_it_or_passes(field: str, value: Any) -> None:
    fits, words = {**FIELD_TYPES, **_TYPES}[field]
    try:
        read(**{field: value})
    except GatewayError as error:
        assert (error.status, error.param) == (400, field)
        assert fits(value) or (words in error.message and error.code == "invalid_type")
    else:
        assert fits(value)
