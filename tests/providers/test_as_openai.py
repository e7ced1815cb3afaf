"""Answers of every provider, written in OpenAI's form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion as OpenAICompletion

from segmind_async import ChatCompletion, ToolCall, Usage
from segmind_async._providers.answers import as_openai, decode

MODEL, CREATED = "some-model", 1_764_000_000


def completion(raw: Any) -> ChatCompletion:
    got = decode(json.dumps(raw).encode())
    return ChatCompletion(got.text, got.finish_reason, got.usage, got.tool_calls, MODEL, raw=got.raw)


def written(raw: Any) -> Any:
    return json.loads(json.dumps(as_openai(completion(raw), created=CREATED)))


CLAUDE = {
    "id": "msg_1",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def test_an_answer_of_claude() -> None:
    assert written(CLAUDE) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


def test_an_answer_of_gemini_with_a_signed_call() -> None:
    part = {"functionCall": {"name": "add", "args": {"a": 1}}, "thoughtSignature": "s"}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 9}
    candidate = {"content": {"parts": [part]}, "finishReason": "STOP"}
    got = written({"responseId": "r1", "candidates": [candidate], "usageMetadata": usage})
    assert got["id"] == "r1"
    assert got["usage"]["total_tokens"] == 9
    [choice] = got["choices"]
    assert choice["finish_reason"] == "tool_calls"
    [call] = choice["message"]["tool_calls"]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": "add", "arguments": '{"a":1}'},
                "extra_content": {"google": {"thought_signature": "s"}},
            }
        ],
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param({**CLAUDE, "stop_reason": "stop_sequence"}, "stop", id="claude-whole"),
        pytest.param({**CLAUDE, "stop_reason": "max_tokens"}, "length", id="claude-truncated"),
        pytest.param({**CLAUDE, "stop_reason": "refusal"}, "content_filter", id="claude-refused"),
        pytest.param({**CLAUDE, "stop_reason": None}, "stop", id="unsaid"),
        pytest.param({"candidates": [{"finishReason": "MAX_TOKENS"}]}, "length", id="gemini-truncated"),
        pytest.param({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter", id="gemini-blocked"),
        pytest.param(
            {"choices": [{"message": {"content": "x"}, "finish_reason": "end_turn"}]}, "stop", id="another-word"
        ),
        pytest.param(
            {"choices": [{"message": {"content": "x"}, "finish_reason": "function_call"}]},
            "function_call",
            id="openais-word-is-kept",
        ),
        pytest.param(
            {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]},
            "content_filter",
            id="openai-refusal",
        ),
    ],
)  # fmt: skip
def test_finish_reasons_are_written_in_openais_words(raw: Any, reason: str) -> None:
    assert written(raw)["choices"][0]["finish_reason"] == reason


def test_an_answer_of_openai_keeps_its_other_fields() -> None:
    raw = {
        "id": "chatcmpl-1",
        "created": 5,
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "annotations": []},
                "logprobs": {"content": []},
                "finish_reason": "stop",
            },
            {"index": 1, "message": {"content": "ho"}, "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    message: Any = {"role": "assistant", "content": "hi", "annotations": [], "refusal": None}
    choices: Any = raw["choices"]
    assert written(raw) == {
        **raw,
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{**choices[0], "message": message}, choices[1]],
    }


def test_a_refusal_stands_beside_an_empty_content() -> None:
    raw = {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
    message = written(raw)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")


def test_an_empty_answer_has_an_empty_content() -> None:
    assert written({"content": [], "stop_reason": "end_turn"})["choices"][0]["message"]["content"] == ""


def test_unknown_usage_is_left_out() -> None:
    assert "usage" not in written({**CLAUDE, "usage": {"input_tokens": 3}})
    assert "usage" not in written({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1}})


def test_a_missing_total_is_the_sum() -> None:
    got = as_openai(replace(completion(CLAUDE), usage=Usage(3, 4)), created=CREATED)
    assert got["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_an_id_is_made_for_an_answer_without_one() -> None:
    raw = {"content": [{"type": "text", "text": "hi"}]}
    first, again, other = written(raw), written(raw), written({"content": [{"type": "text", "text": "ho"}]})
    assert first["id"].startswith("chatcmpl-")
    assert first["id"] == again["id"] != other["id"]


def test_an_answer_without_a_body_can_be_written() -> None:
    got = as_openai(
        ChatCompletion("hi", tool_calls=(ToolCall("c", "f", "{}"),), model=MODEL), created=CREATED
    )
    choices: Any = got["choices"]
    assert choices[0]["message"]["content"] == "hi"
    assert choices[0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "raw",
    [
        CLAUDE,
        {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "SAFETY"}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}}]},
        {"choices": [{"message": {"content": "x"}}]},
    ],
)
def test_the_vendors_own_type_accepts_a_written_answer(raw: Any) -> None:
    OpenAICompletion.model_validate(written(raw), strict=True)
