"""Answers of each provider, read into one type: whole or unreadable, never half."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmind_async import ToolCall, Usage
from segmind_async._providers.answers import decode
from segmind_async._providers.provider import Answer
from segmind_async._wire.json import UnreadableError


def read(value: Any) -> Answer:
    return decode(json.dumps(value).encode())


def openai(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}], **more}


def test_openai() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    got = read(openai({"content": "hi"}, usage=usage, new_field=1))
    assert (got.text, got.finish_reason, got.usage, got.tool_calls) == ("hi", "stop", Usage(3, 4, 7), ())
    assert got.raw["new_field"] == 1


def test_anthropic() -> None:
    content = [
        {"type": "text", "text": "h"},
        {"type": "thinking", "text": "hm"},
        {"type": "text", "text": "i"},
    ]
    got = read(
        {"content": content, "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}}
    )
    assert (got.text, got.finish_reason, got.usage) == ("hi", "end_turn", Usage(3, 4, 7))


def test_gemini() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "h"}, {"text": "i"}]
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 9}
    got = read(
        {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    )
    assert (got.text, got.finish_reason, got.usage) == ("hi", "STOP", Usage(3, 4, 9))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            openai(
                {
                    "content": None,
                    "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}],
                }
            ),
            id="openai",
        ),
        pytest.param(
            {
                "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
                "stop_reason": "tool_use",
            },
            id="anthropic",
        ),
    ],
)
def test_tool_calls(answer: Any) -> None:
    got = read(answer)
    assert got.tool_calls == (ToolCall("c", "f", '{"a":1}'),)
    assert got.text == ""


def test_tool_calls_of_gemini_get_ids_that_are_the_same_whenever_they_are_read() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    raw = {"candidates": [{"content": {"parts": [call, {"text": "x"}, call]}}]}
    calls = read(raw).tool_calls
    assert [(one.name, one.arguments) for one in calls] == [("f", '{"a":1}')] * 2
    assert len({one.id for one in calls}) == 2
    assert read(raw).tool_calls == calls
    other = read({**raw, "responseId": "2"}).tool_calls
    assert not {one.id for one in other} & {one.id for one in calls}


@pytest.mark.parametrize("ids", [[None, "a"], ["", "a"], ["a", "a"]])
def test_calls_without_an_id_of_their_own_get_one(ids: list[Any]) -> None:
    calls = [{"id": one, "function": {"name": "f", "arguments": "{}"}} for one in ids]
    found = [one.id for one in read(openai({"tool_calls": calls})).tool_calls]
    assert len({*found}) == 2
    assert all(found)


def test_ids_of_the_provider_stay() -> None:
    calls = [{"id": one, "function": {"name": "f", "arguments": "{}"}} for one in "ab"]
    assert [one.id for one in read(openai({"tool_calls": calls})).tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        pytest.param(openai({"content": None}), "", "stop", id="null content"),
        pytest.param(openai({"refusal": "no"}), "", "stop", id="a refusal"),
        pytest.param(openai({"content": [{"text": "a"}, {"image": 1}, "x", {"text": "b"}]}), "ab", "stop", id="parts"),
        pytest.param({"choices": [{"message": {"content": "x"}, "finish_reason": 5}]}, "x", None, id="odd reason"),
        pytest.param(openai({"content": "x"}, usage="many"), "x", "stop", id="odd usage"),
        pytest.param({"content": [], "stop_reason": "refusal"}, "", "refusal", id="claude refuses"),
        pytest.param({"candidates": [{"finishReason": "SAFETY"}]}, "", "SAFETY", id="gemini stops"),
        pytest.param({"promptFeedback": {"blockReason": "OTHER"}}, "", "OTHER", id="gemini blocks the prompt"),
        pytest.param({"candidates": [], "promptFeedback": {"blockReason": "OTHER"}}, "", "OTHER", id="blocked, no candidates"),
        pytest.param({"candidates": [{"content": {"role": "model"}}]}, "", None, id="gemini thought only"),
    ],
)  # fmt: skip
def test_an_unusual_but_whole_answer_passes(answer: Any, text: str, finish: str | None) -> None:
    got = read(answer)
    assert (got.text, got.finish_reason) == (text, finish)


@pytest.mark.parametrize("count", [-1, True, "12", 1.5, None])
def test_an_invalid_token_count_is_unknown(count: Any) -> None:
    assert read(openai({"content": "x"}, usage={"prompt_tokens": count})).usage == Usage(None, None, None)
    got = read(
        {"content": [{"type": "text", "text": "x"}], "usage": {"input_tokens": count, "output_tokens": 1}}
    )
    assert got.usage == Usage(None, 1, None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "an empty body"),
        (b" \n", "an empty body"),
        (b"\xef\xbb\xbf", "an empty body"),
        (b"<html>", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "JSON, but not an object: None"),
        (b"[]", "JSON, but not an object"),
        (b"42", "JSON, but not an object: 42"),
        (b'"x"', "JSON, but not an object"),
        (b"{}", "no known form"),
        (b'{"a": 1}', r"no known form, with the fields \['a'\]"),
        (b'{"error": "upstream"}', "status 200 with an error inside: 'upstream'"),
        (b'{"choices": []}', "choices holds no answer"),
        (b'{"choices": null}', "choices holds no answer"),
        (b'{"choices": ["x"]}', "choices holds no answer"),
        (b'{"choices": [{}]}', r"choices\[0\] without a message"),
        (b'{"choices": [{"message": {}}]}', "without a message"),
        (b'{"choices": [{"message": {"content": 7}}]}', "content is neither text nor parts: 7"),
        (b'{"content": []}', "without parts and without a stop_reason"),
        (b'{"candidates": [{}]}', r"candidates\[0\] without content"),
        (b'{"candidates": []}', "candidates holds no answer"),
        (b'{"content": "x"}', "no known form"),
        (b'{"choices":[{"message":{"content":"\xff"}}]}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":"\\ud800' + b"[" * 100_000, "not JSON"),
        (b'{"a":"\\ud800', "not JSON"),
        (b"[" * 100_000 + b'"\\ud800"' + b"]" * 100_000, "not JSON"),
    ],
)
def test_a_body_that_is_no_answer_is_unreadable(body: bytes, says: str) -> None:
    with pytest.raises(UnreadableError, match=says):
        decode(body)


def test_a_long_excerpt_is_shortened() -> None:
    with pytest.raises(UnreadableError) as caught:
        decode(json.dumps({"error": "x" * 10_000}).encode())
    assert len(str(caught.value)) < 300


def test_half_a_character_is_replaced_and_the_answer_is_kept() -> None:
    got = decode(b'{"choices":[{"message":{"content":"ab\\ud83d"}}],"x":[1,"\\ud83d\\ude00"],"y":null}')
    assert got.text == "ab\ufffd"
    assert got.raw["x"] == [1, "\U0001f600"]


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbf" + json.dumps(openai({"content": "x"})).encode()).text == "x"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(
        ["choices", "message", "content", "candidates", "parts", "text", "usage", "tool_calls", "function",
         "promptFeedback", "finish_reason", "functionCall", "error", "type"]), inner),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=30)
@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_else(body: bytes) -> None:
    try:
        answer = decode(body)
    except UnreadableError as error:
        assert str(error)
    else:
        assert isinstance(answer.text, str)


def test_many_byte_order_marks_are_unreadable() -> None:
    with pytest.raises(UnreadableError):
        decode(b"\xef\xbb\xbf" * 2000 + b"<")


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"error": {"message": "overloaded"}}, id="an-error-beside-the-choices"),
        pytest.param({"error": "cut off"}, id="an-error-as-text"),
    ],
)
def test_an_answer_beside_an_error_is_none(more: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError, match="error inside"):
        read(openai({"content": "half of an ans"}, **more))
    assert read(openai({"content": "whole"}, error=None)).text == "whole"


def test_an_answer_that_ended_with_an_error_is_none() -> None:
    with pytest.raises(UnreadableError, match="ended with an error"):
        read({"choices": [{"message": {"content": "half of an ans"}, "finish_reason": "error"}]})


def test_a_damaged_count_of_tokens_is_unknown() -> None:
    got = read(openai({"content": "hi"}, usage={"prompt_tokens": 10**400, "completion_tokens": 4}))
    assert got.usage == Usage(None, 4, None)
