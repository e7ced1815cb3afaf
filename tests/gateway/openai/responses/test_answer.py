"""Responses formed of answers, and their event streams: items, numbers, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._openai.event_stream import PIECE
from segmind_async.gateway._openai.responses.answer import response_of
from segmind_async.gateway._openai.responses.event_stream import response_error_event, response_events

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def response(message: dict[str, Any], finish: str = "stop", **more: Any) -> Any:
    choice = {"index": 0, "message": {"content": None, **message}, "finish_reason": finish}
    chat: dict[str, Any] = {"created": 5, "model": "m", "choices": [choice], **more}
    return response_of(chat, "resp_7", {"user": "ann"}, store=True)


def events(body: bytes) -> list[Any]:
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        kind, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert found[-1]["type"] == kind.removeprefix("event: ")
    assert [one["sequence_number"] for one in found] == [*range(len(found))]
    return found


def test_text_and_calls_are_items_with_ids_that_name_their_response() -> None:
    made = response({"content": "hi", "tool_calls": [CALL, {**CALL, "extra_content": 1}]}, "tool_calls")
    assert [item["id"] for item in made["output"]] == ["msg_7", "fc_7_0", "fc_7_1"]
    assert [item.get("extra_content") for item in made["output"]] == [None, None, 1]
    assert (made["status"], made["user"], made["created_at"], made["usage"]) == ("completed", "ann", 5, None)


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": ""}, [("output_text", "")]),
        ({"refusal": "no"}, [("refusal", "no")]),
        ({"content": "a", "refusal": "no"}, [("output_text", "a"), ("refusal", "no")]),
    ],
)
def test_what_was_said(message: dict[str, Any], content: list[tuple[str, str]]) -> None:
    [item] = response(message)["output"]
    assert [(part["type"], part.get("text", part.get("refusal"))) for part in item["content"]] == content


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_is_not_whole(finish: str, reason: str) -> None:
    made = response({"content": "half"}, finish)
    assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert made["output"][0]["status"] == "incomplete"
    assert events(response_events(made))[-1]["type"] == "response.incomplete"


def test_details_of_the_usage() -> None:
    counts: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    counts["prompt_tokens_details"] = {"cached_tokens": 2, "cache_write_tokens": "many"}
    usage = response({"content": "a"}, usage=counts)["usage"]
    assert usage["input_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (3, 4, 7)


def test_a_stream_adds_up_to_its_response() -> None:
    text = "ä" * (2 * PIECE + 1)
    made = response({"content": text, "refusal": "no", "tool_calls": [CALL]}, "tool_calls")
    found = events(response_events(made))
    assert [one["type"].removeprefix("response.") for one in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 3,
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(one["delta"] for one in found if one["type"].endswith("text.delta")) == text
    assert [one["item"] for one in found if one["type"].endswith("item.done")] == made["output"]
    assert found[0]["response"]["status"] == "in_progress"
    assert found[-1]["response"] == made


def test_an_error_names_itself_at_both_places_where_readers_look() -> None:
    [found] = events(response_error_event(GatewayError(502, "down", "api_error", "upstream_failed")))
    assert found["error"] == {
        "message": "down",
        "type": "api_error",
        "param": None,
        "code": "upstream_failed",
    }
    assert (found["type"], found["message"], found["code"]) == ("error", "down", "upstream_failed")
