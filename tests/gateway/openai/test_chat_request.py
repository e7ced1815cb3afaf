"""Requests in OpenAI's form, read: what is passed on, what is kept here, what is refused and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._openai.chat_request import FIELD_TYPES, ChatCall, read_chat
from tests.gateway.support import WITH_WRONG_VALUES

USER = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def read(**fields: Any) -> ChatCall:
    return read_chat(json.dumps({"model": "gpt-5.4-mini", "messages": USER, **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "passed_on"),
    [
        pytest.param({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}, id="known"),
        pytest.param(
            {"parse": 1, "timeout": 2, "self": 3}, {"parse": 1, "timeout": 2, "self": 3}, id="unknown"
        ),
        pytest.param({"stream": False}, {}, id="stream-false"),
        pytest.param({"n": 1, "logprobs": False, "seed": None}, {}, id="the-defaults-spelt-out"),
        pytest.param({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}, id="no-tools"),
        pytest.param({"tools": [], "tool_choice": "none"}, {}, id="no-tools-and-none-to-be-called"),
        pytest.param({"tools": [WEATHER]}, {"tools": [WEATHER]}, id="tools"),
        pytest.param(
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"tools": [WEATHER], "tool_choice": "weather"},
            id="choice-of-one",
        ),
        pytest.param(
            {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}},
            {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}},
            id="choice-of-another-kind",
        ),
        pytest.param({"stop": "."}, {"stop": "."}, id="stop"),
        pytest.param({"stop": [".", "!"]}, {"stop": [".", "!"]}, id="stops"),
        pytest.param({"max_completion_tokens": 9}, {"max_completion_tokens": 9}, id="openai-bound"),
    ],
)
def test_what_is_passed_on(fields: dict[str, Any], passed_on: dict[str, Any]) -> None:
    assert read(**fields).parameters == passed_on


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        ({}, ""),
        ({"user": "ann"}, "ann"),
        ({"metadata": {"team": "b", "app": "a"}}, "app=a/team=b"),
        ({"user": "ann", "metadata": {"app": "a"}}, "ann/app=a"),
    ],
)
def test_user_and_metadata_are_the_trace_and_not_passed_on(fields: dict[str, Any], trace: str) -> None:
    call = read(**fields)
    assert (call.trace, call.parameters) == (trace, {})


@pytest.mark.parametrize(
    ("fields", "stream", "with_usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": 1}}, True, False),
        ({"stream": False}, False, False),
    ],
)
def test_streaming_is_asked_for_by_two_fields(fields: dict[str, Any], stream: bool, with_usage: bool) -> None:
    call = read(**fields)
    assert (call.stream, call.with_usage) == (stream, with_usage)


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"n": 2}, "n", "one answer"),
        ({"n": 0}, "n", "one answer"),
        ({"logprobs": True}, "logprobs", "no log probabilities"),
        ({"top_logprobs": 3}, "logprobs", "no log probabilities"),
        ({"model": None}, "model", "None"),
        ({"model": "../secrets"}, "model", "is not a slug"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": ["hello"]}, "messages", "messages[0]='hello' is a str"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages", "role='boss'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages", "content of type int"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages", "content[0] is a int"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}
                ]
            },
            "messages",
            "cannot be fetched",
        ),
        ({"tools": [1]}, "tools", "'tools[0]' must be an object"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools", "function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools", "two tools are named 'weather'"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": "weather"}},
            "tool_choice",
            "tool_choice.function.name",
        ),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert says in caught.value.message


@WITH_WRONG_VALUES
@pytest.mark.parametrize("field", sorted(FIELD_TYPES))
def test_a_field_of_any_wrong_type_is_a_400_that_names_it_or_passes(field: str, value: Any) -> None:
    fits, words = FIELD_TYPES[field]
    try:
        read(**{field: value})
    except GatewayError as error:
        assert error.status == 400
        assert error.param in {field, "logprobs"}
        assert fits(value) or (words in error.message and error.code == "invalid_type")
    else:
        assert fits(value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"model": ', id="truncated"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b'{"a": "\xff"}', id="bytes"),
    ],
)
def test_a_body_that_is_no_object_is_a_400(body: bytes) -> None:
    with pytest.raises(GatewayError, match="not a JSON object") as caught:
        read_chat(body)
    assert (caught.value.status, caught.value.param) == (400, None)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(GatewayError, match="'temperature' must be a number"):
        read_chat(b'{"model": "gpt-5", "messages": [], "temperature": NaN}')
